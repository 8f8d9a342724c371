//! A breaker with a name: what it does is logged in words and counted for metrics, and in audit mode it does nothing
//! but that.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use crate::breaker::{
    outcome::Outcome,
    settings::Scope,
    shared::{Pass, Shared},
    transition::{Reason, State, Transition},
};

/// One breaker of a destination.
#[derive(Debug)]
pub struct Accrual {
    /// Endpoint or target.
    pub scope: Scope,
    /// `<namespace>/<service>:<port>`.
    pub destination: Arc<str>,
    /// At endpoint scope, whose.
    pub endpoint: Option<SocketAddr>,
    /// The machine.
    pub breaker: Arc<Shared>,
    /// Compute and report only.
    audit: AtomicBool,
    /// What it has done so far.
    pub counts: Counts,
}

/// Counters of one breaker.
#[derive(Debug, Default)]
pub struct Counts {
    /// Trips, by [`Reason::label`].
    pub trips: [AtomicU64; TRIP_REASONS.len()],
    /// Trips that the cap refused.
    pub suppressed: AtomicU64,
    /// Times that probes closed it.
    pub probes_succeeded: AtomicU64,
    /// Times that a probe opened it again.
    pub probes_failed: AtomicU64,
}

/// The reasons for which a breaker opens.
pub const TRIP_REASONS: [&str; 5] =
    ["consecutive", "share", "probe_failed", "probe_overloaded", "probe_timed_out"];

/// No call may pass now.
#[derive(Clone, Copy, Debug)]
pub struct Open {
    /// Until a probe may pass.
    pub retry_after: Duration,
}

impl Accrual {
    /// A closed breaker's book-keeping.
    pub fn new(
        scope: Scope,
        destination: Arc<str>,
        endpoint: Option<SocketAddr>,
        breaker: Arc<Shared>,
    ) -> Self {
        Self {
            scope,
            destination,
            endpoint,
            breaker,
            audit: AtomicBool::new(false),
            counts: Counts::default(),
        }
    }

    /// From now on, act or report only.
    pub fn set_audit(&self, audit: bool) {
        self.audit.store(audit, Relaxed);
    }

    /// Whether it acts.
    pub fn enforces(&self) -> bool {
        !self.audit.load(Relaxed)
    }

    /// Asks for admission of a call. In audit mode a call that would have been refused passes without being counted.
    pub fn acquire(&self, now: Instant) -> Result<Option<Pass>, Open> {
        let (admitted, transitions) = self.breaker.acquire(now);
        self.note(transitions);
        match admitted {
            Ok(pass) => Ok(Some(pass)),
            Err(rejected) if self.enforces() => {
                Err(Open { retry_after: rejected.until.saturating_duration_since(now) })
            }
            Err(_) => Ok(None),
        }
    }

    /// Asks whether a connection must be tried before the first probe; see [`Shared::acquire_connect`].
    pub fn acquire_connect(&self, now: Instant) -> Option<Pass> {
        let (pass, transitions) = self.breaker.acquire_connect(now);
        self.note(transitions);
        pass
    }

    /// Reports how an admitted call ended.
    pub fn report(&self, pass: Option<Pass>, now: Instant, outcome: Outcome) {
        if let Some(pass) = pass {
            self.note(pass.report(now, outcome));
        }
    }

    /// Takes the steps that time alone brings.
    pub fn poll(&self, now: Instant) {
        self.note(self.breaker.poll(now));
    }

    /// Logs and counts what a call to the machine brought about.
    pub fn note(&self, transitions: impl IntoIterator<Item = Transition>) {
        for transition in transitions {
            self.count(&transition);
            self.tell(&transition);
        }
    }

    fn count(&self, transition: &Transition) {
        if transition.is_refused_trip() {
            self.counts.suppressed.fetch_add(1, Relaxed);
            return;
        }
        match transition.to {
            State::Open => {
                let label = transition.reason.label();
                if let Some(reason) = TRIP_REASONS.iter().position(|reason| *reason == label) {
                    self.counts.trips[reason].fetch_add(1, Relaxed);
                }
                if transition.from == State::HalfOpen {
                    self.counts.probes_failed.fetch_add(1, Relaxed);
                }
            }
            State::Closed if matches!(transition.reason, Reason::ProbesSucceeded { .. }) => {
                self.counts.probes_succeeded.fetch_add(1, Relaxed);
            }
            State::Closed | State::HalfOpen => {}
        }
    }

    fn tell(&self, transition: &Transition) {
        let pause_ms =
            transition.until.map(|until| until.saturating_duration_since(transition.at).as_millis() as u64);
        tracing::info!(
            scope = scope_label(self.scope),
            destination = %self.destination,
            endpoint = self.endpoint.map(tracing::field::display),
            reason = %transition.reason,
            pause_ms,
            audit = !self.enforces(),
            "{}",
            words(transition)
        );
    }
}

fn words(transition: &Transition) -> &'static str {
    match (transition.is_refused_trip(), transition.to) {
        (true, _) => "ejection suppressed: no more endpoints may be out",
        (_, State::Open) => "breaker opened",
        (_, State::HalfOpen) => "breaker half-open: probing",
        (_, State::Closed) => "breaker closed",
    }
}

/// The scope as a metric label.
pub fn scope_label(scope: Scope) -> &'static str {
    match scope {
        Scope::Endpoint => "endpoint",
        Scope::Target => "target",
    }
}

#[cfg(test)]
mod tests;
