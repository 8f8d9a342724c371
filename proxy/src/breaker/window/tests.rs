//! The ring against a list of every count with its time.

use proptest::prelude::*;

use super::*;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
fn a_count_lives_for_the_last_ten_buckets() {
    let base = Instant::now();
    let mut window = Window::new(Duration::from_secs(10), base);
    window.add(base + ms(999), [1, 0]);
    window.add(base + ms(1000), [0, 1]);
    assert_eq!(window.totals(base + ms(9_999)), [1, 1]);
    assert_eq!(window.totals(base + ms(10_000)), [0, 1]);
    assert_eq!(window.totals(base + ms(10_999)), [0, 1]);
    assert_eq!(window.totals(base + ms(11_000)), [0, 0]);
}

#[test]
fn after_a_long_gap_nothing_is_left() {
    let base = Instant::now();
    let mut window = Window::new(Duration::from_secs(1), base);
    window.add(base, [7, 7]);
    assert_eq!(window.totals(base + Duration::from_hours(24 * 365)), [0, 0]);
}

#[test]
fn time_before_the_newest_bucket_counts_there() {
    let base = Instant::now();
    let mut window = Window::new(Duration::from_secs(10), base + ms(500));
    window.add(base + ms(9_000), [1, 0]);
    window.add(base, [0, 1]);
    assert_eq!(window.totals(base + ms(500)), [1, 1]);
    assert_eq!(window.totals(base + ms(18_000)), [1, 1]);
}

#[test]
fn counts_survive_another_length() {
    let base = Instant::now();
    let mut window = Window::new(Duration::from_secs(10), base);
    window.add(base + ms(1_500), [1, 0]);
    window.add(base + ms(8_500), [0, 1]);
    window.set_length(Duration::from_mins(1));
    assert_eq!(window.totals(base + ms(50_000)), [1, 1]);
    window.set_length(Duration::from_secs(2));
    assert_eq!(window.totals(base + ms(50_000)), [0, 0]);
}

#[test]
fn no_length_divides_by_zero() {
    let base = Instant::now();
    let mut window = Window::new(Duration::ZERO, base);
    window.add(base, [1, 1]);
    assert_eq!(window.totals(base), [1, 1]);
    let mut window = Window::new(Duration::MAX, base);
    window.add(base + ms(5), [1, 1]);
    assert_eq!(window.totals(base + ms(9)), [1, 1]);
}

proptest! {
    #[test]
    fn the_ring_equals_the_list(
        length_ms in 1..30_000_u64,
        steps in proptest::collection::vec((0..3_000_i64, -1..3_i8, 0..2_usize), 1..200),
        gaps in proptest::collection::vec(0..200_000_u64, 3),
    ) {
        let base = Instant::now();
        let width = (length_ms * 1_000_000).div_ceil(10);
        let mut window = Window::new(ms(length_ms), base);
        let mut list: Vec<(u64, usize)> = Vec::new();
        let (mut now, mut latest) = (0_u64, 0_u64);
        for (index, (step, direction, lane)) in steps.into_iter().enumerate() {
            now = match direction {
                -1 => now.saturating_sub(step as u64),
                0 => now,
                _ => now + step as u64,
            };
            if index % 50 == 49 {
                now += gaps[index / 50 % 3];
            }
            latest = latest.max(now);
            let mut counts = [0; 2];
            counts[lane] = 1;
            window.add(base + ms(now), counts);
            // A time that went back counts in the bucket of the latest.
            list.push((latest.max(now), lane));
            let bucket = |at: u64| at * 1_000_000 / width;
            let live = |wanted| list.iter()
                .filter(|(at, lane)| *lane == wanted && bucket(*at) + 10 > bucket(latest))
                .count() as u64;
            prop_assert_eq!(window.totals(base + ms(now)), [live(0), live(1)]);
        }
    }
}
