//! The range of the pause, and the deadline.

use super::*;

const MS: Duration = Duration::from_millis(1);

#[test]
fn the_range_doubles_up_to_the_longest() {
    let backoff = Backoff::default();
    for (retry, most_ms) in
        [(0, 25), (1, 50), (2, 100), (3, 200), (4, 250), (31, 250), (32, 250), (u32::MAX, 250)]
    {
        assert_eq!(pause(&backoff, retry, 0, None), Some(Duration::ZERO));
        let longest = pause(&backoff, retry, u64::MAX, None).unwrap();
        assert!(longest < MS * most_ms && longest + MS > MS * most_ms, "{longest:?} for retry {retry}");
        let middle = pause(&backoff, retry, u64::MAX / 2 + 1, None).unwrap();
        assert_eq!(middle * 2, MS * most_ms, "even over the whole range");
    }
}

#[test]
fn a_pause_past_the_deadline_is_no_pause() {
    let backoff = Backoff::default();
    let middle = u64::MAX / 2 + 1;
    assert_eq!(pause(&backoff, 2, middle, Some(MS * 51)), Some(MS * 50));
    assert_eq!(pause(&backoff, 2, middle, Some(MS * 50)), None);
    assert_eq!(pause(&backoff, 2, 0, Some(Duration::ZERO)), None);
}

#[test]
fn the_longest_times_do_not_overflow() {
    let long = weft_api::Duration::from_millis(u64::MAX);
    let backoff = Backoff { base: long, max: long };
    assert!(pause(&backoff, u32::MAX, u64::MAX, None).is_some());
}
