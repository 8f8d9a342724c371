//! What the machine tells about itself: states, transitions and their reasons in words.

use std::{
    fmt,
    time::{Duration, Instant},
};

use super::outcome::Failure;

/// Where a breaker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Calls pass and are counted.
    Closed,
    /// No call passes until a time.
    Open,
    /// A few calls pass as probes.
    HalfOpen,
}

/// One step of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The state before.
    pub from: State,
    /// The state after. Closed after closed is a trip that was refused, see [`Transition::is_refused_trip`].
    pub to: State,
    /// Why.
    pub reason: Reason,
    /// When it took effect. A step that time alone brought is dated when it was due, not when it was noticed.
    pub at: Instant,
    /// To open: no call passes before. Refused trip: a tenth of its share until then.
    pub until: Option<Instant>,
}

impl Transition {
    /// Whether the rules demanded a trip but too many endpoints are ejected already. The endpoint keeps serving, at
    /// the share that slow start begins with.
    pub fn is_refused_trip(&self) -> bool {
        self.from == State::Closed && self.to == State::Closed
    }
}

/// Why a machine made a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Too many failures in a row.
    Consecutive {
        /// How many.
        failures: u32,
    },
    /// Too great a share of failures in the window.
    Share {
        /// Failed requests, overload included.
        failed: u64,
        /// All requests.
        total: u64,
        /// Over how long.
        window: Duration,
    },
    /// A probe failed.
    ProbeFailed(Failure),
    /// A probe was told to come back later.
    ProbeOverloaded,
    /// A probe had no outcome in time.
    ProbeTimedOut,
    /// The pause is over.
    PauseOver,
    /// Enough probes succeeded.
    ProbesSucceeded {
        /// How many.
        successes: u32,
    },
    /// Too many of too few endpoints were ejected, and this one was due first.
    Readmitted,
}

impl Reason {
    /// The reason as the value of a metric label.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Consecutive { .. } => "consecutive",
            Self::Share { .. } => "share",
            Self::ProbeFailed(_) => "probe_failed",
            Self::ProbeOverloaded => "probe_overloaded",
            Self::ProbeTimedOut => "probe_timed_out",
            Self::PauseOver => "pause_over",
            Self::ProbesSucceeded { .. } => "probes_succeeded",
            Self::Readmitted => "readmitted",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Consecutive { failures: 1 } => f.write_str("1 failure"),
            Self::Consecutive { failures } => write!(f, "{failures} failures in a row"),
            Self::Share { failed, total, window } => {
                let percent = u128::from(failed) * 100 / u128::from(total.max(1));
                let seconds = window.as_secs_f64();
                write!(f, "{percent} % of {total} requests failed within {seconds} s")
            }
            Self::ProbeFailed(failure) => write!(f, "the probe failed: {failure}"),
            Self::ProbeOverloaded => f.write_str("the probe was told to come back later"),
            Self::ProbeTimedOut => f.write_str("the probe had no answer in time"),
            Self::PauseOver => f.write_str("the pause is over"),
            Self::ProbesSucceeded { successes: 1 } => f.write_str("the probe succeeded"),
            Self::ProbesSucceeded { successes } => write!(f, "{successes} probes succeeded"),
            Self::Readmitted => f.write_str("too many of too few endpoints were ejected"),
        }
    }
}

/// The steps that one call to the machine brought about, in order. At most two: a probe's time ran out, and by now the
/// pause after it is over as well.
///
/// Nearly every call brings none, and then this is one word without memory of its own, cheap to hand on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "transitions are what logs and metrics show of a breaker"]
#[expect(clippy::box_collection, reason = "three words would have to be moved with every call")]
pub struct Transitions(Option<Box<Vec<Transition>>>);

impl Transitions {
    /// Appends a step.
    pub(super) fn push(&mut self, transition: Transition) {
        let steps = self.0.get_or_insert_default();
        debug_assert!(steps.len() < 2, "a third step in one call: {transition:?}");
        steps.push(transition);
    }

    /// The steps, in order.
    pub(super) fn as_slice(&self) -> &[Transition] {
        self.0.as_ref().map_or(&[], |steps| steps.as_slice())
    }

    /// Whether nothing changed, as after nearly every call.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

impl From<Option<Transition>> for Transitions {
    fn from(transition: Option<Transition>) -> Self {
        Self(transition.map(|transition| Box::new(vec![transition])))
    }
}

impl IntoIterator for Transitions {
    type Item = Transition;
    type IntoIter = std::vec::IntoIter<Transition>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.map(|steps| *steps).unwrap_or_default().into_iter()
    }
}
