//! One endpoint after the other, those with more weight more often, and evenly spread: weighted round robin without a
//! schedule and without a lock.
//!
//! Turns are numbered. In each round every endpoint has one turn; it takes it where the multiples of its weight cross a
//! multiple of the highest weight, and else lets it pass. So the heaviest takes all of its turns and one of half its
//! weight every second, and workers share nothing but the number.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What the highest weight is scaled to. A lighter one than 1/65,535 of it counts as that.
const SCALE: u64 = u16::MAX as u64;

/// Whose turn it is, among so many endpoints.
#[derive(Debug)]
pub struct Turns {
    /// By endpoint, from 1 to [`SCALE`].
    weights: Vec<u16>,
    next: AtomicU64,
}

impl Turns {
    /// Turns of endpoints with these weights, from the number `first` on.
    pub fn new(weights: &[u32], first: u64) -> Self {
        let most = u64::from(weights.iter().copied().max().unwrap_or(1).max(1));
        let scale = |weight: &u32| (u64::from(*weight) * SCALE / most).max(1) as u16;
        Self { weights: weights.iter().map(scale).collect(), next: AtomicU64::new(first) }
    }

    /// Takes the next turn. `None` = it is let pass; of as many in a row as there are endpoints, not all are.
    pub fn take(&self) -> Option<usize> {
        self.taken(self.next.fetch_add(1, Relaxed))
    }

    /// The number of the next turn.
    pub fn number(&self) -> u64 {
        self.next.load(Relaxed)
    }

    /// Who takes turn `number`.
    fn taken(&self, number: u64) -> Option<usize> {
        let count = self.weights.len() as u64;
        let endpoint = number.checked_rem(count)?;
        let weight = u64::from(self.weights[endpoint as usize]);
        // Endpoints of one weight take turns in different rounds, every other one half a cycle later.
        let offset = (endpoint % 2) * (SCALE / 2);
        // Rounds repeat after as many as the scale has steps, so nothing overflows.
        let step = (number / count % SCALE * weight + offset) % SCALE;
        (step + weight >= SCALE).then_some(endpoint as usize)
    }
}

#[cfg(test)]
mod tests;
