//! A bucket of tokens as one number: when it will be full (the generic cell rate algorithm, ITU-T I.371). Pure.

use std::time::Duration;

/// How fast a bucket fills, and how much fits into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// One token comes in this time.
    interval_ns: u64,
    /// An empty bucket is full after this time.
    capacity_ns: u64,
}

impl Rate {
    /// `requests` tokens for each `per`, of which `burst` fit. Rounded so that there are never more.
    pub fn new(requests: u32, per: Duration, burst: u32) -> Self {
        let per_ns = u64::try_from(per.as_nanos()).unwrap_or(u64::MAX);
        let interval_ns = per_ns.div_ceil(u64::from(requests.max(1)));
        Self { interval_ns, capacity_ns: interval_ns.saturating_mul(u64::from(burst)) }
    }

    /// Takes a token at `now_ns` from a bucket that is full at `full_at_ns`: when it is full then; or else after what time
    /// there will be one.
    pub fn take(self, full_at_ns: u64, now_ns: u64) -> Result<u64, Duration> {
        // One that was made for more than fits now is empty.
        let missing_ns = full_at_ns.saturating_sub(now_ns).min(self.capacity_ns);
        let missing_then_ns = missing_ns.saturating_add(self.interval_ns);
        match missing_then_ns.checked_sub(self.capacity_ns) {
            Some(wait) if wait > 0 => Err(Duration::from_nanos(wait)),
            _ => Ok(now_ns.saturating_add(missing_then_ns)),
        }
    }
}

#[cfg(test)]
mod tests;
