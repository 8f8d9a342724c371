//! What is counted and told of each step, and that audit mode does nothing else.

use weft_api::circuit_breaker::Breaker;

use super::*;
use crate::breaker::{Cap, Failure, Settings, shared::Seat};

const FAILURE: Outcome = Outcome::Failure(Failure::Reset);

/// One failure opens it for three seconds, and then a connection comes before the first probe.
fn accrual(now: Instant, seat: Option<Seat>) -> Accrual {
    let mut policy = Breaker { consecutive: 1, ..Breaker::default() };
    policy.open.jitter = 0.0;
    let settings = Settings { connect_first: true, ..Settings::new(&policy, Scope::Endpoint) };
    let endpoint = ([10, 0, 0, 1], 80).into();
    Accrual::new(Scope::Endpoint, "a/b:80".into(), Some(endpoint), Shared::new(settings, 1, now, seat))
}

fn call(accrual: &Accrual, now: Instant, outcome: Outcome) {
    accrual.report(accrual.acquire(now).expect("calls may pass"), now, outcome);
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

impl Counts {
    fn trips_for(&self, label: &str) -> u64 {
        let reason = TRIP_REASONS.iter().position(|reason| *reason == label).expect("it is a reason to open");
        self.trips[reason].load(Relaxed)
    }

    /// Trips for any reason, refused ones, probes that closed, probes that failed.
    fn all(&self) -> [u64; 4] {
        let trips = self.trips.iter().map(|count| count.load(Relaxed)).sum();
        [
            trips,
            self.suppressed.load(Relaxed),
            self.probes_succeeded.load(Relaxed),
            self.probes_failed.load(Relaxed),
        ]
    }
}

#[test]
fn each_step_is_counted_once_under_its_reason() {
    let now = Instant::now();
    let accrual = accrual(now, None);
    call(&accrual, now, Outcome::Success);
    assert_eq!(accrual.counts.all(), [0; 4]);
    call(&accrual, now, FAILURE);
    assert_eq!((accrual.counts.trips_for("consecutive"), accrual.counts.all()), (1, [1, 0, 0, 0]));
    let refused = accrual.acquire(now + secs(1)).expect_err("it is open");
    assert_eq!(refused.retry_after, secs(2));
    assert!(
        accrual.acquire_connect(now + secs(2)).is_none(),
        "nobody is to be tried before the pause is over"
    );
    let connect = accrual.acquire_connect(now + secs(3));
    assert!(connect.is_some(), "a connection comes before the first probe");
    accrual.report(connect, now + secs(3), Outcome::Success);
    assert_eq!(accrual.counts.all(), [1, 0, 0, 0], "it is half-open, and a connection closes nothing");
    call(&accrual, now + secs(3), FAILURE);
    assert_eq!((accrual.counts.trips_for("probe_failed"), accrual.counts.all()), (1, [2, 0, 0, 1]));
    let then = now + secs(9);
    accrual.report(accrual.acquire_connect(then), then, Outcome::Success);
    call(&accrual, then, Outcome::Success);
    assert_eq!(accrual.counts.all(), [2, 0, 1, 1]);
    assert_eq!(accrual.breaker.state(), State::Closed);
    accrual.report(None, then, FAILURE);
    assert_eq!(accrual.counts.all(), [2, 0, 1, 1], "who has no pass has nothing to report");
}

#[test]
fn whoever_is_readmitted_owes_it_to_no_probe() {
    let now = Instant::now();
    let accrual = accrual(now, None);
    call(&accrual, now, FAILURE);
    accrual.note(accrual.breaker.readmit(now));
    assert_eq!((accrual.breaker.state(), accrual.counts.all()), (State::Closed, [1, 0, 0, 0]));
}

#[test]
fn a_refused_trip_is_no_trip() {
    let now = Instant::now();
    // Of no endpoint at all none may be ejected, but one that is not there does not ask: this one is there.
    let mut cap = Cap::new(50);
    assert!(cap.add(1, None));
    let accrual = accrual(now, Some(Seat { cap: Arc::new(crate::sync::Mutex::new(cap)), endpoint: 1 }));
    call(&accrual, now, FAILURE);
    assert_eq!((accrual.breaker.state(), accrual.counts.all()), (State::Closed, [0, 1, 0, 0]));
}

#[test]
fn every_reason_to_open_has_a_counter() {
    let reasons = [
        Reason::Consecutive { failures: 1 },
        Reason::Share { failed: 1, total: 1, window: secs(1) },
        Reason::ProbeFailed(Failure::Reset),
        Reason::ProbeOverloaded,
        Reason::ProbeTimedOut,
    ];
    let now = Instant::now();
    let accrual = accrual(now, None);
    for reason in reasons {
        let before = accrual.counts.trips_for(reason.label());
        let step = Transition { from: State::Closed, to: State::Open, reason, at: now, until: None };
        accrual.note([step]);
        assert_eq!(accrual.counts.trips_for(reason.label()), before + 1, "{reason}");
    }
    assert_eq!(accrual.counts.all(), [reasons.len() as u64, 0, 0, 0]);
}

#[test]
fn in_audit_mode_calls_pass_an_open_breaker_uncounted() {
    let now = Instant::now();
    let accrual = accrual(now, None);
    assert!(accrual.enforces());
    accrual.set_audit(true);
    assert!(!accrual.enforces());
    call(&accrual, now, FAILURE);
    assert_eq!(accrual.counts.all(), [1, 0, 0, 0], "it is reported");
    assert!(accrual.acquire(now).expect("nobody is refused").is_none());
    accrual.set_audit(false);
    assert!(accrual.acquire(now).is_err());
}

#[test]
fn each_step_has_its_words() {
    let now = Instant::now();
    let words = |from, to| {
        let until = Some(now + secs(3));
        words(&Transition { from, to, reason: Reason::PauseOver, at: now, until })
    };
    assert_eq!(words(State::Closed, State::Open), "breaker opened");
    assert_eq!(words(State::HalfOpen, State::Open), "breaker opened");
    assert_eq!(words(State::Open, State::HalfOpen), "breaker half-open: probing");
    assert_eq!(words(State::HalfOpen, State::Closed), "breaker closed");
    assert_eq!(words(State::Open, State::Closed), "breaker closed");
    assert_eq!(words(State::Closed, State::Closed), "ejection suppressed: no more endpoints may be out");
}

#[test]
fn scopes_have_their_names() {
    assert_eq!([Scope::Endpoint, Scope::Target].map(scope_label), ["endpoint", "target"]);
}
