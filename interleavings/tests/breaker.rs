//! The tokens of a breaker, in every order in which threads may ask for them, report them, and learn of a trip.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use loom::{
    model,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};
use weft_api::circuit_breaker::Breaker;
use weft_interleavings::{
    breaker::{
        EndpointKey, Failure, Kept, Outcome, Pass, Scope, Settings, Shared, State, Transition,
        machine::{Phase, Tally},
        transition::Reason,
    },
    check_up_to_bound,
};

const FAILURE: Outcome = Outcome::Failure(Failure::Reset);

/// One failure trips, for three seconds exactly.
fn settings() -> Settings {
    let mut policy = Breaker::default();
    policy.open.jitter = 0.0;
    Settings { consecutive: 1, ..Settings::new(&policy, Scope::Endpoint) }
}

/// The pause after the first trip.
const PAUSE: Duration = Duration::from_secs(3);

fn closed(settings: Settings, now: Instant) -> Arc<Shared> {
    Shared::new(settings, 1, now, None)
}

/// A breaker that is open until [`PAUSE`] after `now`, and a call that began before.
fn tripped(settings: Settings, now: Instant) -> (Arc<Shared>, Pass) {
    let breaker = closed(settings, now);
    let [early, failed] = [0, 1].map(|_| breaker.acquire(now).0.expect("it is closed"));
    assert_eq!(report(failed, now, FAILURE).len(), 1);
    (breaker, early)
}

fn report(pass: Pass, now: Instant, outcome: Outcome) -> Vec<Transition> {
    pass.report(now, outcome).into_iter().collect()
}

/// Waits for the end of a thread. What failed in it has failed the test by then.
fn end<T>(thread: thread::JoinHandle<T>) -> T {
    thread.join().expect("it did not fail")
}

/// Runs `work` on a thread of its own.
fn spawn<T: 'static>(
    breaker: &Arc<Shared>,
    work: impl FnOnce(&Arc<Shared>) -> T + 'static,
) -> thread::JoinHandle<T> {
    let breaker = Arc::clone(breaker);
    thread::spawn(move || work(&breaker))
}

fn outcomes(tally: Tally) -> u64 {
    tally.ok + tally.err + tally.ignored + tally.stale
}

#[test]
fn each_token_counts_once() {
    let now = Instant::now();
    check_up_to_bound(move || {
        let breaker = closed(settings(), now);
        // Each says whether it was let through.
        let call = |outcome: Option<Outcome>| {
            move |breaker: &Arc<Shared>| {
                let Ok(pass) = breaker.acquire(now).0 else { return 0 };
                match outcome {
                    Some(outcome) => drop(report(pass, now, outcome)),
                    None => drop(pass),
                }
                1
            }
        };
        let others = [Some(FAILURE), None].map(|outcome| spawn(&breaker, call(outcome)));
        let mut granted = call(Some(Outcome::Success))(&breaker);
        granted += others.into_iter().map(end).sum::<u64>();
        let tally = breaker.view().tally;
        assert_eq!((outcomes(tally), granted + tally.rejected), (granted, 3), "{tally:?}");
    });
}

#[test]
fn calls_that_fail_at_once_trip_once() {
    let now = Instant::now();
    model(move || {
        let breaker = closed(settings(), now);
        let [one, two] = [0, 1].map(|_| breaker.acquire(now).0.expect("it is closed"));
        let other = thread::spawn(move || report(one, now, FAILURE));
        let steps = [report(two, now, FAILURE), end(other)].concat();
        assert_eq!(
            steps.iter().map(|step| (step.from, step.to)).collect::<Vec<_>>(),
            [(State::Closed, State::Open)]
        );
        let view = breaker.view();
        assert_eq!(view.phase, Phase::Open { until: now + PAUSE });
        assert_eq!(view.tally, Tally { err: 1, stale: 1, ..Tally::default() });
    });
}

/// A call that began before the trip ends with `late` while a probe ends with `outcome`: the probe alone decides.
fn assert_the_probe_decides(late: Outcome, outcome: Outcome, state: State) {
    let now = Instant::now();
    model(move || {
        let (breaker, early) = tripped(settings(), now);
        let then = now + PAUSE;
        let other = thread::spawn(move || report(early, then, late));
        let probe = breaker.acquire(then).0.expect("the pause is over");
        assert!(probe.is_probe());
        let steps = report(probe, then, outcome);
        assert_eq!(steps.iter().map(|step| step.to).collect::<Vec<_>>(), [state]);
        // To see that time has passed is all that the late one may have done.
        assert!(end(other).iter().all(|step| step.reason == Reason::PauseOver));
        let view = breaker.view();
        assert_eq!((breaker.state(), view.tally.stale, outcomes(view.tally)), (state, 1, 3));
        if let Phase::Open { until } = view.phase {
            assert_eq!(until, then + 2 * PAUSE, "the second pause is twice as long, whatever came in late");
        }
    });
}

#[test]
fn a_late_success_closes_nothing() {
    assert_the_probe_decides(Outcome::Success, FAILURE, State::Open);
}

#[test]
fn a_late_failure_opens_nothing() {
    assert_the_probe_decides(FAILURE, Outcome::Success, State::Closed);
}

/// `threads` calls ask for admission where so many probes may be under way at once. The checker changes threads only where
/// one of its own types is about to be used, so what is counted here after such a use belongs to it.
fn assert_probes_are_bounded(probes: u32, threads: usize) {
    let now = Instant::now();
    check_up_to_bound(move || {
        // More successes than there are calls: it stays half-open.
        let (breaker, early) = tripped(Settings { probes, successes: 9, ..settings() }, now);
        drop(early);
        let under_way = Arc::new(AtomicU32::new(0));
        let probe = {
            let under_way = Arc::clone(&under_way);
            move |breaker: &Arc<Shared>| {
                let Ok(pass) = breaker.acquire(now + PAUSE).0 else { return };
                assert!(pass.is_probe());
                assert!(under_way.fetch_add(1, Relaxed) < probes, "a probe too many");
                drop(report(pass, now + PAUSE, Outcome::Success));
                under_way.fetch_sub(1, Relaxed);
            }
        };
        let others: Vec<_> = (1..threads).map(|_| spawn(&breaker, probe.clone())).collect();
        probe(&breaker);
        others.into_iter().for_each(end);
        let tally = breaker.view().tally;
        assert_eq!(
            (outcomes(tally) + tally.rejected, breaker.state()),
            (2 + threads as u64, State::HalfOpen)
        );
    });
}

#[test]
fn no_two_probes_where_one_is_allowed() {
    assert_probes_are_bounded(1, 2);
}

#[test]
fn no_three_probes_where_two_are_allowed() {
    assert_probes_are_bounded(2, 3);
}

/// A breaker, and a call that will trip it.
fn about_to_trip(now: Instant) -> (Arc<Shared>, Pass) {
    let breaker = closed(settings(), now);
    let call = breaker.acquire(now).0.expect("it is closed");
    (breaker, call)
}

// Who watches is a thread of its own, so that it comes second at first: of the uses of an atomic, the checker remembers
// the latest alone, and would forget a look at the image once the thread that changes it has looked as well.

#[test]
fn who_sees_it_open_is_not_admitted() {
    let now = Instant::now();
    model(move || {
        let (breaker, call) = about_to_trip(now);
        let watcher = spawn(&breaker, move |breaker| {
            if breaker.state() == State::Open {
                assert!(breaker.acquire(now).0.is_err());
            }
        });
        drop(report(call, now, FAILURE));
        end(watcher);
    });
}

#[test]
fn who_sees_it_unavailable_is_not_admitted() {
    let now = Instant::now();
    model(move || {
        let (breaker, call) = about_to_trip(now);
        let watcher = spawn(&breaker, move |breaker| {
            if !breaker.is_available(now) {
                assert_eq!(breaker.state(), State::Open, "what was seen once does not go away");
                assert!(breaker.acquire(now).0.is_err());
            }
        });
        drop(report(call, now, FAILURE));
        end(watcher);
    });
}

#[test]
fn who_is_told_of_a_trip_is_not_admitted() {
    let now = Instant::now();
    model(move || {
        let (breaker, call) = about_to_trip(now);
        let told = Arc::new(AtomicBool::new(false));
        let is_told = Arc::clone(&told);
        let watcher = spawn(&breaker, move |breaker| {
            if is_told.load(Ordering::Acquire) {
                assert_eq!(breaker.state(), State::Open);
                assert!(breaker.acquire(now).0.is_err());
            }
        });
        drop(report(call, now, FAILURE));
        told.store(true, Ordering::Release);
        end(watcher);
    });
}

#[test]
fn a_call_admitted_beside_a_trip_is_of_the_time_before() {
    let now = Instant::now();
    model(move || {
        let breaker = closed(settings(), now);
        let failed = breaker.acquire(now).0.expect("it is closed");
        let other = spawn(&breaker, move |breaker| {
            drop(report(failed, now, FAILURE));
            // It closes again.
            let probe = breaker.acquire(now + PAUSE).0.expect("nobody else probes");
            report(probe, now + PAUSE, Outcome::Success)
        });
        let beside = breaker.acquire(now).0;
        assert_eq!(end(other).last().map(|step| step.to), Some(State::Closed));
        let Ok(beside) = beside else { return };
        // One failure trips. If the call is of the time before, it does not; if it began after the breaker closed, it does.
        let before = breaker.view().tally;
        let steps = report(beside, now + PAUSE, FAILURE);
        let after = breaker.view().tally;
        assert_eq!((after.stale - before.stale) + (after.err - before.err), 1);
        assert_eq!(steps.len() as u64, after.err - before.err);
    });
}

fn endpoints(count: u8) -> Vec<EndpointKey> {
    (0..count)
        .map(|number| EndpointKey { address: ([10, 0, 0, number], 80).into(), identity: None })
        .collect()
}

/// The breakers of as many endpoints, half of which may be ejected, with a call under way through each.
fn kept(count: u8, now: Instant) -> (Kept, Vec<Arc<Shared>>, Vec<Pass>) {
    let kept = Kept::new(settings(), 50, 1);
    let breakers = kept.reconcile(now, &endpoints(count)).breakers;
    let calls = breakers.iter().map(|breaker| breaker.acquire(now).0.expect("it is closed")).collect();
    (kept, breakers, calls)
}

fn open(breakers: &[Arc<Shared>]) -> usize {
    breakers.iter().filter(|breaker| breaker.state() == State::Open).count()
}

#[test]
fn endpoints_that_fail_at_once_are_not_all_ejected() {
    let now = Instant::now();
    check_up_to_bound(move || {
        let (_kept, breakers, calls) = kept(3, now);
        let reports: Vec<_> =
            calls.into_iter().map(|call| thread::spawn(move || report(call, now, FAILURE))).collect();
        let steps: Vec<_> = reports.into_iter().flat_map(end).collect();
        assert_eq!((open(&breakers), steps.len()), (1, 3), "half of three is one");
        assert_eq!(steps.iter().filter(|step| step.is_refused_trip()).count(), 2);
    });
}

#[test]
fn a_trip_beside_a_lower_cap_is_refused_or_taken_back() {
    let now = Instant::now();
    model(move || {
        let (kept, breakers, mut calls) = kept(2, now);
        let call = calls.pop().expect("there are two");
        let other = thread::spawn(move || report(call, now, FAILURE));
        let readmitted = kept.set_settings(now, settings(), 0);
        let refused = end(other)[0].is_refused_trip();
        assert_eq!((open(&breakers), readmitted.len()), (0, usize::from(!refused)));
    });
}

#[test]
fn the_only_endpoint_left_serves_though_it_trips_while_the_other_leaves() {
    let now = Instant::now();
    model(move || {
        let (kept, breakers, mut calls) = kept(2, now);
        let call = calls.swap_remove(0);
        let other = thread::spawn(move || report(call, now, FAILURE));
        let reconciled = kept.reconcile(now, &endpoints(1));
        let refused = end(other)[0].is_refused_trip();
        assert_eq!((open(&breakers), reconciled.readmitted.len()), (0, usize::from(!refused)));
    });
}

#[test]
fn who_comes_back_open_beside_another_trip_serves_again() {
    let now = Instant::now();
    model(move || {
        let (kept, breakers, mut calls) = kept(3, now);
        drop(report(calls.pop().expect("there are three"), now, FAILURE));
        let call = calls.pop().expect("there are two");
        let other = thread::spawn(move || report(call, now, FAILURE));
        let _ = kept.reconcile(now, &endpoints(2));
        let reconciled = kept.reconcile(now, &endpoints(3));
        let refused = end(other)[0].is_refused_trip();
        assert_eq!((open(&breakers), reconciled.readmitted.len()), (1, usize::from(!refused)));
    });
}
