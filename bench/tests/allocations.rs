//! The closed path takes no memory: what is allowed through, as nearly every request is, must not pay the allocator.

use std::time::Instant;

use allocation_counter::measure;
use http::Request;
use rand::{SeedableRng, rngs::SmallRng};
use weft_bench::policy::Policy;
use weft_proxy::trace::{Counts, Sampler, Tracer};

#[test]
fn a_request_that_passes_allocates_nothing() {
    let policy = Policy::new(Instant::now());
    // More than a window long, so that its ring has moved on all the way round: 10 s at 100,000 requests a second.
    let requests = 1_100_000;
    let allocated = measure(|| (0..requests).for_each(|number| policy.request(number)));
    assert_eq!((allocated.count_total, allocated.bytes_total), (0, 0));
    assert_eq!(policy.successes(), [requests; 2]);
}

#[test]
fn a_request_that_has_no_span_allocates_nothing() {
    let ids = "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331";
    let said = |fields: &[(&'static str, &str)]| {
        let request =
            fields.iter().fold(Request::get("/"), |request, (name, text)| request.header(*name, *text));
        request.body(()).expect("these are headers").into_parts().0
    };
    let requests = [
        said(&[]),
        said(&[("user-agent", "curl"), ("accept", "*/*")]),
        said(&[("traceparent", &format!("00-{ids}-00")), ("tracestate", "a=1")]),
        said(&[("traceparent", "broken")]),
        said(&[("b3", "0")]),
        said(&[("b3", ids)]),
        said(&[("b3", &format!("{ids}-0"))]),
        said(&[("x-b3-traceid", &ids[..32]), ("x-b3-spanid", &ids[33..]), ("x-b3-sampled", "0")]),
    ];
    let (tracer, _spans) = Tracer::new(Sampler::new(0.0), &Counts::new().expect("the name is one"));
    let mut random = SmallRng::seed_from_u64(1);
    let allocated = measure(|| {
        for request in requests.iter().cycle().take(10_000) {
            assert!(tracer.begin(request, true, &mut random).is_none());
        }
    });
    assert_eq!((allocated.count_total, allocated.bytes_total), (0, 0));
}

#[test]
fn what_allocates_is_noticed() {
    assert_eq!(measure(|| drop(std::hint::black_box(Box::new(1_u64)))).count_total, 1);
}
