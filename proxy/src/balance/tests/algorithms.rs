//! What holds of all algorithms, and of each: shares by weight, ejection, suspicion, hashes, slow start.

use super::*;

/// Picks so many, and says how many of them each endpoint got. Each is over before the next begins.
fn shares(endpoints: &Endpoints, picks: u32, now: Instant) -> Vec<u32> {
    let mut random = SmallRng::seed_from_u64(1);
    let mut shares = vec![0; endpoints.iter().count()];
    for _ in 0..picks {
        // Like requests that all differ.
        let hash = Some(random.random());
        shares[index(endpoints, &endpoints.pick(now, &mut random, hash, &[]).unwrap())] += 1;
    }
    shares
}

fn assert_within_a_percent(shares: &[u32], wanted: &[u32], what: &dyn std::fmt::Debug) {
    let picks: u32 = shares.iter().sum();
    let total: u32 = wanted.iter().sum();
    for (share, wanted) in shares.iter().zip(wanted) {
        let wanted = f64::from(picks) * f64::from(*wanted) / f64::from(total);
        let off = (f64::from(*share) - wanted).abs() / f64::from(picks);
        assert!(off <= 0.01, "{what:?}: {shares:?}");
    }
}

#[test]
fn round_robin_random_and_maglev_share_by_weight() {
    let now = Instant::now();
    for algorithm in [Algorithm::RoundRobin, Algorithm::Random, Algorithm::Maglev(PLACES)] {
        for weights in [&[1, 1, 1, 1][..], &[1, 2, 3, 4], &[1, 100], &[7]] {
            let endpoints = endpoints_by(algorithm, settings(), weights, now);
            assert_within_a_percent(&shares(&endpoints, 100_000, now), weights, &algorithm);
        }
    }
}

#[test]
fn a_ring_shares_by_weight_as_well_as_its_points_lie() {
    let now = Instant::now();
    let ring = Algorithm::RingHash(Size { min: 65_536, max: 65_536 });
    for weights in [&[1, 1, 1, 1][..], &[1, 2, 3, 4]] {
        let endpoints = endpoints_by(ring, settings(), weights, now);
        assert_within_a_percent(&shares(&endpoints, 100_000, now), weights, &ring);
    }
}

#[test]
fn least_request_shares_what_is_in_flight_by_weight_whatever_latency_is() {
    let now = Instant::now();
    let weights = [1, 2, 3, 4];
    let endpoints = endpoints_by(Algorithm::LeastRequest, settings(), &weights, now);
    endpoints.iter().next().unwrap().load.observe(Duration::from_secs(100), now);
    let mut random = SmallRng::seed_from_u64(1);
    let held: Vec<_> = (0..100_000).map(|_| endpoints.pick(now, &mut random, None, &[]).unwrap()).collect();
    let in_flight: Vec<_> = endpoints.iter().map(|endpoint| endpoint.load.in_flight()).collect();
    assert_within_a_percent(&in_flight, &weights, &"in flight");
    drop(held);
    // With nothing to do, chance and weight decide between the two that are drawn.
    let equal = endpoints_by(Algorithm::LeastRequest, settings(), &[1; 4], now);
    assert_within_a_percent(&shares(&equal, 100_000, now), &[1; 4], &"idle");
}

#[test]
fn round_robin_goes_in_turns() {
    let now = Instant::now();
    let mut random = SmallRng::seed_from_u64(1);
    let mut turns = |endpoints: &Endpoints, picks| {
        let picks =
            (0..picks).map(|_| index(endpoints, &endpoints.pick(now, &mut random, None, &[]).unwrap()));
        picks.collect::<Vec<_>>()
    };
    let even = endpoints_by(Algorithm::RoundRobin, settings(), &[5; 3], now);
    assert_eq!(turns(&even, 6), [0, 1, 2, 0, 1, 2]);
    // Who is out lets its turns pass: the next in line gets no more than the others.
    fail(even.iter().nth(1).unwrap(), now);
    assert_eq!(turns(&even, 6), [0, 2, 0, 2, 0, 2]);
    // The heavy one's turns do not come in a row.
    let uneven = endpoints_by(Algorithm::RoundRobin, settings(), &[2, 1], now);
    let picks = turns(&uneven, 30);
    assert_eq!(picks.iter().filter(|at| **at == 0).count(), 20);
    assert!(picks.windows(3).all(|three| three.contains(&1)), "{picks:?}");
}

#[test]
fn no_algorithm_picks_who_is_ejected_or_avoided_while_there_is_another() {
    let now = Instant::now();
    for algorithm in ALGORITHMS {
        let endpoints = endpoints_by(algorithm, settings(), &[1; 4], now);
        let all: Vec<_> = endpoints.iter().cloned().collect();
        fail(&all[0], now);
        assert_eq!(shares(&endpoints, 1_000, now)[0], 0, "{algorithm:?}");
        let mut random = SmallRng::seed_from_u64(1);
        for number in 0..100 {
            let hash = Some(affine(number));
            let picked = endpoints.pick(now, &mut random, hash, &all[1..3]).unwrap();
            assert_eq!(index(&endpoints, &picked), 3, "{algorithm:?}: the only one left");
            let picked = endpoints.pick(now, &mut random, hash, &all[1..]).unwrap();
            assert_ne!(index(&endpoints, &picked), 0, "{algorithm:?}: again, but not where it is ejected");
        }
    }
}

#[test]
fn no_algorithm_lets_more_tries_wait_for_a_suspect_than_failures_are_left() {
    let now = Instant::now();
    for algorithm in ALGORITHMS {
        let endpoints = endpoints_by(algorithm, settings(), &[1; 3], now);
        let suspect = suspect(&endpoints, 0, now);
        let mut random = SmallRng::seed_from_u64(1);
        let pick = |number| endpoints.pick(now, &mut random, Some(affine(number)), &[]).unwrap();
        let _held: Vec<_> = (0..300).map(pick).collect();
        assert_eq!(suspect.load.in_flight(), 4, "{algorithm:?}");
    }
}

/// Some hash.
fn affine(number: u64) -> u64 {
    number.wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

#[test]
fn by_a_hash_a_request_goes_where_it_went_and_from_the_ejected_to_one_other() {
    let now = Instant::now();
    for algorithm in [Algorithm::RingHash(Size { min: 1024, max: 65_536 }), Algorithm::Maglev(PLACES)] {
        let endpoints = endpoints_by(algorithm, settings(), &[1; 5], now);
        let mut random = SmallRng::seed_from_u64(1);
        let mut places = || -> Vec<_> {
            let mut pick = |number| endpoints.pick(now, &mut random, Some(affine(number)), &[]).unwrap();
            (0..1_000).map(|number| index(&endpoints, &pick(number))).collect()
        };
        let before = places();
        assert_eq!(places(), before);
        fail(endpoints.iter().nth(2).unwrap(), now);
        let after = places();
        assert_eq!(places(), after);
        let mut went_to = [0; 5];
        for (before, after) in before.iter().zip(&after) {
            if *before == 2 {
                went_to[*after] += 1;
            } else {
                assert_eq!(before, after, "{algorithm:?}: nobody else moves");
            }
        }
        // Not all to one, which would be the next to fall.
        assert!(went_to.iter().enumerate().all(|(at, moved)| (at == 2) == (*moved == 0)), "{went_to:?}");
    }
}

#[test]
fn a_new_endpoint_comes_to_its_share_by_and_by() {
    let start = Instant::now();
    let window = Duration::from_secs(30);
    let fresh = |algorithm| {
        let mut near = list(settings(), &[1; 4], 1_000, start);
        Arc::get_mut(&mut near[0]).unwrap().fresh = Some(Fresh { since: start, window });
        let balancing = Balancing { algorithm, ..Balancing::default() };
        Endpoints::new(Located { near, ..Located::default() }, &balancing, &mut Choices::default())
    };
    for algorithm in [Algorithm::RoundRobin, Algorithm::Random] {
        let endpoints = fresh(algorithm);
        for (after, percent) in [(0, 10), (15, 55), (30, 100)] {
            let now = start + Duration::from_secs(after);
            let wanted = [percent, 100, 100, 100];
            assert_within_a_percent(&shares(&endpoints, 100_000, now), &wanted, &algorithm);
        }
    }
    for algorithm in [Algorithm::LatencyAware, Algorithm::LeastRequest] {
        let endpoints = fresh(algorithm);
        let mut random = SmallRng::seed_from_u64(1);
        let mut in_flight = |now| {
            let _held: Vec<_> =
                (0..3_100).map(|_| endpoints.pick(now, &mut random, None, &[]).unwrap()).collect();
            endpoints.iter().map(|endpoint| endpoint.load.in_flight()).collect::<Vec<_>>()
        };
        assert_within_a_percent(&in_flight(start), &[1, 10, 10, 10], &algorithm);
        assert_within_a_percent(&in_flight(start + window), &[1; 4], &algorithm);
    }
}

#[test]
fn a_pick_allocates_nothing() {
    let noticed = allocation_counter::measure(|| drop(std::hint::black_box(Box::new(1_u64))));
    assert_eq!(noticed.count_total, 1);
    let now = Instant::now();
    let zones = Some(Zones { min_healthy_percent: 70 });
    for algorithm in ALGORITHMS {
        // Half of the own zone is not ready: some requests go elsewhere.
        let located = Located {
            near: list(settings(), &[1, 2, 3], 1_000, now),
            near_unready: 3,
            others: list(settings(), &[1; 5], 2_000, now),
        };
        let balancing = Balancing { algorithm, zones, ..Balancing::default() };
        let endpoints = Endpoints::new(located, &balancing, &mut Choices::default());
        let mut random = SmallRng::seed_from_u64(1);
        let allocated = allocation_counter::measure(|| {
            for _ in 0..10_000 {
                let hash = Some(random.random());
                drop(endpoints.pick(now, &mut random, hash, &[]).unwrap());
            }
        });
        assert_eq!(allocated.count_total, 0, "{algorithm:?}");
    }
}

#[test]
fn where_all_are_new_nobody_is_refused() {
    let now = Instant::now();
    for algorithm in ALGORITHMS {
        let mut near = list(settings(), &[1; 3], 1_000, now);
        for endpoint in &mut near {
            let window = Duration::from_secs(30);
            Arc::get_mut(endpoint).unwrap().fresh = Some(Fresh { since: now, window });
        }
        let balancing = Balancing { algorithm, ..Balancing::default() };
        let located = Located { near, ..Located::default() };
        let endpoints = Endpoints::new(located, &balancing, &mut Choices::default());
        let shares = shares(&endpoints, 3_000, now);
        assert!(shares.iter().all(|share| (700..1_300).contains(share)), "{algorithm:?}: {shares:?}");
    }
}
