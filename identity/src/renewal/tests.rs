use proptest::prelude::*;

use super::*;

#[test]
fn half_of_what_remains_more_or_less() {
    let day = Duration::from_hours(24);
    let hours = |unit| renew_in(day, unit).as_secs_f64() / 3600.0;
    assert!((hours(0.0) - 9.6).abs() < 0.001);
    assert!((hours(0.5) - 12.0).abs() < 0.001);
    assert!((hours(1.0) - 14.4).abs() < 0.001);
    assert_eq!(renew_in(Duration::ZERO, 0.5), Duration::ZERO, "an expired one is renewed at once");
}

#[test]
fn nonsense_does_not_panic() {
    for unit in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, 2.0] {
        let wait = renew_in(Duration::MAX, unit);
        assert!(wait <= Duration::MAX.mul_f64(0.61), "{unit}");
    }
}

proptest! {
    #[test]
    fn leaves_time_to_spare(seconds in 0_u64..10_000_000, unit in 0.0_f64..1.0) {
        let remaining = Duration::from_secs(seconds);
        let wait = renew_in(remaining, unit);
        prop_assert!(wait >= remaining.mul_f64(0.399) && wait <= remaining.mul_f64(0.601));
    }
}
