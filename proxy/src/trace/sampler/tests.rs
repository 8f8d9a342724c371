use rand::{Rng, SeedableRng, rngs::SmallRng};

use super::*;

#[test]
fn nothing_and_everything_are_exact() {
    for random in [0, 1, u128::MAX, u128::MAX << 56, (1 << 56) - 1] {
        assert!(!Sampler::new(0.0).takes(random), "{random:x}");
        assert!(Sampler::new(1.0).takes(random), "{random:x}");
    }
}

#[test]
fn a_share_is_what_it_says() {
    let mut random = SmallRng::seed_from_u64(7);
    for ratio in [0.001, 0.01, 0.25, 0.5, 0.999] {
        let sampler = Sampler::new(ratio);
        let draws = 200_000;
        let taken = (0..draws).filter(|_| sampler.takes(random.random())).count();
        let expected = ratio * f64::from(draws);
        let deviation = (expected * (1.0 - ratio)).sqrt();
        assert!((taken as f64 - expected).abs() < 5.0 * deviation, "{ratio}: {taken} of {draws}");
    }
}

#[test]
fn who_takes_less_takes_a_part_of_what_others_take() {
    let mut random = SmallRng::seed_from_u64(8);
    for _ in 0..10_000 {
        let trace = random.random();
        if Sampler::new(0.1).takes(trace) {
            assert!(Sampler::new(0.2).takes(trace));
        }
    }
}
