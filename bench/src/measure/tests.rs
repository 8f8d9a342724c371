//! What rounds come to, and that every request runs.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::*;

#[test]
fn a_slow_round_moves_neither_median_nor_best() {
    let cost = Cost::of(vec![9000.0, 3.0, 1.0, 2.0, 4.0]);
    assert_eq!(cost, Some(Cost { median: 3.0, best: 1.0 }));
    assert_eq!(Cost::of(Vec::new()), None);
}

#[test]
fn every_thread_makes_every_request_once() {
    let (count, sum) = (AtomicU64::new(0), AtomicU64::new(0));
    measure(2, 5, |number| {
        count.fetch_add(1, Relaxed);
        sum.fetch_add(number, Relaxed);
    });
    let each = (ROUNDS as u64 + 1) * 5;
    assert_eq!(count.into_inner(), 2 * each);
    assert_eq!(sum.into_inner(), 2 * each * (each - 1) / 2);
}
