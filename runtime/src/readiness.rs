//! Whether the process may be sent work yet: ready once nothing holds it back, never again once it drains.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Whether the process is ready; clones share one answer. Without a hold it is ready from the start, so take every
/// hold before anything serves the answer.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    holds: Vec<&'static str>,
    draining: bool,
}

/// One thing that the process must have before it is ready. Dropping it says that the process has it now.
///
/// A hold that is lost to a panic stays: what it waited for did not happen.
#[derive(Debug)]
#[must_use = "a dropped hold says that what it waits for is there"]
pub struct Hold {
    name: &'static str,
    readiness: Readiness,
}

impl Readiness {
    /// Ready until someone takes a hold.
    pub fn new() -> Self {
        Self::default()
    }

    /// Unready until the hold is released. `name` completes the sentence "waiting for ...".
    pub fn hold(&self, name: &'static str) -> Hold {
        self.state().holds.push(name);
        Hold { name, readiness: self.clone() }
    }

    /// Whether every hold is released and nothing drains the process.
    pub fn is_ready(&self) -> bool {
        let state = self.state();
        state.holds.is_empty() && !state.draining
    }

    /// Names of the holds that are still taken, oldest first.
    pub fn waiting_for(&self) -> Vec<&'static str> {
        self.state().holds.clone()
    }

    /// Makes the process unready for ever: it finishes what it has and takes no more.
    pub fn drain(&self) {
        self.state().draining = true;
    }

    /// Whether [`Readiness::drain`] was called.
    pub fn is_draining(&self) -> bool {
        self.state().draining
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under the lock, so a poisoned state is whole all the same.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hold {
    /// Says that the process has what this hold waited for.
    pub fn release(self) {
        drop(self);
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let mut state = self.readiness.state();
        if let Some(at) = state.holds.iter().position(|&name| name == self.name) {
            state.holds.remove(at);
        }
    }
}

#[cfg(test)]
mod tests;
