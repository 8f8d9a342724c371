//! Any endpoint, by weight.

use std::{sync::Arc, time::Instant};

use rand::Rng;

use super::endpoint::{Endpoint, Picked};

/// Weights, ready to draw from.
#[derive(Debug)]
pub struct Weighted {
    /// Sums of the weights up to each endpoint, itself included.
    sums: Vec<u64>,
}

impl Weighted {
    /// Of endpoints with these weights.
    pub fn new(weights: &[u32]) -> Self {
        let sums = weights.iter().scan(0, |sum: &mut u64, weight| {
            *sum += u64::from(*weight);
            Some(*sum)
        });
        Self { sums: sums.collect() }
    }

    /// One of them; `None` if there is none.
    pub fn draw(&self, random: &mut impl Rng) -> Option<usize> {
        let total = self.sums.last().copied().filter(|total| *total > 0)?;
        let at = random.random_range(0..total);
        Some(self.sums.partition_point(|sum| *sum <= at))
    }
}

/// One of `endpoints` by the share that each has now, of those that are `usable`, with room first: where most are out.
pub fn by_share(
    endpoints: &[Arc<Endpoint>],
    now: Instant,
    random: &mut impl Rng,
    usable: impl Fn(&Arc<Endpoint>) -> bool,
) -> Option<Picked> {
    for full in [false, true] {
        let left = || endpoints.iter().filter(|endpoint| usable(endpoint) && endpoint.has_room() != full);
        let total: f64 = left().map(|endpoint| endpoint.share(now)).sum();
        let mut at = random.random::<f64>() * total;
        let drawn = left().find(|endpoint| {
            at -= endpoint.share(now);
            at < 0.0
        });
        // Meanwhile other workers change them: then whoever takes it.
        let picked = drawn.and_then(|endpoint| endpoint.take(now));
        if let Some(picked) = picked.or_else(|| left().find_map(|endpoint| endpoint.take(now))) {
            return Some(picked);
        }
    }
    None
}

#[cfg(test)]
mod tests;
