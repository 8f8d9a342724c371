//! Failures that were retried further down, so that nobody retries them again further up.
//!
//! In a chain of services that each retry, a failure at its end would be tried a multiple of times. Whoever has had its
//! chance to retry marks what failed for good; the mark travels up with the failed responses. Most applications answer
//! their callers with an error of their own, without any mark, so the sidecar itself connects the two: an error of
//! the application while one of its own requests failed for good is taken as the consequence of that.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Instant,
};

/// When a request of the application last failed for good.
#[derive(Debug)]
pub struct Setbacks {
    base: Instant,
    /// Nanoseconds since `base`, plus one; 0 = never.
    last_ns: AtomicU64,
}

impl Setbacks {
    /// None so far.
    pub fn new(now: Instant) -> Self {
        Self { base: now, last_ns: AtomicU64::new(0) }
    }

    /// One at `now`.
    pub fn note(&self, now: Instant) {
        self.last_ns.fetch_max(self.nanos(now).saturating_add(1), Relaxed);
    }

    /// Whether there was one at `start` or later.
    pub fn any_since(&self, start: Instant) -> bool {
        self.last_ns.load(Relaxed) > self.nanos(start)
    }

    fn nanos(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.base).as_nanos()).unwrap_or(u64::MAX - 1)
    }
}

#[cfg(test)]
mod tests;
