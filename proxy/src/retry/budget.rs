//! How many retries there may be in relation to requests, so that retrying cannot drown who is down already.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use weft_api::retry::Budget as Policy;

use crate::breaker::window::Window;

/// The retry budget of one destination, for all workers of the proxy together. Over the last interval:
///
/// `retries <= percent of originals + min_per_second * interval`
///
/// An original request counts at its start. A retry is granted and counted in one step, so that workers that ask at
/// once share one budget.
#[derive(Debug)]
pub struct Budget(Mutex<State>);

#[derive(Debug)]
struct State {
    policy: Policy,
    /// Originals and retries.
    window: Window,
    counts: Counts,
}

/// What became of all retries that were asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Granted, and therefore sent.
    pub granted: u64,
    /// Refused.
    pub refused: u64,
}

impl Budget {
    /// No requests yet.
    pub fn new(policy: Policy, now: Instant) -> Self {
        let window = Window::new(policy.interval.get(), now);
        Self(Mutex::new(State { policy, window, counts: Counts::default() }))
    }

    /// Counts an original request, at its start.
    pub fn count_original(&self, now: Instant) {
        self.lock().window.add(now, [1, 0]);
    }

    /// Grants a retry and counts it, or refuses it.
    pub fn try_retry(&self, now: Instant) -> bool {
        let mut state = self.lock();
        let [originals, retries] = state.window.totals(now);
        let granted = permits(&state.policy, originals, retries + 1);
        if granted {
            state.window.add(now, [0, 1]);
            state.counts.granted += 1;
        } else {
            state.counts.refused += 1;
        }
        granted
    }

    /// What became of all retries so far.
    pub fn counts(&self) -> Counts {
        self.lock().counts
    }

    /// Applies another policy; what was counted stays.
    pub fn set_policy(&self, policy: Policy) {
        let mut state = self.lock();
        state.window.set_length(policy.interval.get());
        state.policy = policy;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here leaves the counts half changed, so another thread's panic spoils nothing.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// In integers: both sides times 100 (percent) times 1000 (milliseconds).
fn permits(policy: &Policy, originals: u64, retries: u64) -> bool {
    let by_share = u128::from(policy.percent) * u128::from(originals) * 1000;
    let by_floor = u128::from(policy.min_per_second) * policy.interval.get().as_millis() * 100;
    u128::from(retries) * 100 * 1000 <= by_share + by_floor
}

#[cfg(test)]
mod tests;
