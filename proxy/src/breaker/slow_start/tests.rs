//! The share grows from a tenth to all, and no clock makes it leave that range.

use super::*;

#[test]
fn grows_evenly_from_a_tenth() {
    let closed = Instant::now();
    let length = Duration::from_secs(10);
    let after = |secs| share_percent(closed, closed + Duration::from_secs(secs), length);
    assert_eq!([after(0), after(1), after(5), after(9), after(10), after(1000)], [10, 19, 55, 91, 100, 100]);
}

#[test]
fn no_length_is_no_slow_start() {
    let closed = Instant::now();
    assert_eq!(share_percent(closed, closed, Duration::ZERO), 100);
}

#[test]
fn before_closing_it_is_the_floor() {
    let now = Instant::now();
    let later = now + Duration::from_secs(3);
    assert_eq!(share_percent(later, now, Duration::from_secs(10)), 10);
    assert_eq!(share_percent(later, now, Duration::ZERO), 10);
}
