use http::Request;
use rand::{SeedableRng, rngs::SmallRng};

use super::*;

fn parts(request: http::request::Builder) -> Parts {
    request.body(()).unwrap().into_parts().0
}

fn begun(request: http::request::Builder) -> Begun {
    let (tracer, _) = Tracer::new(Sampler::new(1.0), &Counts::new().unwrap());
    *tracer.begin(&parts(request), true, &mut SmallRng::seed_from_u64(1)).unwrap()
}

/// A span of nothing in particular, that other tests change.
pub fn span(kind: Kind, begun: Begun) -> Span {
    Span {
        begun: Box::new(begun),
        kind,
        start: std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000),
        took: std::time::Duration::from_millis(5),
        method: http::Method::GET,
        path: "/a/b".to_owned(),
        authority: "shop.test:8080".to_owned(),
        status: 200,
        body_bytes: 3,
        resends: 0,
        caller: None,
        endpoint: None,
        fault: None,
        injected: None,
        peer: None,
        destination: None,
        route: None,
    }
}

#[test]
fn spans_beyond_the_bound_are_dropped_and_counted() {
    let counts = Counts::new().unwrap();
    let (tracer, mut waiting) = Tracer::new(Sampler::new(1.0), &counts);
    let span = || Box::new(span(Kind::Server, begun(Request::get("/"))));
    (0..WAITING_MAX + 3).for_each(|_| tracer.finish(span()));
    assert_eq!(counts.dropped.get(), 3);
    assert!(waiting.try_recv().is_ok());
    tracer.finish(span());
    assert_eq!((counts.dropped.get(), waiting.len()), (3, WAITING_MAX));
    drop(waiting);
    tracer.finish(span());
    assert_eq!(counts.dropped.get(), 4);
}

#[test]
fn what_callers_send_is_cut_before_it_waits() {
    let long = "ä".repeat(5000);
    let agent = begun(Request::get("/").header("user-agent", &long)).user_agent.unwrap();
    assert_eq!((agent.len(), agent.chars().all(|char| char == 'ä')), (1024, true));
    assert_eq!(cut("short"), "short");
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let state = |state: &str| {
        begun(Request::get("/").header("traceparent", parent).header("tracestate", state)).state
    };
    assert_eq!(state("a=1"), "a=1");
    assert_eq!(state(&"a=1,".repeat(200)), "");
    let two = Request::get("/")
        .header("traceparent", parent)
        .header("tracestate", "a=1")
        .header("tracestate", "b=2");
    assert_eq!(begun(two).state, "a=1,b=2");
}

#[test]
fn tries_that_are_told_have_a_bound() {
    let mut begun = begun(Request::get("/"));
    let failed =
        FailedTry { after: std::time::Duration::ZERO, fault: None, status: Some(500), endpoint: None };
    (0..100).for_each(|_| begun.tried(failed));
    assert_eq!(begun.tries.len(), 16);
}
