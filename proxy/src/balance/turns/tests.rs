use super::*;

fn counts(weights: &[u32], turns: u64) -> Vec<u64> {
    let mut counts = vec![0; weights.len()];
    let all = Turns::new(weights, 0);
    for _ in 0..turns {
        if let Some(index) = all.take() {
            counts[index] += 1;
        }
    }
    counts
}

#[test]
fn in_all_rounds_of_the_scale_each_takes_as_many_turns_as_its_weight() {
    assert_eq!(counts(&[1, 2, 65_535], SCALE * 3), [1, 2, 65_535]);
    assert_eq!(counts(&[9, 9], SCALE * 2), [SCALE, SCALE]);
    // Beyond the scale: half is half, and the lightest is not forgotten.
    assert_eq!(counts(&[u32::MAX, u32::MAX / 2, 1], SCALE * 3), [SCALE, SCALE / 2, 1]);
}

#[test]
fn the_heaviest_takes_all_of_its_turns() {
    let turns = Turns::new(&[1, 1_000, 3], 77);
    for _ in 0..1_000 {
        assert!((0..3).any(|_| turns.take() == Some(1)));
    }
}

#[test]
fn turns_end_with_the_numbers_and_begin_again() {
    let turns = Turns::new(&[1, 1], u64::MAX);
    assert!((0..3).all(|_| turns.take().is_some()));
    assert_eq!(turns.number(), 2);
    assert_eq!(Turns::new(&[], 0).take(), None);
}
