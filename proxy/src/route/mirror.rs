//! Copies of requests.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use rand::Rng;

use super::Forward;
use crate::{share, telemetry::requests::Series};

/// Who gets copies of a route's requests, and of how many.
pub struct Mirror {
    /// `<namespace>/<service>:<port>/mirror`: limits, breakers and counts of its own, so that copies have no effect on
    /// what the service is to others.
    pub name: Arc<str>,
    /// Of how many in a million.
    pub parts_per_million: u32,
    /// How a copy is sent: once, to one backend.
    pub forward: Forward,
    /// Where copies are counted.
    pub requests: Arc<Series>,
}

impl Mirror {
    /// Whether one request is copied.
    pub fn draws(&self, random: &mut impl Rng) -> bool {
        share::draws(self.parts_per_million, random)
    }

    /// Counts a copy that was not made because there are too many.
    pub fn count_refused(&self) {
        for cluster in self.forward.backends.clusters() {
            cluster.guard.counts.overflows.fetch_add(1, Relaxed);
        }
    }
}
