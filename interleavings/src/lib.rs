//! The sidecar's breakers and limits, from the very files that the sidecar is compiled from, but with locks and atomics
//! that a model checker holds in its hand: [`loom`] runs a test once for each order in which threads may reach them, and
//! for each value that the memory model lets a thread read.

// What tests itself in these files does so in the sidecar, with the types of the standard library.
#![cfg(not(test))]

#[path = "../../proxy/src"]
mod proxy {
    #[allow(dead_code, reason = "most of it is for the sidecar")]
    pub mod breaker;
}

/// What stands for `proxy/src/sync.rs`.
mod sync {
    pub use loom::sync::{Mutex, MutexGuard, atomic::AtomicU64};
}

pub use proxy::breaker;

/// So often at most, in one run of [`check_up_to_bound`], a thread is interrupted where it could have gone on.
pub const INTERRUPTIONS_MAX: usize = 3;

/// As [`loom::model()`], without the orders that interrupt more than [`INTERRUPTIONS_MAX`] times. For three threads: with
/// every order they would take hours, and those that find a fault seldom need more than two.
pub fn check_up_to_bound(test: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(INTERRUPTIONS_MAX);
    builder.check(test);
}
