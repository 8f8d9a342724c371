//! Exact concurrent admission: how much may be under way to one destination at once.

use std::sync::{Arc, atomic::Ordering};

use weft_api::circuit_breaker::Limits as Policy;

use crate::sync::AtomicU64;

/// The bounds of one destination, for all workers of the proxy together.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Open connections.
    pub connections: Arc<Gauge>,
    /// Requests that wait for a connection.
    pub pending: Arc<Gauge>,
    /// Requests in flight.
    pub requests: Arc<Gauge>,
}

impl Limits {
    /// Nothing under way.
    pub fn new(policy: &Policy) -> Self {
        Self {
            connections: Gauge::new(policy.max_connections),
            pending: Gauge::new(policy.max_pending),
            requests: Gauge::new(policy.max_requests),
        }
    }

    /// Applies other bounds; what is under way stays.
    pub fn set(&self, policy: &Policy) {
        self.connections.set_limit(policy.max_connections);
        self.pending.set_limit(policy.max_pending);
        self.requests.set_limit(policy.max_requests);
    }
}

/// As much is under way as may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the limit of {limit} at once is reached; raise it in the CircuitBreakerPolicy if the destination can take more"
)]
pub struct Full {
    /// The limit at that moment.
    pub limit: u32,
}

/// Counts what is under way and admits no more than the limit.
///
/// Limit and count share one atomic word. So each admission is decided against the limit of the very moment in which
/// it is counted, also while another thread lowers it: then nothing is admitted until enough has ended.
#[derive(Debug)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// Nothing under way.
    pub fn new(limit: u32) -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(word(limit, 0))))
    }

    /// Admits one more, until the permit is dropped.
    pub fn try_acquire(self: &Arc<Self>) -> Result<Permit, Full> {
        let admit = |current| {
            let (limit, in_flight) = parts(current);
            (in_flight < limit).then(|| word(limit, in_flight + 1))
        };
        match self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, admit) {
            Ok(_) => Ok(Permit(Arc::clone(self))),
            Err(current) => Err(Full { limit: parts(current).0 }),
        }
    }

    /// Applies another limit to whatever asks from now on.
    pub fn set_limit(&self, limit: u32) {
        let change = |current| Some(word(limit, parts(current).1));
        // Never an error: the change is never declined.
        let _ = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, change);
    }

    /// The limit.
    pub fn limit(&self) -> u32 {
        parts(self.0.load(Ordering::Acquire)).0
    }

    /// How many permits there are.
    pub fn in_flight(&self) -> u32 {
        parts(self.0.load(Ordering::Acquire)).1
    }
}

/// Admission of one, given back when dropped.
#[derive(Debug)]
#[must_use = "dropping the permit gives it back"]
pub struct Permit(Arc<Gauge>);

impl Drop for Permit {
    fn drop(&mut self) {
        // The count is in the lower half, and at least 1: this permit is in it.
        self.0.0.fetch_sub(1, Ordering::AcqRel);
    }
}

fn word(limit: u32, in_flight: u32) -> u64 {
    u64::from(limit) << 32 | u64::from(in_flight)
}

fn parts(word: u64) -> (u32, u32) {
    ((word >> 32) as u32, word as u32)
}

#[cfg(test)]
mod tests;
