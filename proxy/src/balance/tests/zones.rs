//! Own zone and others: who gets how much, and who steps in.

use super::*;

/// So many endpoints here and elsewhere, and so many more here that are not ready.
fn zoned(algorithm: Algorithm, near: usize, near_unready: usize, others: usize, now: Instant) -> Endpoints {
    let located = Located {
        near: list(settings(), &vec![1; near], 1_000, now),
        near_unready,
        others: list(settings(), &vec![1; others], 2_000, now),
    };
    let zones = Some(Zones { min_healthy_percent: 70 });
    let balancing = Balancing { algorithm, zones, ..Balancing::default() };
    Endpoints::new(located, &balancing, &mut Choices::default())
}

/// Of 20,000 requests, how many percent stay near: at one of the first `near` endpoints.
fn percent_near(endpoints: &Endpoints, near: usize, now: Instant) -> f64 {
    let mut random = SmallRng::seed_from_u64(1);
    let stay = (0..20_000).filter(|_| {
        let hash = Some(random.random());
        index(endpoints, &endpoints.pick(now, &mut random, hash, &[]).unwrap()) < near
    });
    stay.count() as f64 / 200.0
}

fn assert_percent(found: f64, wanted: f64, what: &dyn std::fmt::Debug) {
    assert!((found - wanted).abs() <= 1.0, "{what:?}: {found} %, not {wanted} %");
}

#[test]
fn requests_stay_in_the_own_zone_and_spill_over_as_it_thins_out() {
    let now = Instant::now();
    for algorithm in ALGORITHMS {
        let endpoints = zoned(algorithm, 10, 0, 20, now);
        assert_percent(percent_near(&endpoints, 10, now), 100.0, &algorithm);
        // 80 of 100 are more than 70; of 60 and 40, the zone takes 6/7 and 4/7.
        for (ejected, wanted) in [(2, 100.0), (4, 85.7), (6, 57.1), (10, 0.0)] {
            let endpoints = zoned(algorithm, 10, 0, 20, now);
            // The cap ejects half of them at most, so those beyond it are made unready in what follows.
            let by_breaker = ejected.min(5);
            endpoints.iter().take(by_breaker).for_each(|endpoint| fail(endpoint, now));
            if ejected == by_breaker {
                assert_percent(percent_near(&endpoints, 10, now), wanted, &(algorithm, ejected));
            }
            let ready = 10 - ejected;
            let endpoints = zoned(algorithm, ready, ejected, 20, now);
            assert_percent(percent_near(&endpoints, ready, now), wanted, &(algorithm, "unready", ejected));
        }
    }
}

#[test]
fn by_a_hash_the_same_requests_stay() {
    let now = Instant::now();
    let algorithm = Algorithm::RingHash(Size { min: 1024, max: 65_536 });
    let endpoints = zoned(algorithm, 5, 5, 5, now);
    let mut random = SmallRng::seed_from_u64(1);
    let mut places = || -> Vec<_> {
        let mut pick =
            |number: u64| endpoints.pick(now, &mut random, Some(number.wrapping_mul(MIX)), &[]).unwrap();
        (0..1_000).map(|number| index(&endpoints, &pick(number))).collect()
    };
    assert_eq!(places(), places());
}

#[test]
fn without_a_preference_or_a_zone_all_are_alike() {
    let now = Instant::now();
    let located = Located {
        near: list(settings(), &[1; 5], 1_000, now),
        near_unready: 0,
        others: list(settings(), &[1; 15], 2_000, now),
    };
    let endpoints = Endpoints::new(located, &Balancing::default(), &mut Choices::default());
    assert_percent(percent_near(&endpoints, 5, now), 25.0, &"no preference");
    let nobody_near = zoned(Algorithm::LatencyAware, 0, 0, 4, now);
    assert_eq!(nobody_near.iter().count(), 4);
    assert_percent(percent_near(&nobody_near, 4, now), 100.0, &"nobody near");
}

#[test]
fn a_retry_goes_to_another_near_one_first_and_then_elsewhere() {
    let now = Instant::now();
    let mut random = SmallRng::seed_from_u64(1);
    let endpoints = zoned(Algorithm::LatencyAware, 2, 0, 1, now);
    let all: Vec<_> = endpoints.iter().cloned().collect();
    let mut pick =
        |avoided: &[_]| index(&endpoints, &endpoints.pick(now, &mut random, None, avoided).unwrap());
    assert_eq!([pick(&all[..1]), pick(&all[1..2]), pick(&all[..2])], [1, 0, 2]);
    assert!(pick(&all) < 2, "all have failed it: again, and near");
}

#[test]
fn where_no_other_zone_takes_it_the_own_one_does() {
    let now = Instant::now();
    let mut random = SmallRng::seed_from_u64(1);
    // A seventh of what it needs: six of seven would go elsewhere.
    let endpoints = zoned(Algorithm::LatencyAware, 1, 9, 2, now);
    for endpoint in endpoints.iter().skip(1) {
        fail(endpoint, now);
        endpoint.accrual.set_audit(false);
    }
    let out = endpoints.iter().filter(|endpoint| !endpoint.is_available(now)).count();
    assert_eq!(out, 1, "the cap leaves one of two");
    let last =
        endpoints.iter().find(|endpoint| endpoint.peer.address.port() >= 2_000 && endpoint.is_available(now));
    let avoided = [Arc::clone(last.unwrap())];
    for _ in 0..100 {
        let picked = endpoints.pick(now, &mut random, None, &avoided).unwrap();
        assert_eq!(index(&endpoints, &picked), 0);
    }
}
