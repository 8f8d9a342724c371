use super::*;

fn ns(value: u64) -> Duration {
    Duration::from_nanos(value)
}

#[test]
fn every_value_lies_in_its_bucket_and_no_further_than_one_part_in_32() {
    let mut previous = 0;
    for value in (0..4096).chain((12..36).flat_map(|bit| [(1 << bit) - 1, 1 << bit, (1 << bit) + 1])) {
        let bucket = index(ns(value));
        assert!(bucket < BUCKETS, "{value}");
        assert!(bucket >= previous, "{value} falls below a smaller value");
        previous = bucket;
        let top = highest(bucket);
        assert!(top >= value && top - value <= value / 32, "{value} is told as {top}");
        assert!(bucket == 0 || highest(bucket - 1) < value, "{value} belongs into an earlier bucket");
    }
}

#[test]
fn what_is_too_long_is_counted_as_the_longest() {
    let mut histogram = Histogram::default();
    histogram.record(Duration::MAX);
    histogram.record(Duration::from_hours(1));
    assert_eq!(histogram.quantile(0.5), Some(ns(MAX_NS)));
    assert_eq!(histogram.count(), 2);
}

#[test]
fn quantiles_agree_with_the_sorted_values() {
    let mut histogram = Histogram::default();
    // A permutation of 1..=1000 µs: 617 has no factor in common with 1000.
    let mut values: Vec<u64> = (0..1000).map(|i| (i * 617 % 1000 + 1) * 1000).collect();
    for value in &values {
        histogram.record(ns(*value));
    }
    values.sort_unstable();
    for (quantile, rank) in [(0.0, 1), (0.5, 500), (0.99, 990), (0.999, 999), (1.0, 1000)] {
        let exact = values[rank - 1];
        let told = histogram.quantile(quantile).unwrap().as_nanos() as u64;
        assert!((exact..=exact + exact / 32).contains(&told), "{quantile}: {told} for {exact}");
    }
}

#[test]
fn nothing_has_no_quantile() {
    assert_eq!(Histogram::default().quantile(0.5), None);
}

#[test]
fn a_difference_holds_what_came_between() {
    let mut histogram = Histogram::default();
    histogram.record(ns(10));
    let earlier = histogram.clone();
    histogram.record(ns(1_000_000));
    let between = histogram.since(&earlier);
    assert_eq!(between.count(), 1);
    assert!(between.quantile(0.0).unwrap() >= ns(1_000_000));
    let mut sum = earlier;
    sum.add(&between);
    assert_eq!(sum, histogram);
}
