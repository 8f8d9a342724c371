//! The buckets that all workers share. They outlive every change of the policies: what was taken stays taken.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use dashmap::DashMap;

use super::Rate;

/// Buckets that are kept. Clients make them, so there is a bound.
const BUCKETS_MAX: usize = 10_000;
/// Those that are full again are looked for so often at most.
const SWEEP: Duration = Duration::from_secs(1);

/// Whose bucket it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Client {
    /// Everybody's.
    All,
    /// Of who has proved to be this.
    Identity(Arc<str>),
    /// Of who connects from there and has proved nothing.
    Address(IpAddr),
    /// Of those who have no bucket of their own.
    Others,
}

/// When each bucket will be full, by limit and client. One that is not here is full.
#[derive(Debug)]
pub struct Buckets {
    base: Instant,
    full_at_ns: DashMap<(Arc<str>, Client), u64>,
    swept_at_ns: AtomicU64,
}

impl Buckets {
    /// All of them full.
    pub fn new(now: Instant) -> Self {
        Self { base: now, full_at_ns: DashMap::new(), swept_at_ns: AtomicU64::new(0) }
    }

    /// Takes a token of the limit `id` for `client`; if there is none, says after what time there will be one.
    pub fn take(&self, id: &Arc<str>, client: Client, rate: Rate, now: Instant) -> Result<(), Duration> {
        let since = now.saturating_duration_since(self.base);
        let now_ns = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
        let mut key = (Arc::clone(id), client);
        // Counting all looks into every part of the map: only for who is new.
        let is_new = !self.full_at_ns.contains_key(&key);
        if is_new && self.full_at_ns.len() >= BUCKETS_MAX && !self.sweep(now_ns) {
            key.1 = Client::Others;
        }
        let mut full_at_ns = self.full_at_ns.entry(key).or_insert(0);
        *full_at_ns = rate.take(*full_at_ns, now_ns)?;
        Ok(())
    }

    /// Forgets buckets that are full. Says whether there is room now.
    fn sweep(&self, now_ns: u64) -> bool {
        let swept_at_ns = self.swept_at_ns.load(Relaxed);
        let is_due = now_ns.saturating_sub(swept_at_ns) >= SWEEP.as_nanos() as u64;
        // Of several workers one does it.
        if is_due && self.swept_at_ns.compare_exchange(swept_at_ns, now_ns, Relaxed, Relaxed).is_ok() {
            self.full_at_ns.retain(|_, full_at_ns| *full_at_ns > now_ns);
        }
        self.full_at_ns.len() < BUCKETS_MAX
    }
}

#[cfg(test)]
mod tests;
