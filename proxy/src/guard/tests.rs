use std::time::Duration;

use weft_api::circuit_breaker::{
    Breaker, Fallback as Policy, Header, Limits as LimitsPolicy, Open as OpenPolicy,
};

use super::*;
use crate::breaker::{Scope, Settings, Shared};

/// One failure opens it for three seconds.
fn guard(audit: bool, max_requests: u32, fallback: Option<&Policy>) -> Arc<Guard> {
    let policy = Breaker {
        consecutive: 1,
        open: OpenPolicy { jitter: 0.0, ..OpenPolicy::default() },
        ..Breaker::default()
    };
    let breaker = Shared::new(Settings::new(&policy, Scope::Target), 1, Instant::now(), None);
    let target = Accrual::new(Scope::Target, "a".into(), None, breaker);
    target.set_audit(audit);
    Arc::new(Guard {
        name: "a".into(),
        failures: Failures::default(),
        target: Some(Arc::new(target)),
        fallback: fallback.map(|policy| Fallback::new(policy).unwrap()),
        limits: Limits::new(&LimitsPolicy { max_requests, ..LimitsPolicy::default() }),
        audit,
        counts: Arc::default(),
    })
}

fn failed() -> Event {
    Event::Response { status: 500, retry_after: None, headers_after: Duration::ZERO }
}

fn fail(guard: &Arc<Guard>, now: Instant) {
    let mut entry = guard.enter(now).unwrap();
    entry.settle(entry.outcome(failed(), false), now);
}

#[test]
fn an_open_breaker_refuses_and_takes_no_place() {
    let (guard, now) = (guard(false, 1, None), Instant::now());
    fail(&guard, now);
    assert_eq!(guard.enter(now).unwrap_err(), Fault::BreakerOpen { retry_after: Duration::from_secs(3) });
    assert_eq!(guard.limits.requests.in_flight(), 0);
}

#[test]
fn beyond_the_limit_nothing_enters_and_nothing_is_learnt() {
    let (guard, now) = (guard(false, 1, None), Instant::now());
    let held = guard.enter(now).unwrap();
    assert_eq!(guard.enter(now).unwrap_err(), Fault::Overflow);
    assert_eq!(guard.counts.overflows.load(Relaxed), 1);
    drop(held);
    assert!(guard.enter(now).is_ok());
    let tally = guard.target.as_ref().unwrap().breaker.view().tally;
    assert_eq!((tally.ok, tally.err), (0, 0));
}

#[test]
fn audit_counts_and_never_acts() {
    let policy = Policy { causes: vec![FallbackCause::Open, FallbackCause::Failure], ..Policy::default() };
    let (guard, now) = (guard(true, 1, Some(&policy)), Instant::now());
    fail(&guard, now);
    let _first = guard.enter(now).unwrap();
    let _second = guard.enter(now).unwrap();
    assert_eq!(guard.counts.overflows.load(Relaxed), 1);
    assert_eq!(guard.target.as_ref().unwrap().counts.trips[0].load(Relaxed), 1);
    assert!(guard.fall_back(FallbackCause::Open).is_none());
}

#[test]
fn a_guard_reports_once() {
    let (guard, now) = (guard(false, 9, None), Instant::now());
    let mut entry = guard.enter(now).unwrap();
    assert!(entry.is_owed());
    entry.settle(Outcome::Success, now);
    entry.settle(entry.outcome(failed(), false), now);
    assert!(!entry.is_owed());
    assert!(guard.enter(now).is_ok());
}

#[test]
fn only_what_a_breaker_waits_for_is_a_probe() {
    let (guard, now) = (guard(false, 9, None), Instant::now());
    let mut entry = guard.enter(now).unwrap();
    assert!(!entry.is_probe());
    entry.settle(entry.outcome(failed(), false), now);
    let mut probe = guard.enter(now + Duration::from_secs(3)).unwrap();
    assert!(probe.is_probe());
    probe.settle(Outcome::Success, now + Duration::from_secs(3));
    assert!(!probe.is_probe(), "it has been told");
}

#[test]
fn the_canned_answer_is_marked_and_given_for_its_causes_only() {
    let header = Header { name: "Content-Type".into(), value: "text/plain".into() };
    let length = Header { name: "content-length".into(), value: "9999".into() };
    let policy =
        Policy { status: 203, headers: vec![header, length], body: "vibes".into(), ..Policy::default() };
    let guard = guard(false, 1, Some(&policy));
    assert!(guard.fall_back(FallbackCause::Failure).is_none());
    let response = guard.fall_back(FallbackCause::Open).unwrap();
    assert_eq!((response.status().as_u16(), response.body().as_ref()), (203, &b"vibes"[..]));
    assert_eq!(response.headers()["x-weft-fallback"], "open");
    assert!(!response.headers().contains_key("content-length"));
    assert_eq!(guard.counts.fallbacks_open.load(Relaxed), 1);
}

#[test]
fn a_header_that_is_none_is_refused_by_name() {
    let header = Header { name: "x-a".into(), value: "line\nbreak".into() };
    let error = Fallback::new(&Policy { headers: vec![header], ..Policy::default() }).unwrap_err();
    assert!(error.to_string().contains("x-a"), "{error}");
}
