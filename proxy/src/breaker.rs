//! Limits and circuit breakers: how much one destination may be asked at once, and whether it may be asked at all.
//!
//! Two things, kept apart. [`limits`] bounds what is under way, exactly. The breaker watches how calls end and, after
//! too many failures, keeps further calls away until a probe succeeds; it stands before each endpoint, where the
//! balancer passes over an open one, or before a whole target, where requests fail fast.
//!
//! Architecture Invariant: nothing in here reads a clock, spawns a task or does IO. `now` is an argument, randomness
//! comes from a seed, and what happened is a return value.

// How much may be under way at once.
pub mod limits;
// The breakers of a target's endpoints, kept while endpoints come and go.
pub mod kept;
// The breaker as request path and balancer use it, from several workers.
pub mod shared;
// How many endpoints may be ejected at once, and who is readmitted first.
pub mod cap;
// What each way for a call to end means to breaker and retry: one table.
pub mod classify;
// The state machine.
pub mod machine;
// Thresholds and times of one machine, from the policy.
pub mod settings;
// The share of requests that an endpoint gets after its breaker closed.
pub mod slow_start;
// Counters over the last seconds.
pub mod window;
// What the machine tells about itself: states, transitions, reasons.
pub mod transition;
// What one call says about the health of where it went.
pub mod outcome;

pub use cap::Cap;
pub use classify::{Event, Retryable, Verdict, classify};
pub use kept::{EndpointKey, Kept};
pub use limits::{Full, Gauge, Limits, Permit};
pub use machine::{Machine, Rejected, Token};
pub use outcome::{Failure, Outcome};
pub use settings::{Scope, Settings};
pub use shared::{Pass, Shared};
pub use transition::{Reason, State, Transition, Transitions};

#[cfg(test)]
mod tests;
