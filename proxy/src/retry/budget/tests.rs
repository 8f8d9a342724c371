//! The budget against a list of every request and retry with its time.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::Duration,
};

use proptest::prelude::*;

use super::*;

fn policy(percent: u32, interval_secs: u64, min_per_second: u32) -> Policy {
    Policy { percent, interval: weft_api::Duration::from_secs(interval_secs), min_per_second }
}

fn grants(budget: &Budget, now: Instant) -> usize {
    (0..10_000).take_while(|_| budget.try_retry(now)).count()
}

#[test]
fn the_floor_is_for_the_quiet_and_the_share_for_the_busy() {
    let now = Instant::now();
    let budget = Budget::new(Policy::default(), now);
    assert_eq!(grants(&budget, now), 10, "1/s over 10 s, without a single request");
    for _ in 0..1000 {
        budget.count_original(now);
    }
    assert_eq!(grants(&budget, now), 200, "20 % of 1000 on top");
    assert_eq!(grants(&budget, now + Duration::from_secs(9)), 0);
    assert_eq!(grants(&budget, now + Duration::from_secs(10)), 10, "all of it is past");
}

#[test]
fn no_share_and_no_floor_is_no_retry() {
    let now = Instant::now();
    let budget = Budget::new(policy(0, 10, 0), now);
    budget.count_original(now);
    assert!(!budget.try_retry(now));
}

#[test]
fn what_became_of_each_retry_is_counted() {
    let now = Instant::now();
    let budget = Budget::new(policy(0, 10, 1), now);
    assert_eq!(budget.counts(), Counts::default());
    for _ in 0..13 {
        budget.try_retry(now);
    }
    assert_eq!(budget.counts(), Counts { granted: 10, refused: 3 });
}

#[test]
fn another_policy_keeps_what_was_counted() {
    let now = Instant::now();
    let budget = Budget::new(policy(20, 10, 0), now);
    for _ in 0..100 {
        budget.count_original(now);
    }
    assert_eq!(grants(&budget, now), 20);
    budget.set_policy(policy(50, 60, 0));
    assert_eq!(grants(&budget, now), 30);
    assert_eq!(grants(&budget, now + Duration::from_secs(54)), 0);
}

#[test]
fn when_every_call_fails_load_grows_by_the_share() {
    let now = Instant::now();
    let budget = Budget::new(policy(20, 10, 0), now);
    let mut calls = 0;
    for _ in 0..1000 {
        budget.count_original(now);
        calls += 1 + u32::from(budget.try_retry(now));
    }
    assert_eq!(calls, 1200);
}

#[test]
fn threads_that_ask_at_once_share_one_budget() {
    let now = Instant::now();
    let budget = Budget::new(policy(20, 10, 1), now);
    let granted = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..5_000 {
                    budget.count_original(now);
                    granted.fetch_add(u64::from(budget.try_retry(now)), Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(granted.into_inner(), 40_000 / 5 + 10);
}

proptest! {
    #[test]
    fn the_budget_equals_the_list(
        percent in 0..=100_u32,
        interval_secs in 1..=60_u64,
        min_per_second in 0..3_u32,
        steps in proptest::collection::vec((0..2_000_u64, 0..3_u8), 1..300),
    ) {
        let base = Instant::now();
        let budget = Budget::new(policy(percent, interval_secs, min_per_second), base);
        let bucket = |at_ms: u64| at_ms / (interval_secs * 100);
        let (mut originals, mut retries) = (Vec::new(), Vec::new());
        let mut now_ms = 0;
        for (step_ms, kind) in steps {
            now_ms += if step_ms > 1_000 { step_ms } else { step_ms / 50 };
            let now = base + Duration::from_millis(now_ms);
            if kind == 0 {
                let count = |list: &Vec<u64>| {
                    list.iter().filter(|at| bucket(**at) + 10 > bucket(now_ms)).count() as u64
                };
                let floor = u64::from(min_per_second) * interval_secs * 100;
                let allowed = (count(&retries) + 1) * 100 <= u64::from(percent) * count(&originals) + floor;
                prop_assert_eq!(budget.try_retry(now), allowed);
                if allowed {
                    retries.push(now_ms);
                }
            } else {
                budget.count_original(now);
                originals.push(now_ms);
            }
        }
    }
}
