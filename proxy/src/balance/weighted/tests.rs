use rand::{SeedableRng, rngs::SmallRng};

use super::*;

#[test]
fn draws_go_by_weight() {
    let weighted = Weighted::new(&[1, 0, 3]);
    let mut random = SmallRng::seed_from_u64(1);
    let mut counts = [0; 3];
    for _ in 0..100_000 {
        counts[weighted.draw(&mut random).unwrap()] += 1;
    }
    assert!((24_000..26_000).contains(&counts[0]) && counts[1] == 0, "{counts:?}");
}

#[test]
fn nothing_is_drawn_of_nothing() {
    let mut random = SmallRng::seed_from_u64(1);
    assert_eq!(Weighted::new(&[]).draw(&mut random), None);
    assert_eq!(Weighted::new(&[0]).draw(&mut random), None);
    let most = Weighted::new(&[u32::MAX; 3]);
    assert!(most.draw(&mut random).unwrap() < 3);
}
