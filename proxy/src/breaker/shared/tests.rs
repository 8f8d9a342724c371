//! The lock-free image, the pass, the cap, and many threads at once.

use std::thread;

use rand::{Rng, SeedableRng, rngs::SmallRng};
use weft_api::circuit_breaker::Breaker;

use super::*;
use crate::breaker::{outcome::Failure, settings::Scope};

const FAILURE: Outcome = Outcome::Failure(Failure::Reset);

fn settings() -> Settings {
    let mut policy = Breaker::default();
    policy.open.jitter = 0.0;
    Settings::new(&policy, Scope::Endpoint)
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn trip(breaker: &Arc<Shared>, now: Instant) -> Vec<Transition> {
    (0..5).flat_map(|_| breaker.acquire(now).0.expect("it is closed").report(now, FAILURE)).collect()
}

#[test]
fn the_image_follows_the_machine() {
    let now = Instant::now();
    let breaker = Shared::new(settings(), 1, now, None);
    assert_eq!(
        (breaker.state(), breaker.is_available(now), breaker.share_percent(now)),
        (State::Closed, true, 100)
    );
    trip(&breaker, now);
    assert_eq!((breaker.state(), breaker.is_available(now)), (State::Open, false));
    assert!(!breaker.is_available(now + Duration::from_nanos(2_999_999_999)));
    assert!(breaker.is_available(now + secs(3)));
    let probe = breaker.acquire(now + secs(3)).0.unwrap();
    assert!(probe.is_probe());
    assert_eq!((breaker.state(), breaker.is_available(now + secs(3))), (State::HalfOpen, false));
    assert!(breaker.is_available(now + secs(8)), "somebody has to notice that the probe hangs");
    let _ = probe.report(now + secs(4), Outcome::Success);
    assert_eq!((breaker.state(), breaker.is_available(now)), (State::Closed, true));
    assert_eq!([4, 9, 14].map(|at| breaker.share_percent(now + secs(at))), [10, 55, 100]);
}

#[test]
fn suspicion_is_told_without_a_lock() {
    let now = Instant::now();
    let breaker = Shared::new(settings(), 1, now, None);
    let after = |outcome| {
        let _ = breaker.acquire(now).0.unwrap().report(now, outcome);
        breaker.failures_left()
    };
    assert_eq!(breaker.failures_left(), None);
    assert_eq!([FAILURE, FAILURE, Outcome::Success].map(after), [Some(4), Some(3), None]);
    assert_eq!([FAILURE; 5].map(after), [Some(4), Some(3), Some(2), Some(1), None]);
    assert_eq!(breaker.state(), State::Open);
}

#[test]
fn where_a_connection_comes_first_nothing_is_available_before() {
    let now = Instant::now();
    let breaker = Shared::new(Settings { connect_first: true, ..settings() }, 1, now, None);
    trip(&breaker, now);
    let later = now + secs(100);
    assert!(!breaker.is_available(later));
    let connect = breaker.acquire_connect(later).0.unwrap();
    assert!(!breaker.is_available(later));
    let _ = connect.report(later, Outcome::Success);
    assert!(breaker.is_available(later));
}

#[test]
fn a_dropped_pass_counts_as_ignored() {
    let now = Instant::now();
    let breaker = Shared::new(settings(), 1, now, None);
    let call = breaker.acquire(now).0.unwrap();
    assert!(!call.is_probe());
    drop(call);
    assert_eq!(breaker.view().tally, Tally { ignored: 1, ..Tally::default() });
    trip(&breaker, now);
    let probe = breaker.acquire(now + secs(3)).0;
    assert!(!breaker.is_available(now + secs(3)));
    drop(probe);
    assert!(breaker.is_available(now + secs(3)), "the probe's place is free again");
}

#[test]
fn a_call_from_before_the_latest_step_changes_nothing() {
    let now = Instant::now();
    let breaker = Shared::new(Settings { consecutive: 1, ..settings() }, 1, now, None);
    let (mut early, mut late) = (breaker.acquire(now).0.unwrap(), breaker.acquire(now).0.unwrap());
    for at in [now, now + secs(10)] {
        assert_eq!(breaker.acquire(at).0.unwrap().report(at, FAILURE).into_iter().count(), 1);
        assert!(early.report(at, FAILURE).is_empty(), "it is open already");
        let _ = breaker.acquire(at + secs(8)).0.unwrap().report(at + secs(8), Outcome::Success);
        assert!(late.report(at + secs(8), FAILURE).is_empty(), "it has closed again since");
        assert_eq!(breaker.state(), State::Closed);
        (early, late) = (breaker.acquire(at).0.unwrap(), breaker.acquire(at).0.unwrap());
    }
    assert_eq!(breaker.view().tally, Tally { ok: 2, err: 2, stale: 4, ..Tally::default() });
}

#[test]
fn a_call_that_is_granted_was_announced_by_the_image() {
    let mut now = Instant::now();
    let mut random = SmallRng::seed_from_u64(5);
    let breaker = Shared::new(Settings { probes: 2, successes: 3, ..settings() }, 1, now, None);
    let mut passes = Vec::new();
    let mut probes = 0;
    for _ in 0..20_000 {
        now += Duration::from_millis(random.random_range(0..500));
        let announced = breaker.is_available(now);
        match random.random_range(0..8) {
            0..4 => {
                if let Ok(pass) = breaker.acquire(now).0 {
                    assert!(announced);
                    probes += u32::from(pass.is_probe());
                    passes.push(pass);
                }
            }
            4 => passes.truncate(3),
            _ if passes.is_empty() => {}
            roll => {
                let outcome = if roll == 5 { Outcome::Success } else { FAILURE };
                let _ = passes.swap_remove(random.random_range(0..passes.len())).report(now, outcome);
            }
        }
        let state = match breaker.view().phase {
            Phase::Closed { .. } => State::Closed,
            Phase::Open { .. } => State::Open,
            Phase::HalfOpen { .. } => State::HalfOpen,
        };
        assert_eq!(breaker.state(), state);
    }
    assert!(probes > 100, "{probes}");
}

#[test]
fn a_trip_over_the_cap_costs_share_instead() {
    let now = Instant::now();
    let cap = Arc::new(Mutex::new(Cap::new(50)));
    let [one, two] = [0, 1].map(|endpoint| {
        let breaker = Shared::new(settings(), endpoint, now, Some(Seat { cap: Arc::clone(&cap), endpoint }));
        assert!(breaker.join(now).is_empty());
        breaker
    });
    assert!(trip(&one, now).iter().all(|step| step.to == State::Open));
    let refused = trip(&two, now);
    assert!(refused.len() == 1 && refused[0].is_refused_trip());
    assert_eq!((two.state(), two.is_available(now), two.share_percent(now)), (State::Closed, true, 10));
    assert_eq!(two.share_percent(now + secs(3 + 5)), 55, "slow start follows the pause");
    // Once the first serves again there is room for the second.
    let _ = one.acquire(now + secs(3)).0.unwrap().report(now + secs(3), Outcome::Success);
    assert_eq!(trip(&two, now + secs(3))[0].to, State::Open);
    assert_eq!(cap.lock().unwrap().ejected(), 1);
}

#[test]
fn the_cap_learns_how_long_a_failed_probe_keeps_it_open() {
    let now = Instant::now();
    let cap = Arc::new(Mutex::new(Cap::new(50)));
    let breakers: Vec<_> = (0..4)
        .map(|endpoint| {
            let breaker =
                Shared::new(settings(), endpoint, now, Some(Seat { cap: Arc::clone(&cap), endpoint }));
            assert!(breaker.join(now).is_empty());
            breaker
        })
        .collect();
    trip(&breakers[0], now);
    trip(&breakers[1], now + secs(1));
    // Due at 3 s and at 4 s; after its failed probe the first is due at 9 s.
    let _ = breakers[0].acquire(now + secs(3)).0.unwrap().report(now + secs(3), FAILURE);
    assert_eq!(cap.lock().unwrap().set_percent(25), [1], "who is due first is readmitted first");
}

#[test]
fn time_alone_ends_a_pause_and_a_silent_probe() {
    let now = Instant::now();
    let breaker = Shared::new(settings(), 1, now, None);
    trip(&breaker, now);
    assert!(breaker.poll(now + Duration::from_millis(2_999)).is_empty());
    let steps: Vec<_> = breaker.poll(now + secs(3)).into_iter().map(|step| step.to).collect();
    assert_eq!((steps, breaker.state()), (vec![State::HalfOpen], State::HalfOpen));
    let _silent = breaker.acquire(now + secs(3)).0.unwrap();
    let steps: Vec<_> = breaker.poll(now + secs(8)).into_iter().map(|step| step.to).collect();
    assert_eq!((steps, breaker.state()), (vec![State::Open], State::Open));
}

#[test]
fn no_outcome_is_lost_between_threads() {
    const EACH: u64 = 20_000;
    let base = Instant::now();
    let breaker = Shared::new(Settings { probes: 4, successes: 8, ..settings() }, 1, base, None);
    let work = &|seed| {
        let mut random = SmallRng::seed_from_u64(seed);
        let mut granted = 0;
        for step in 0..EACH {
            let now = base + Duration::from_millis(step * 5);
            let Ok(pass) = breaker.acquire(now).0 else { continue };
            granted += 1;
            match random.random_range(0..10) {
                0 => drop(pass),
                1..6 => drop(pass.report(now, Outcome::Success)),
                _ => drop(pass.report(now, FAILURE)),
            }
        }
        granted
    };
    let granted: u64 = thread::scope(|scope| {
        let workers: Vec<_> = (0..8).map(|seed| scope.spawn(move || work(seed))).collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).sum()
    });
    let tally = breaker.view().tally;
    assert_eq!(tally.ok + tally.err + tally.ignored + tally.stale, granted);
    assert_eq!(granted + tally.rejected, 8 * EACH);
    assert!(tally.rejected > 0, "{tally:?}");
}

#[test]
fn a_panic_elsewhere_does_not_close_the_road() {
    let now = Instant::now();
    let breaker = Shared::new(settings(), 1, now, None);
    let panicked = thread::scope(|scope| {
        scope
            .spawn(|| {
                let _machine = breaker.machine.lock().unwrap();
                std::panic::resume_unwind(Box::new("on purpose"));
            })
            .join()
    });
    assert!(panicked.is_err());
    assert!(breaker.acquire(now).0.is_ok());
}

#[test]
fn a_year_fits_into_the_image() {
    let image = Image::new(State::Open, nanos(secs(365 * 24 * 3600 * 100)));
    assert_eq!((image.state(), image.at_ns()), (State::Open, nanos(secs(365 * 24 * 3600 * 100))));
    assert_eq!(Image::new(State::HalfOpen, u64::MAX).at_ns(), Image::NEVER_NS);
}
