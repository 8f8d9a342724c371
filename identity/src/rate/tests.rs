use proptest::prelude::*;

use super::*;

fn limit() -> (RequestLimit, Instant) {
    (RequestLimit::new(3), Instant::now())
}

#[test]
fn ten_in_any_minute_and_no_more() {
    let (mut limit, start) = limit();
    let at = |seconds| start + Duration::from_secs(seconds);
    for second in 0..10 {
        assert_eq!(limit.take("a", at(second)), Ok(()));
    }
    assert_eq!(limit.take("a", at(10)), Err(TooManyRequests { retry_after: Duration::from_secs(50) }));
    assert_eq!(limit.take("b", at(10)), Ok(()), "one workload does not pay for another");
    assert!(limit.take("a", at(59)).is_err());
    assert_eq!(limit.take("a", at(60)), Ok(()), "the first one is a minute ago, and refusals do not count");
    assert!(limit.take("a", at(60)).is_err());
}

#[test]
fn memory_is_bounded_and_freed() {
    let (mut limit, start) = limit();
    for workload in ["a", "b", "c"] {
        assert_eq!(limit.take(workload, start), Ok(()));
    }
    assert!(limit.take("d", start).is_err(), "full");
    assert_eq!(limit.take("a", start), Ok(()), "who is known is served");
    assert!(limit.take("d", start + Duration::from_millis(500)).is_err(), "not searched again so soon");
    assert_eq!(limit.take("d", start + WINDOW), Ok(()));
    assert_eq!(limit.taken.len(), 1, "who was silent for a minute is forgotten");
}

#[test]
fn a_clock_that_goes_back_does_no_harm() {
    let (mut limit, start) = limit();
    let later = start + Duration::from_secs(5);
    for _ in 0..REQUESTS_MAX {
        limit.take("a", later).unwrap();
    }
    assert_eq!(limit.take("a", start), Err(TooManyRequests { retry_after: WINDOW }));
}

proptest! {
    #[test]
    fn no_minute_has_more_than_ten(pauses_ms in prop::collection::vec(0_u64..20_000, 1..80)) {
        let (mut limit, mut now) = limit();
        let mut let_through = Vec::new();
        for pause in pauses_ms {
            now += Duration::from_millis(pause);
            let recent = let_through.iter().filter(|&&at| now - at < WINDOW).count();
            let verdict = limit.take("a", now);
            prop_assert_eq!(verdict.is_ok(), recent < REQUESTS_MAX);
            if verdict.is_ok() {
                let_through.push(now);
            }
        }
    }
}
