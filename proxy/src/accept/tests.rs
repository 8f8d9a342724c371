use super::*;

/// Bytes that are allocated for each request, and written to: what is larger costs time also where it is not used.
const REQUEST_BYTES_MAX: usize = 6 * 1024;

#[test]
fn a_request_under_way_takes_little_memory() {
    fn future<A, B, C, D, E, G, F>(_: impl FnOnce(A, B, C, D, E, G) -> F) -> usize {
        size_of::<F>()
    }
    let size = future(respond);
    assert!(size <= REQUEST_BYTES_MAX, "{size} bytes");
}
