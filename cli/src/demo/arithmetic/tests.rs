use rand::{Rng, SeedableRng, rngs::SmallRng};

use super::*;

const THIRD: f64 = 1.0 / 3.0;

fn near(a: f64, b: f64) {
    assert!((a - b).abs() < 1e-9, "{a} is not {b}");
}

#[test]
fn the_numbers_of_the_story() {
    near(failing(THIRD, 0), THIRD);
    near(failing(THIRD, 2), 1.0 / 27.0);
    near(tries(THIRD, 0), 1.0);
    near(tries(THIRD, 2), 13.0 / 9.0);
    near(tries(1.0, 2), 3.0);
}

#[test]
fn tolerances_shrink_with_the_root_of_the_count() {
    near(share_tolerance(THIRD, 800), 4.0 * (2.0_f64 / 9.0 / 800.0).sqrt());
    near(share_tolerance(THIRD, 100) / share_tolerance(THIRD, 400), 2.0);
    // What cannot fail, or never makes a second try, has no tolerance.
    near(share_tolerance(0.0, 100), 0.0);
    near(tries_tolerance(THIRD, 0, 100), 0.0);
    near(tries_tolerance(1.0, 2, 100), 0.0);
    assert!(share_tolerance(THIRD, 0).is_finite());
}

#[test]
fn mean_and_spread_of_the_tries_are_those_of_a_simulation() {
    let mut random = SmallRng::seed_from_u64(7);
    let n = 200_000;
    let samples: Vec<f64> = (0..n)
        .map(|_| {
            let mut tries = 1;
            while tries < 3 && random.random_bool(THIRD) {
                tries += 1;
            }
            f64::from(tries)
        })
        .collect();
    let mean = samples.iter().sum::<f64>() / f64::from(n);
    let variance = samples.iter().map(|tries| (tries - mean).powi(2)).sum::<f64>() / f64::from(n);
    assert!((mean - tries(THIRD, 2)).abs() < 0.01, "{mean}");
    assert!((variance - tries_variance(THIRD, 2)).abs() < 0.01, "{variance}");
}

#[test]
fn the_time_to_a_trip_is_when_the_share_is_reached() {
    let window = Duration::from_secs(3);
    let longest = time_to_trip(window, 0.6, THIRD, 13.0 / 9.0, 1.0);
    let t = longest.as_secs_f64() - 0.3;
    let (old, new) = ((3.0 - t) * 13.0 / 9.0, t);
    near((old * THIRD + new) / (old + new), 0.6);
    assert!(time_to_trip(window, 0.6, THIRD, 13.0 / 9.0, 3.0) < longest, "more failures trip it sooner");
}

#[test]
fn times_of_an_open_breaker() {
    let open = Duration::from_millis(1200);
    assert_eq!(time_to_close(open, 0), Duration::from_millis(2200));
    assert_eq!(time_to_close(open, 2), Duration::from_millis(4600));
    assert_eq!(most_probes(Duration::from_secs(8), Duration::from_secs(1)), 9);
}
