//! The story in words and numbers: six phases, and what the two services do in them.

/// Share of the tries that fail in the API, as it is started.
pub const FAILING: f64 = 1.0 / 3.0;
/// Retries after the first try, in the policy of phase 3.
pub const RETRIES: u32 = 2;
/// Share of failing requests that the service level objective allows.
pub const SLO: f64 = 0.1;

/// One phase, as people are told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Phase {
    /// A few words.
    pub(crate) title: &'static str,
    /// What is different now, and what that should do.
    pub(crate) words: &'static str,
}

/// The phases, in order.
pub(crate) const PHASES: [Phase; 6] = [
    Phase {
        title: "without the mesh",
        words: "The frontend calls the API directly. One request in three fails, and so does one page in three.",
    },
    Phase {
        title: "in the mesh",
        words: "Each service has a sidecar now. No policy yet: as many pages fail as before, but now it can be seen, \
                and between the sidecars everything is mutual TLS.",
    },
    Phase {
        title: "retries",
        words: "A RetryPolicy: up to two more tries, within a budget. Only three failures in a row reach a user, \
                1 in 27; the API takes 1.44 times the load.",
    },
    Phase {
        title: "a canned answer",
        words: "A CircuitBreakerPolicy: what still fails after its retries gets a canned answer instead. \
                No user sees an error any more.",
    },
    Phase {
        title: "the API breaks",
        words: "Every try fails now. The breaker trips: canned answers at once, and the API is left alone \
                but for one probe a second.",
    },
    Phase {
        title: "the API heals",
        words: "A probe succeeds, the breaker closes by itself, and everything is as it was before.",
    },
];
