//! One endpoint of a backend: whether it takes a try now, and how large its share is.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::load::{InFlight, Load};
use crate::{
    accrual::Accrual,
    breaker::{shared::Pass, slow_start},
    upstream::Peer,
};

/// One endpoint of a backend.
#[derive(Debug)]
pub struct Endpoint {
    /// How to reach it.
    pub peer: Arc<Peer>,
    /// Its breaker.
    pub accrual: Arc<Accrual>,
    /// Share of the requests in relation to others. At least 1.
    pub weight: u32,
    /// What it has to do.
    pub load: Arc<Load>,
    /// Whether it is new; then its share grows.
    pub fresh: Option<Fresh>,
}

/// Of an endpoint that came later than the first ones of its backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fresh {
    /// Since when it has been there.
    pub since: Instant,
    /// How long it takes to its full share.
    pub window: Duration,
}

/// An endpoint that takes a try.
#[derive(Debug)]
pub struct Picked {
    /// Which.
    pub endpoint: Arc<Endpoint>,
    /// Its breaker's admission; `None` in audit mode, where a call passes that the breaker would have refused.
    pub pass: Option<Pass>,
    /// Its load, counted while this lives.
    pub in_flight: InFlight,
}

impl Endpoint {
    /// Whether it is not ejected.
    pub fn is_available(&self, now: Instant) -> bool {
        !self.accrual.enforces() || self.accrual.breaker.is_available(now)
    }

    /// Failures that would eject it, if it is under suspicion.
    pub(super) fn failures_left(&self) -> Option<u32> {
        if self.accrual.enforces() { self.accrual.breaker.failures_left() } else { None }
    }

    /// Whether one more try may wait for its answer, so that no more fail than its breaker needs.
    pub(super) fn has_room(&self) -> bool {
        self.failures_left().is_none_or(|left| self.load.unanswered() < left)
    }

    /// This one for a try, if it takes one now.
    pub fn pick(self: &Arc<Self>, now: Instant) -> Option<Picked> {
        if self.is_available(now) && self.has_room() { self.take(now) } else { None }
    }

    /// The same whatever speaks against it, unless its breaker refuses.
    pub(super) fn take(self: &Arc<Self>, now: Instant) -> Option<Picked> {
        let pass = self.accrual.acquire(now).ok()?;
        Some(Picked { endpoint: Arc::clone(self), pass, in_flight: self.load.begin(now) })
    }

    /// Percent of what its weight gives it: less after its breaker has closed, and while it is new.
    pub(super) fn share_percent(&self, now: Instant) -> u32 {
        let back = self.accrual.breaker.share_percent(now);
        match self.fresh {
            None => back,
            Some(Fresh { since, window }) => {
                (back * slow_start::share_percent(since, now, window) / 100).max(1)
            }
        }
    }

    /// Its share of the requests, in relation to others.
    pub(super) fn share(&self, now: Instant) -> f64 {
        f64::from(self.weight) * f64::from(self.share_percent(now)) / 100.0
    }
}
