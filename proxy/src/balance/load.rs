//! What an endpoint has to do: requests in flight, and the time that answers take.
//!
//! The average follows a slower answer at once and forgets it over ten seconds, so an endpoint that stalls is left alone
//! after its first slow answers. An answer that is owed counts for as late as it is already.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

/// Time in which an old latency loses all but 1/e of its weight.
const DECAY: Duration = Duration::from_secs(10);
/// What an endpoint that has not answered yet is thought to take: it is tried, but not by everybody at once.
const UNKNOWN: Duration = Duration::from_millis(1);

/// Requests in flight and latency of one endpoint.
#[derive(Debug)]
pub struct Load {
    base: Instant,
    in_flight: AtomicU32,
    /// Of those, without response headers.
    unanswered: AtomicU32,
    /// Since when an answer is owed, if any is: the begin of the first try after the last answer. Nanoseconds since
    /// `base`, as all times here.
    owed_since_ns: AtomicU64,
    average_ns: AtomicU64,
    /// When the average was last touched.
    touched_ns: AtomicU64,
}

/// One request in flight; dropped, it is over.
#[derive(Debug)]
pub struct InFlight {
    load: Arc<Load>,
    is_answered: bool,
}

impl Load {
    /// Nothing in flight, latency unknown.
    pub fn new(now: Instant) -> Self {
        Self {
            base: now,
            in_flight: AtomicU32::new(0),
            unanswered: AtomicU32::new(0),
            owed_since_ns: AtomicU64::new(0),
            average_ns: AtomicU64::new(UNKNOWN.as_nanos() as u64),
            touched_ns: AtomicU64::new(0),
        }
    }

    /// Counts one request until the value is dropped.
    pub fn begin(self: &Arc<Self>, now: Instant) -> InFlight {
        self.in_flight.fetch_add(1, Relaxed);
        if self.unanswered.fetch_add(1, Relaxed) == 0 {
            self.owed_since_ns.store(self.nanos(now), Relaxed);
        }
        InFlight { load: Arc::clone(self), is_answered: false }
    }

    /// Requests in flight now.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Relaxed)
    }

    /// Takes one latency in. Two workers may do so at once and one observation be lost: it is an average.
    pub fn observe(&self, latency: Duration, now: Instant) {
        let latency = latency.as_nanos() as f64;
        let average = self.average();
        let average = if latency > average {
            latency
        } else {
            let elapsed = self.elapsed(now);
            let keep = (-elapsed.as_secs_f64() / DECAY.as_secs_f64()).exp();
            average.mul_add(keep, latency * (1.0 - keep))
        };
        self.average_ns.store(average as u64, Relaxed);
        self.touched_ns.store(self.nanos(now), Relaxed);
    }

    fn nanos(&self, at: Instant) -> u64 {
        // Enough for 584 years.
        at.saturating_duration_since(self.base).as_nanos() as u64
    }

    /// Of those, how many wait for their answer.
    pub fn unanswered(&self) -> u32 {
        self.unanswered.load(Relaxed)
    }

    fn average(&self) -> f64 {
        self.average_ns.load(Relaxed) as f64
    }

    fn elapsed(&self, now: Instant) -> Duration {
        Duration::from_nanos(self.nanos(now).saturating_sub(self.touched_ns.load(Relaxed)))
    }

    /// For how many nanoseconds an answer has been owed.
    fn owed_ns(&self, now: Instant) -> u64 {
        if self.unanswered.load(Relaxed) == 0 {
            return 0;
        }
        self.nanos(now).saturating_sub(self.owed_since_ns.load(Relaxed))
    }

    /// What one more request costs here: latency times what is in flight, itself included. Without answers the average fades, so that an endpoint is not avoided for ever
    /// because of one bad moment.
    pub fn cost(&self, now: Instant) -> f64 {
        let fade = (-self.elapsed(now).as_secs_f64() / DECAY.as_secs_f64()).exp();
        let average = (self.average() * fade).max(self.owed_ns(now) as f64).max(1.0);
        average * f64::from(self.in_flight() + 1)
    }
}

impl InFlight {
    /// Response headers are there, good or bad. To be called after the breaker was told of them.
    pub fn answer(&mut self, now: Instant) {
        if !std::mem::replace(&mut self.is_answered, true) {
            self.load.owed_since_ns.store(self.load.nanos(now), Relaxed);
            self.load.unanswered.fetch_sub(1, Relaxed);
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if !self.is_answered {
            self.load.unanswered.fetch_sub(1, Relaxed);
        }
        self.load.in_flight.fetch_sub(1, Relaxed);
    }
}
