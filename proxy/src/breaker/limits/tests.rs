//! Exactness of admission, by one thread and by many.

use std::{
    sync::atomic::{AtomicBool, AtomicU32},
    thread,
};

use rand::{Rng, SeedableRng, rngs::SmallRng};

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
fn a_million_permits_of_64_tasks_never_exceed_the_limit() {
    // More than the tasks of one thread: whoever is preempted leaves room for the others.
    const LIMIT: u32 = 24;
    const THREADS: u32 = 4;
    const TASKS_EACH: usize = 16;
    const PERMITS_EACH: u32 = 1_000_000 / THREADS;
    // So that a gauge that admits nobody fails the test, and does not hang it.
    const STEPS_MAX: u32 = 100 * PERMITS_EACH;
    let gauge = Gauge::new(LIMIT);
    // Counted apart from the gauge, and only while the permit is held.
    let (inside, most) = (AtomicU32::new(0), AtomicU32::new(0));
    let work = |seed| {
        let mut random = SmallRng::seed_from_u64(seed);
        let mut tasks: [Option<Permit>; TASKS_EACH] = std::array::from_fn(|_| None);
        let leave = |permit: Permit| {
            inside.fetch_sub(1, Ordering::SeqCst);
            drop(permit);
        };
        let mut admitted = 0;
        for _ in 0..STEPS_MAX {
            let task = &mut tasks[random.random_range(0..TASKS_EACH)];
            if let Some(permit) = task.take() {
                leave(permit);
            } else if let Ok(permit) = gauge.try_acquire() {
                most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                *task = Some(permit);
                admitted += 1;
                if admitted == PERMITS_EACH {
                    break;
                }
            }
        }
        tasks.into_iter().flatten().for_each(leave);
        admitted
    };
    let admitted: u32 = thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS).map(|seed| scope.spawn(move || work(seed.into()))).collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).sum()
    });
    assert_eq!((admitted, most.into_inner()), (1_000_000, LIMIT), "permits, and most at once");
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
