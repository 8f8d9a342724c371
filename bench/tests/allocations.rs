//! The closed path takes no memory: what is allowed through, as nearly every request is, must not pay the allocator.

use std::time::Instant;

use allocation_counter::measure;
use weft_bench::policy::Policy;

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
fn what_allocates_is_noticed() {
    assert_eq!(measure(|| drop(std::hint::black_box(Box::new(1_u64)))).count_total, 1);
}
