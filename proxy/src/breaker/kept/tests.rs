//! Flaps, changes of identity, and how the cap follows the endpoints.

use weft_api::circuit_breaker::Breaker;

use super::*;
use crate::breaker::{
    outcome::{Failure, Outcome},
    settings::Scope,
    transition::{Reason, State},
};

fn settings() -> Settings {
    Settings::new(&Breaker::default(), Scope::Endpoint)
}

fn key(number: u8) -> EndpointKey {
    EndpointKey {
        address: ([10, 0, 0, number], 80).into(),
        identity: Some("spiffe://cluster.local/ns/a/sa/b".into()),
    }
}

fn keys(numbers: impl IntoIterator<Item = u8>) -> Vec<EndpointKey> {
    numbers.into_iter().map(key).collect()
}

fn trip(breaker: &Arc<Shared>, now: Instant) {
    for _ in 0..5 {
        let _ = breaker.acquire(now).0.unwrap().report(now, Outcome::Failure(Failure::Connect));
    }
}

fn open(breakers: &[Arc<Shared>]) -> usize {
    breakers.iter().filter(|breaker| breaker.state() == State::Open).count()
}

/// How many breakers there are, those of endpoints that are gone included.
fn entries(kept: &Kept) -> usize {
    kept.lock().entries.len()
}

#[test]
fn a_flap_does_not_pardon() {
    let now = Instant::now();
    let kept = Kept::new(settings(), 50, 1);
    let before = kept.reconcile(now, &keys(0..4)).breakers;
    trip(&before[0], now);
    assert_eq!(kept.reconcile(now, &keys(1..4)).breakers.len(), 3);
    let almost = now + Duration::from_millis(59_999);
    let after = kept.reconcile(almost, &keys(0..4)).breakers;
    assert!(Arc::ptr_eq(&before[0], &after[0]) && after[0].state() == State::Open);
    assert!(Arc::ptr_eq(&before[3], &after[3]), "who stayed is the same as well");
}

#[test]
fn after_a_minute_it_starts_afresh() {
    let now = Instant::now();
    let kept = Kept::new(settings(), 50, 1);
    trip(&kept.reconcile(now, &keys(0..4)).breakers[0], now);
    let _ = kept.reconcile(now, &keys(1..4));
    let back = kept.reconcile(now + KEEP, &keys(0..4)).breakers;
    assert_eq!(back[0].state(), State::Closed);
    assert_eq!(entries(&kept), 4);
}

#[test]
fn another_identity_at_the_same_address_starts_afresh() {
    let now = Instant::now();
    let kept = Kept::new(settings(), 50, 1);
    trip(&kept.reconcile(now, &keys(0..4)).breakers[0], now);
    let mut endpoints = keys(0..4);
    endpoints[0].identity = Some("spiffe://cluster.local/ns/a/sa/other".into());
    assert_eq!(kept.reconcile(now, &endpoints).breakers[0].state(), State::Closed);
    endpoints[0].identity = None;
    assert_eq!(kept.reconcile(now, &endpoints).breakers[0].state(), State::Closed);
}

#[test]
fn never_the_only_endpoint() {
    let now = Instant::now();
    let kept = Kept::new(settings(), 100, 1);
    let only = kept.reconcile(now, &keys(0..1)).breakers;
    trip(&only[0], now);
    assert_eq!(only[0].state(), State::Closed);
}

#[test]
fn fewer_endpoints_readmit_whoever_is_due_first() {
    let now = Instant::now();
    let kept = Kept::new(settings(), 50, 1);
    let breakers = kept.reconcile(now, &keys(0..4)).breakers;
    trip(&breakers[1], now);
    trip(&breakers[0], now + Duration::from_secs(2));
    assert_eq!(open(&breakers), 2);
    let reconciled = kept.reconcile(now + Duration::from_secs(2), &keys(0..3));
    assert_eq!(open(&breakers), 1);
    let (who, transition) = &reconciled.readmitted[0];
    assert_eq!((who, transition.reason), (&key(1), Reason::Readmitted));
    assert_eq!(breakers[1].state(), State::Closed);
    let reconciled = kept.reconcile(now + Duration::from_secs(2), &keys(0..1));
    assert_eq!((open(&breakers), reconciled.readmitted.len()), (0, 1));
}

#[test]
fn who_comes_back_open_stays_so_if_there_is_room() {
    let now = Instant::now();
    let kept = Kept::new(settings(), 50, 1);
    let breakers = kept.reconcile(now, &keys(0..5)).breakers;
    trip(&breakers[0], now);
    trip(&breakers[1], now);
    let _ = kept.reconcile(now, &keys(1..5));
    trip(&breakers[2], now);
    assert_eq!(open(&breakers), 3, "one of them is gone, so two of four count");
    let reconciled = kept.reconcile(now, &keys(0..5));
    let (who, transition) = &reconciled.readmitted[0];
    assert_eq!((who, transition.reason), (&key(0), Reason::Readmitted));
    assert_eq!(open(&breakers), 2, "two of five are ejected already");
}

#[test]
fn replacing_all_endpoints_readmits_none_for_want_of_the_new() {
    let now = Instant::now();
    let kept = Kept::new(settings(), 50, 1);
    let breakers = kept.reconcile(now, &keys(0..4)).breakers;
    trip(&breakers[0], now);
    trip(&breakers[1], now);
    let reconciled = kept.reconcile(now, &keys([0, 1, 8, 9]));
    assert!(reconciled.readmitted.is_empty());
    assert_eq!(open(&breakers), 2);
}

#[test]
fn settings_reach_all_and_a_lower_cap_readmits() {
    let now = Instant::now();
    let kept = Kept::new(settings(), 50, 1);
    let breakers = kept.reconcile(now, &keys(0..4)).breakers;
    trip(&breakers[0], now);
    trip(&breakers[1], now);
    let readmitted = kept.set_settings(now, Settings { consecutive: 1, ..settings() }, 25);
    assert_eq!((readmitted.len(), open(&breakers)), (1, 1));
    let _ = kept.set_settings(now, Settings { consecutive: 1, ..settings() }, 50);
    let _ = breakers[2].acquire(now).0.unwrap().report(now, Outcome::Failure(Failure::Connect));
    assert_eq!(breakers[2].state(), State::Open, "one failure is enough now");
}

#[test]
fn what_is_gone_is_bounded() {
    let now = Instant::now();
    let kept = Kept::new(settings(), 50, 1);
    let many = |from: u16| -> Vec<_> {
        (from..from + 1000)
            .map(|port| EndpointKey { address: ([10, 0, 0, 1], port).into(), identity: None })
            .collect()
    };
    for round in 1..6 {
        let _ = kept.reconcile(now + Duration::from_secs(u64::from(round)), &many(round * 1000));
    }
    assert_eq!(entries(&kept), 1000 + GONE_MAX);
    let oldest_kept = EndpointKey { address: ([10, 0, 0, 1], 4500).into(), identity: None };
    assert!(kept.lock().entries.contains_key(&oldest_kept), "the latest to go are those that are kept");
}
