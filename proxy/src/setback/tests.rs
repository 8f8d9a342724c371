use std::time::Duration;

use super::*;

#[test]
fn only_what_failed_meanwhile_counts() {
    let base = Instant::now();
    let at = |ms| base + Duration::from_millis(ms);
    let setbacks = Setbacks::new(base);
    assert!(!setbacks.any_since(base));
    setbacks.note(at(5));
    assert!(setbacks.any_since(base));
    assert!(setbacks.any_since(at(5)));
    assert!(!setbacks.any_since(at(6)));
}

#[test]
fn an_earlier_one_that_is_told_late_takes_nothing_back() {
    let base = Instant::now();
    let at = |ms| base + Duration::from_millis(ms);
    let setbacks = Setbacks::new(base);
    setbacks.note(at(9));
    setbacks.note(at(3));
    assert!(setbacks.any_since(at(8)));
}
