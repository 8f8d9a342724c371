//! Two counters over the last seconds, in a ring of ten buckets.

use std::time::{Duration, Instant};

/// Buckets of the ring. The window moves on in steps of one bucket, so it reaches back between nine and ten tenths of
/// its length.
pub const BUCKETS: usize = 10;

/// A sliding pair of counts. The bucket of a time is `floor((time - base) / width)`, and the last [`BUCKETS`] buckets
/// are live. All in integers, so that no sample is ever lost to rounding. A time before the newest bucket counts as
/// in the newest bucket.
#[derive(Clone, Debug)]
pub struct Window {
    base: Instant,
    width_ns: u64,
    /// Number of the newest bucket since `base`.
    newest: u64,
    /// A time before this is in the newest bucket, or counts there.
    newest_ends: Instant,
    /// Bucket `n` is at `n % BUCKETS`.
    buckets: [[u64; 2]; BUCKETS],
    totals: [u64; 2],
}

impl Window {
    /// An empty window that reaches back over `length`, which is rounded up to a multiple of ten nanoseconds.
    pub fn new(length: Duration, base: Instant) -> Self {
        Self {
            base,
            width_ns: nanos(length).div_ceil(BUCKETS as u64).max(1),
            newest: 0,
            newest_ends: base,
            buckets: [[0; 2]; BUCKETS],
            totals: [0; 2],
        }
    }

    /// Counts at `now`. Returns the counts of all live buckets, these included.
    // Each request counts three times; as a call, this would hand its arrays over in memory.
    #[inline]
    pub fn add(&mut self, now: Instant, counts: [u64; 2]) -> [u64; 2] {
        self.advance(now);
        self.count(counts);
        self.totals
    }

    /// The counts of all live buckets at `now`.
    pub fn totals(&mut self, now: Instant) -> [u64; 2] {
        self.advance(now);
        self.totals
    }

    /// Forgets all counts.
    pub fn clear(&mut self) {
        self.buckets = [[0; 2]; BUCKETS];
        self.totals = [0; 2];
    }

    /// Reaches back over another length from now on. What was counted stays, dated at the start of its old bucket.
    pub fn set_length(&mut self, length: Duration) {
        let mut resized = Self::new(length, self.base);
        if resized.width_ns == self.width_ns {
            return;
        }
        for age in (0..BUCKETS as u64).rev() {
            if let Some(bucket) = self.newest.checked_sub(age) {
                resized.advance_to(bucket.saturating_mul(self.width_ns) / resized.width_ns);
                resized.count(self.buckets[slot(bucket)]);
            }
        }
        *self = resized;
    }

    fn count(&mut self, counts: [u64; 2]) {
        let bucket = &mut self.buckets[slot(self.newest)];
        for lane in 0..2 {
            bucket[lane] += counts[lane];
            self.totals[lane] += counts[lane];
        }
    }

    fn advance(&mut self, now: Instant) {
        // Nearly every call ends here, and is spared the division.
        if now >= self.newest_ends {
            self.advance_to(nanos(now.saturating_duration_since(self.base)) / self.width_ns);
        }
    }

    /// Empties the buckets that the ring gives to newer times.
    #[cold]
    fn advance_to(&mut self, bucket: u64) {
        let bucket = bucket.max(self.newest);
        // After a gap longer than the ring every slot is emptied once, not once per bucket of the gap.
        let passed = (bucket - self.newest).min(BUCKETS as u64);
        for step in 1..=passed {
            let expired = std::mem::take(&mut self.buckets[slot(self.newest + step)]);
            for (total, expired) in self.totals.iter_mut().zip(expired) {
                *total -= expired;
            }
        }
        self.newest = bucket;
        let ends_ns = self.width_ns.saturating_mul(bucket.saturating_add(1));
        // If the clock cannot hold it, each call looks for its bucket.
        self.newest_ends = self.base.checked_add(Duration::from_nanos(ends_ns)).unwrap_or(self.base);
    }
}

fn slot(bucket: u64) -> usize {
    (bucket % BUCKETS as u64) as usize
}

/// Enough for 584 years; longer is as good as that.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
