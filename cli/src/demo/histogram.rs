//! Latencies counted in buckets that grow with their value, so that a few kilobytes hold any number of them.

use std::time::Duration;

/// Buckets for each doubling: a value is told with an error of at most 1/32, which is 3 %.
const PER_DOUBLING: usize = 32;
/// log2 of [`PER_DOUBLING`].
const SHIFT: u32 = PER_DOUBLING.trailing_zeros();
/// Values from 2^36 ns (69 s) on are counted as that.
const MAX_NS: u64 = (1 << 36) - 1;
/// Values below 32 have a bucket each; then come 31 doublings, from 2^5 to 2^36.
const BUCKETS: usize = PER_DOUBLING * (36 - SHIFT as usize + 1);

/// A log-linear histogram of durations with nanosecond resolution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Histogram {
    buckets: Vec<u32>,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: vec![0; BUCKETS] }
    }
}

impl Histogram {
    /// Counts one value.
    pub(crate) fn record(&mut self, value: Duration) {
        let bucket = &mut self.buckets[index(value)];
        *bucket = bucket.saturating_add(1);
    }

    /// How many values were counted.
    pub(crate) fn count(&self) -> u64 {
        self.buckets.iter().map(|count| u64::from(*count)).sum()
    }

    /// The value that a share of `quantile` (0 to 1) of all values does not exceed; none if there are no values.
    pub(crate) fn quantile(&self, quantile: f64) -> Option<Duration> {
        let total = self.count();
        let rank = ((quantile.clamp(0.0, 1.0) * total as f64).ceil() as u64).max(1);
        let mut below = 0;
        self.buckets.iter().enumerate().find_map(|(index, count)| {
            below += u64::from(*count);
            (below >= rank).then(|| Duration::from_nanos(highest(index)))
        })
    }

    /// Adds what another one counted.
    pub(crate) fn add(&mut self, other: &Self) {
        for (own, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            *own = own.saturating_add(*theirs);
        }
    }

    /// What was counted since `earlier`, an older state of the same histogram.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        let pairs = self.buckets.iter().zip(&earlier.buckets);
        Self { buckets: pairs.map(|(now, then)| now.saturating_sub(*then)).collect() }
    }
}

/// The bucket of a value: below 32 the value itself; above, its doubling and the five bits after its first one.
fn index(value: Duration) -> usize {
    let ns = u64::try_from(value.as_nanos()).unwrap_or(MAX_NS).min(MAX_NS);
    let doubling = ns.max(1).ilog2();
    if doubling < SHIFT {
        return ns as usize;
    }
    let within = (ns >> (doubling - SHIFT)) as usize - PER_DOUBLING;
    (doubling - SHIFT + 1) as usize * PER_DOUBLING + within
}

/// The highest value, in nanoseconds, that falls into a bucket.
fn highest(index: usize) -> u64 {
    if index < PER_DOUBLING {
        return index as u64;
    }
    let doubling = (index / PER_DOUBLING - 1) as u32;
    let first = (PER_DOUBLING + index % PER_DOUBLING) as u64;
    ((first + 1) << doubling) - 1
}

#[cfg(test)]
mod tests;
