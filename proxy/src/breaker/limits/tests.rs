//! Exactness of admission, by one thread and by many.

use std::{
    sync::atomic::{AtomicBool, AtomicU32},
    thread,
};

use super::*;

#[test]
fn a_permit_is_given_back_once() {
    let gauge = Gauge::new(2);
    let first = gauge.try_acquire().unwrap();
    let second = gauge.try_acquire().unwrap();
    assert_eq!(gauge.try_acquire().unwrap_err(), Full { limit: 2 });
    drop(first);
    assert_eq!(gauge.in_flight(), 1);
    let _third = gauge.try_acquire().unwrap();
    drop(second);
    assert_eq!((gauge.in_flight(), gauge.limit()), (1, 2));
}

#[test]
fn a_lower_limit_admits_nothing_until_enough_has_ended() {
    let gauge = Gauge::new(8);
    let mut permits: Vec<_> = (0..5).map(|_| gauge.try_acquire().unwrap()).collect();
    gauge.set_limit(3);
    while permits.len() > 2 {
        assert_eq!(gauge.try_acquire().unwrap_err(), Full { limit: 3 });
        permits.pop();
    }
    assert!(gauge.try_acquire().is_ok());
    gauge.set_limit(0);
    assert_eq!(gauge.try_acquire().unwrap_err(), Full { limit: 0 });
    gauge.set_limit(u32::MAX);
    assert!(gauge.try_acquire().is_ok());
}

#[test]
fn limits_follow_the_policy() {
    let policy = Policy { max_connections: 1, max_pending: 2, max_requests: 3 };
    let limits = Limits::new(&policy);
    let at = |limits: &Limits| [limits.connections.limit(), limits.pending.limit(), limits.requests.limit()];
    assert_eq!(at(&limits), [1, 2, 3]);
    limits.set(&Policy::default());
    assert_eq!(at(&limits), [1024; 3]);
}

#[test]
fn a_million_requests_by_64_threads_never_exceed_the_limit() {
    const LIMIT: u32 = 7;
    const EACH: usize = 1_000_000 / 64;
    let gauge = Gauge::new(LIMIT);
    let (inside, most, admitted) = (AtomicU32::new(0), AtomicU32::new(0), AtomicU32::new(0));
    let work = || {
        for _ in 0..EACH {
            let Ok(permit) = gauge.try_acquire() else {
                thread::yield_now();
                continue;
            };
            // Counted apart from the gauge, and only while the permit is held.
            most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            admitted.fetch_add(1, Ordering::SeqCst);
            inside.fetch_sub(1, Ordering::SeqCst);
            drop(permit);
        }
    };
    thread::scope(|scope| {
        for _ in 0..64 {
            scope.spawn(work);
        }
    });
    assert!(most.into_inner() <= LIMIT);
    // Whoever of the first is the last at work is alone at the end, and admitted again.
    assert!(admitted.into_inner() > LIMIT, "permits come back");
    assert_eq!(gauge.in_flight(), 0);
}

#[test]
fn a_limit_lowered_under_load_holds_from_that_moment() {
    let gauge = Gauge::new(8);
    let stop = AtomicBool::new(false);
    let work = || {
        while !stop.load(Ordering::Relaxed) {
            drop(gauge.try_acquire());
        }
    };
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(work);
        }
        // Also if a check below panics: the scope waits for whoever works.
        let _stop = StopOnDrop(&stop);
        for _ in 0..20_000 {
            gauge.set_limit(2);
            // Whoever is inside may stay, but nobody comes in before there is room.
            let mut most = u32::MAX;
            for _ in 0..50 {
                let in_flight = gauge.in_flight();
                assert!(in_flight <= most, "{in_flight} after {most} at a limit of 2");
                most = in_flight.max(2);
            }
            gauge.set_limit(8);
        }
    });
    assert_eq!((gauge.limit(), gauge.in_flight()), (8, 0));
}

struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
