//! The permits of a limit, in every order in which threads may ask, give back and change the limit.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering::Relaxed},
};

use loom::thread;
use weft_interleavings::{
    breaker::{Gauge, Permit},
    check_up_to_bound,
};

/// What is so at an instant, kept apart from the gauge. The checker changes threads only where one of its own types is
/// about to be used, so a line that follows such a use belongs to it.
struct Witness {
    gauge: Arc<Gauge>,
    limit: AtomicU32,
    inside: AtomicU32,
}

impl Witness {
    fn new(limit: u32) -> Arc<Self> {
        Arc::new(Self { gauge: Gauge::new(limit), limit: AtomicU32::new(limit), inside: AtomicU32::new(0) })
    }

    fn try_enter(&self) -> Option<Permit> {
        let permit = self.gauge.try_acquire().ok()?;
        let limit = self.limit.load(Relaxed);
        let inside = self.inside.fetch_add(1, Relaxed) + 1;
        assert!(inside <= limit, "admitted as number {inside} while the limit was {limit}");
        Some(permit)
    }

    fn leave(&self, permit: Permit) {
        drop(permit);
        self.inside.fetch_sub(1, Relaxed);
    }

    fn set_limit(&self, limit: u32) {
        self.gauge.set_limit(limit);
        self.limit.store(limit, Relaxed);
    }

    /// Once in and out again, if there is room.
    fn visit(&self) {
        if let Some(permit) = self.try_enter() {
            self.leave(permit);
        }
    }

    /// Nobody is inside, and exactly as many as the limit allows may be.
    fn assert_all_came_back(&self) {
        let limit = self.limit.load(Relaxed);
        assert_eq!((self.gauge.limit(), self.gauge.in_flight()), (limit, 0));
        let permits: Vec<_> = (0..limit).map(|_| self.try_enter().expect("there is room")).collect();
        assert!(self.try_enter().is_none());
        drop(permits);
        assert_eq!(self.gauge.in_flight(), 0);
    }
}

fn join(threads: impl IntoIterator<Item = thread::JoinHandle<()>>) {
    for thread in threads {
        thread.join().expect("it did not fail");
    }
}

/// Runs `work` on a thread of its own.
fn spawn(witness: &Arc<Witness>, work: impl Fn(&Witness) + 'static) -> thread::JoinHandle<()> {
    let witness = Arc::clone(witness);
    thread::spawn(move || work(&witness))
}

#[test]
fn never_more_than_the_limit() {
    check_up_to_bound(|| {
        let witness = Witness::new(1);
        let others = [0, 1].map(|_| spawn(&witness, Witness::visit));
        witness.visit();
        join(others);
        witness.assert_all_came_back();
    });
}

#[test]
fn a_lower_limit_holds_from_its_instant_on() {
    check_up_to_bound(|| {
        let witness = Witness::new(2);
        let others = [0, 1].map(|_| spawn(&witness, Witness::visit));
        witness.set_limit(1);
        witness.visit();
        join(others);
        witness.assert_all_came_back();
    });
}

#[test]
fn of_two_changes_one_is_the_last_and_no_permit_is_lost() {
    check_up_to_bound(|| {
        let witness = Witness::new(2);
        let others = [spawn(&witness, |witness| witness.set_limit(1)), spawn(&witness, Witness::visit)];
        witness.set_limit(3);
        join(others);
        witness.assert_all_came_back();
    });
}

#[test]
fn a_permit_may_end_on_another_thread() {
    check_up_to_bound(|| {
        let witness = Witness::new(2);
        let permits = [0, 1].map(|_| witness.try_enter().expect("there is room"));
        let others = permits.map(|permit| {
            let witness = Arc::clone(&witness);
            thread::spawn(move || witness.leave(permit))
        });
        witness.visit();
        join(others);
        witness.assert_all_came_back();
    });
}
