use std::time::Duration;

use super::*;

#[test]
fn durations_survive_the_wire() {
    for duration in [Duration::ZERO, Duration::from_millis(1_500), Duration::new(7, 999_999_999)] {
        assert_eq!(Duration::try_from(protobuf::Duration::from(duration)), Ok(duration));
    }
}

#[test]
fn what_is_too_long_saturates() {
    let longest = protobuf::Duration { seconds: SECONDS_MAX, nanos: 0 };
    assert_eq!(protobuf::Duration::from(Duration::MAX), longest);
    assert_eq!(Duration::try_from(longest), Ok(Duration::from_hours(87_660_000)));
}

#[test]
fn what_is_no_duration_is_refused() {
    for (seconds, nanos) in [(-1, 0), (0, -1), (0, 1_000_000_000), (SECONDS_MAX + 1, 0), (i64::MIN, i32::MIN)]
    {
        let refused = Duration::try_from(protobuf::Duration { seconds, nanos });
        assert_eq!(refused, Err(InvalidDuration { seconds, nanos }));
    }
}
