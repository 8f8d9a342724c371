// What holds of all algorithms, and of each.
mod algorithms;
// Own zone and others.
mod zones;
// A mesh in miniature, with a hand on its clock: requests, tries, answers and silence.
mod simulation;

use std::sync::atomic::Ordering::Relaxed;

use rand::{SeedableRng, rngs::SmallRng};
use weft_api::circuit_breaker::Breaker;

use super::*;
use crate::{
    accrual::Accrual,
    breaker::{EndpointKey, Failure, Kept, Outcome, Scope, Settings, State},
    http::serve::Version,
    upstream::Peer,
};

const ALGORITHMS: [Algorithm; 6] = [
    Algorithm::LatencyAware,
    Algorithm::LeastRequest,
    Algorithm::RoundRobin,
    Algorithm::Random,
    Algorithm::RingHash(Size { min: 1024, max: 65_536 }),
    Algorithm::Maglev(PLACES),
];

fn endpoints(weights: &[u32], now: Instant) -> Endpoints {
    endpoints_with(settings(), weights, now)
}

/// The default. As in a sidecar, nobody but a connection in the background finds out whether an endpoint is back.
fn settings() -> Settings {
    Settings { connect_first: true, ..Settings::new(&Breaker::default(), Scope::Endpoint) }
}

fn endpoints_with(settings: Settings, weights: &[u32], now: Instant) -> Endpoints {
    endpoints_by(Algorithm::LatencyAware, settings, weights, now)
}

fn endpoints_by(algorithm: Algorithm, settings: Settings, weights: &[u32], now: Instant) -> Endpoints {
    let located = Located { near: list(settings, weights, 1_000, now), ..Located::default() };
    let balancing = Balancing { algorithm, ..Balancing::default() };
    Endpoints::new(located, &balancing, &mut Choices::default())
}

/// Endpoints with these weights at ports from `port` on.
fn list(settings: Settings, weights: &[u32], port: u16, now: Instant) -> Vec<Arc<Endpoint>> {
    let address = |index: usize| ([127, 0, 0, 1], port + index as u16).into();
    let keys: Vec<_> =
        (0..weights.len()).map(|index| EndpointKey { address: address(index), identity: None }).collect();
    let breakers = Kept::new(settings, 50, 1).reconcile(now, &keys).breakers;
    let list = keys.iter().zip(breakers).zip(weights).map(|((key, breaker), weight)| {
        Arc::new(Endpoint {
            peer: Arc::new(Peer::new(key.address, Version::Http1, None)),
            accrual: Arc::new(Accrual::new(Scope::Endpoint, "a".into(), Some(key.address), breaker)),
            weight: *weight,
            load: Arc::new(Load::new(now)),
            fresh: None,
        })
    });
    list.collect()
}

fn index(endpoints: &Endpoints, picked: &Picked) -> usize {
    endpoints.iter().position(|endpoint| Arc::ptr_eq(endpoint, &picked.endpoint)).unwrap()
}

fn fail(endpoint: &Endpoint, now: Instant) {
    for _ in 0..5 {
        if let Ok(pass) = endpoint.accrual.acquire(now) {
            endpoint.accrual.report(pass, now, Outcome::Failure(Failure::Connect));
        }
    }
}

#[test]
fn nobody_is_picked_of_none() {
    let mut random = SmallRng::seed_from_u64(1);
    for algorithm in ALGORITHMS {
        let none = endpoints_by(algorithm, settings(), &[], Instant::now());
        assert!(none.pick(Instant::now(), &mut random, Some(1), &[]).is_none(), "{algorithm:?}");
    }
}

#[test]
fn requests_in_flight_spread() {
    let now = Instant::now();
    let endpoints = endpoints(&[1; 4], now);
    let mut random = SmallRng::seed_from_u64(1);
    let held: Vec<_> = (0..400).map(|_| endpoints.pick(now, &mut random, None, &[]).unwrap()).collect();
    for endpoint in endpoints.iter() {
        assert!((95..=105).contains(&endpoint.load.in_flight()), "{}", endpoint.load.in_flight());
    }
    drop(held);
    assert!(endpoints.iter().all(|endpoint| endpoint.load.in_flight() == 0));
}

#[test]
fn the_slow_one_gets_less_and_is_not_avoided_for_ever() {
    let start = Instant::now();
    let endpoints = endpoints(&[1, 1], start);
    let mut random = SmallRng::seed_from_u64(1);
    let [slow, fast] = [0, 1].map(|at| Arc::clone(endpoints.iter().nth(at).unwrap()));
    slow.load.observe(Duration::from_secs(1), start);
    fast.load.observe(Duration::from_millis(1), start);
    let now = start + Duration::from_millis(1);
    assert!((0..100).all(|_| index(&endpoints, &endpoints.pick(now, &mut random, None, &[]).unwrap()) == 1));
    // The fast one keeps answering; the slow one's bad moment fades meanwhile.
    let later = start + Duration::from_secs(80);
    fast.load.observe(Duration::from_millis(1), later);
    assert_eq!(index(&endpoints, &endpoints.pick(later, &mut random, None, &[]).unwrap()), 0);
}

#[test]
fn who_is_nearer_by_a_hair_does_not_get_everything() {
    let now = Instant::now();
    let endpoints = endpoints(&[1, 3], now);
    let mut random = SmallRng::seed_from_u64(1);
    for (endpoint, latency_ms) in endpoints.iter().zip([10, 50]) {
        endpoint.load.observe(Duration::from_millis(latency_ms), now);
    }
    // Each is over before the next begins, so nothing is ever in flight.
    let of_the_first = (0..4_000)
        .filter(|_| index(&endpoints, &endpoints.pick(now, &mut random, None, &[]).unwrap()) == 0)
        .count();
    assert!(
        (900..=1_100).contains(&of_the_first),
        "{of_the_first} of 4,000, a quarter of which are its share"
    );
}

#[test]
fn weight_is_a_share_of_what_is_in_flight() {
    let now = Instant::now();
    let endpoints = endpoints(&[1, 3], now);
    let mut random = SmallRng::seed_from_u64(1);
    let _held: Vec<_> = (0..400).map(|_| endpoints.pick(now, &mut random, None, &[]).unwrap()).collect();
    let shares: Vec<_> = endpoints.iter().map(|endpoint| endpoint.load.in_flight()).collect();
    assert!((98..=102).contains(&shares[0]), "{shares:?}");
}

#[test]
fn a_retry_goes_elsewhere_unless_there_is_nobody_else() {
    let now = Instant::now();
    let mut random = SmallRng::seed_from_u64(1);
    let two = endpoints(&[1, 1], now);
    let first = Arc::clone(two.iter().next().unwrap());
    for _ in 0..50 {
        assert_eq!(index(&two, &two.pick(now, &mut random, None, &[Arc::clone(&first)]).unwrap()), 1);
    }
    let one = endpoints(&[1], now);
    let only = Arc::clone(one.iter().next().unwrap());
    assert_eq!(index(&one, &one.pick(now, &mut random, None, &[only]).unwrap()), 0);
}

#[test]
fn an_ejected_endpoint_is_passed_over() {
    let now = Instant::now();
    let endpoints = endpoints(&[1; 3], now);
    let mut random = SmallRng::seed_from_u64(1);
    let failing = Arc::clone(endpoints.iter().next().unwrap());
    fail(&failing, now);
    assert!((0..200).all(|_| index(&endpoints, &endpoints.pick(now, &mut random, None, &[]).unwrap()) != 0));
    // Also by a retry that has tried all the others.
    let others: Vec<_> = endpoints.iter().skip(1).cloned().collect();
    assert_ne!(index(&endpoints, &endpoints.pick(now, &mut random, None, &others).unwrap()), 0);
}

#[test]
fn in_audit_mode_the_failing_endpoint_goes_on() {
    let now = Instant::now();
    let endpoints = endpoints(&[1, 1], now);
    let mut random = SmallRng::seed_from_u64(1);
    for endpoint in endpoints.iter() {
        endpoint.accrual.set_audit(true);
    }
    fail(endpoints.iter().next().unwrap(), now);
    let picked: std::collections::HashSet<_> =
        (0..100).map(|_| index(&endpoints, &endpoints.pick(now, &mut random, None, &[]).unwrap())).collect();
    assert_eq!(picked.len(), 2);
    let trips = &endpoints.iter().next().unwrap().accrual.counts.trips;
    assert_eq!(trips[0].load(Relaxed), 1);
}

/// Lets one endpoint fail once.
fn suspect(endpoints: &Endpoints, at: usize, now: Instant) -> Arc<Endpoint> {
    let suspect = Arc::clone(endpoints.iter().nth(at).unwrap());
    let pass = suspect.accrual.acquire(now).unwrap();
    suspect.accrual.report(pass, now, Outcome::Failure(Failure::Timeout));
    suspect
}

#[test]
fn under_suspicion_load_says_nothing_and_weight_decides() {
    let now = Instant::now();
    let endpoints = endpoints(&[1, 3], now);
    let mut random = SmallRng::seed_from_u64(1);
    let suspect = suspect(&endpoints, 0, now);
    // By cost it would get nothing, or everything.
    for slow in [0, 1] {
        endpoints.iter().nth(slow).unwrap().load.observe(Duration::from_secs(100), now);
        let picks = (0..4_000)
            .filter(|_| index(&endpoints, &endpoints.pick(now, &mut random, None, &[]).unwrap()) == 0);
        let picks = picks.count();
        assert!((900..=1_100).contains(&picks), "{picks} of 4,000, a quarter of which are its share");
    }
    // It has answered well: cost decides again.
    let pass = suspect.accrual.acquire(now).unwrap();
    suspect.accrual.report(pass, now, Outcome::Success);
    endpoints.iter().nth(1).unwrap().load.observe(Duration::from_secs(1_000), now);
    assert!((0..100).all(|_| index(&endpoints, &endpoints.pick(now, &mut random, None, &[]).unwrap()) == 0));
}

#[test]
fn no_more_tries_wait_for_a_suspect_than_failures_are_left() {
    let now = Instant::now();
    let endpoints = endpoints(&[1; 3], now);
    let mut random = SmallRng::seed_from_u64(1);
    let suspect = suspect(&endpoints, 0, now);
    let mut held: Vec<_> = (0..200).map(|_| endpoints.pick(now, &mut random, None, &[]).unwrap()).collect();
    assert_eq!(suspect.load.in_flight(), 4);
    // An answer makes room, though the response goes on: streams must not keep it under suspicion for ever.
    let waiting = held.iter_mut().find(|picked| Arc::ptr_eq(&picked.endpoint, &suspect)).unwrap();
    waiting.in_flight.answer(now);
    waiting.in_flight.answer(now);
    held.extend((0..200).map(|_| endpoints.pick(now, &mut random, None, &[]).unwrap()));
    assert_eq!(suspect.load.in_flight(), 5);
    drop(held);
    assert_eq!((suspect.load.in_flight(), suspect.load.unanswered()), (0, 0));
}

#[test]
fn where_all_are_suspects_nobody_is_refused() {
    let now = Instant::now();
    let endpoints = endpoints(&[1; 3], now);
    let mut random = SmallRng::seed_from_u64(1);
    for at in 0..3 {
        suspect(&endpoints, at, now);
    }
    let _held: Vec<_> = (0..300).map(|_| endpoints.pick(now, &mut random, None, &[]).unwrap()).collect();
    assert!(endpoints.iter().all(|endpoint| (95..=105).contains(&endpoint.load.in_flight())));
}

#[test]
fn in_audit_mode_suspicion_changes_nothing() {
    let now = Instant::now();
    let endpoints = endpoints(&[1, 1], now);
    let mut random = SmallRng::seed_from_u64(1);
    let suspect = suspect(&endpoints, 0, now);
    suspect.accrual.set_audit(true);
    endpoints.iter().nth(1).unwrap().load.observe(Duration::from_secs(100), now);
    let held: Vec<_> = (0..50).map(|_| endpoints.pick(now, &mut random, None, &[]).unwrap()).collect();
    assert!(held.iter().all(|picked| Arc::ptr_eq(&picked.endpoint, &suspect)));
}

#[test]
fn an_answer_that_is_owed_is_as_late_as_it_is_already() {
    let start = Instant::now();
    let endpoints = endpoints(&[1, 1], start);
    let mut random = SmallRng::seed_from_u64(1);
    let [silent, slow] = [0, 1].map(|at| Arc::clone(endpoints.iter().nth(at).unwrap()));
    slow.load.observe(Duration::from_millis(100), start);
    let mut waiting = silent.load.begin(start);
    let mut first = |after_ms| {
        let now = start + Duration::from_millis(after_ms);
        index(&endpoints, &endpoints.pick(now, &mut random, None, &[]).unwrap())
    };
    // One waits already, so it costs twice what it takes.
    assert_eq!([0, 40, 60, 1_000].map(&mut first), [0, 0, 1, 1]);
    waiting.answer(start + Duration::from_secs(1));
    assert_eq!(first(1_040), 0, "it has answered");
}
