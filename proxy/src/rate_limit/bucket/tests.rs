use proptest::{collection::vec, prelude::*};

use super::*;

const S: u64 = 1_000_000_000;

#[test]
fn a_burst_passes_at_once_and_then_one_for_each_interval() {
    let rate = Rate::new(10, Duration::from_secs(1), 3);
    let mut full_at = 0;
    for _ in 0..3 {
        full_at = rate.take(full_at, 5 * S).unwrap();
    }
    assert_eq!(rate.take(full_at, 5 * S), Err(Duration::from_millis(100)));
    assert_eq!(rate.take(full_at, 5 * S + S / 20), Err(Duration::from_millis(50)));
    full_at = rate.take(full_at, 5 * S + S / 10).unwrap();
    assert_eq!(rate.take(full_at, 5 * S + S / 10), Err(Duration::from_millis(100)));
    // Full again after as long as it takes, and no fuller.
    for _ in 0..3 {
        full_at = rate.take(full_at, 60 * S).unwrap();
    }
    assert!(rate.take(full_at, 60 * S).is_err());
}

#[test]
fn less_than_was_taken_already_makes_nobody_wait_longer_than_the_bucket_is_deep() {
    let deep = Rate::new(1, Duration::from_secs(1), 1000);
    let full_at = (0..1000).fold(0, |full_at, _| deep.take(full_at, S).unwrap());
    let shallow = Rate::new(1, Duration::from_secs(1), 2);
    assert_eq!(shallow.take(full_at, S), Err(Duration::from_secs(1)));
}

#[test]
fn extremes_are_numbers_too() {
    for (requests, per, burst) in [(u32::MAX, 1, u32::MAX), (1, u64::MAX, u32::MAX), (0, 0, 0)] {
        let rate = Rate::new(requests, Duration::from_secs(per), burst);
        for (full_at, now) in [(0, 0), (u64::MAX, 0), (0, u64::MAX), (u64::MAX, u64::MAX)] {
            let _ = rate.take(full_at, now);
        }
    }
}

proptest! {
    /// Against a bucket with a level, filled as time goes by.
    #[test]
    fn tokens_are_counted_as_they_come_and_go(
        requests in 1_u32..1000,
        burst in 1_u32..20,
        pauses in vec(0_u64..3_000_000_000, 1..60),
    ) {
        let rate = Rate::new(requests, Duration::from_secs(1), burst);
        let token = S.div_ceil(u64::from(requests));
        let capacity = token * u64::from(burst);
        let (mut level, mut now, mut full_at) = (capacity, 7, 0);
        for pause in pauses {
            now += pause / u64::from(requests);
            level = (level + pause / u64::from(requests)).min(capacity);
            match rate.take(full_at, now) {
                Ok(next) => {
                    prop_assert!(level >= token);
                    (level, full_at) = (level - token, next);
                }
                Err(wait) => prop_assert_eq!(wait.as_nanos(), u128::from(token - level)),
            }
        }
    }
}
