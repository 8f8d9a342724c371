use rand::{SeedableRng, rngs::SmallRng};

use super::*;

#[test]
fn as_many_are_drawn_as_is_said() {
    let mut random = SmallRng::seed_from_u64(1);
    for share in [0, 1_000, 100_000, 333_333, 999_000, 1_000_000] {
        let drawn = (0..100_000).filter(|_| draws(share, &mut random)).count();
        let due = f64::from(share) / 10.0;
        assert!((drawn as f64 - due).abs() <= 1_000.0, "{drawn} of 100,000, due {due}");
        assert_eq!(drawn == 0, share == 0);
        assert_eq!(drawn == 100_000, share == 1_000_000);
    }
}
