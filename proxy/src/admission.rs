//! A try that was let through by everything that stands before its endpoint, until its outcome is known.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    balance::{Endpoint, InFlight},
    breaker::{Event, Outcome, Pass, Verdict, classify},
    guard::{Entry, Guard},
};

/// A good response may still break off; within this time of its headers that is the endpoint's failure. After it the
/// outcome is settled, also for a stream that goes on for hours.
const SETTLED: Duration = Duration::from_secs(10);

/// An admitted try. Dropped without a report, it says nothing about anybody's health.
#[derive(Debug)]
pub struct Admission {
    /// Let through by the route's guard, if it has one.
    pub route: Option<Entry>,
    /// Let through by the backend's.
    pub backend: Entry,
    /// Where it goes.
    pub endpoint: Arc<Endpoint>,
    /// Let through by the endpoint's breaker.
    pub pass: Option<Pass>,
    /// Counted as load of the endpoint.
    pub in_flight: InFlight,
    /// When it was sent.
    pub sent: Instant,
    /// When its response headers came.
    pub headers: Option<Instant>,
}

impl Admission {
    /// The guard whose idea of a failure counts for retry and fallback: the nearest to the caller.
    fn first(&self) -> &Guard {
        self.route.as_ref().unwrap_or(&self.backend).guard()
    }

    /// What `event` means for retry and fallback.
    pub fn verdict(&self, event: Event, starved: bool) -> Verdict {
        classify(event, &self.first().failures, starved)
    }

    /// Response headers are there, and `event` says how. A failure is reported now, and so is what a probe has found
    /// out; that all is well, only when the body has ended well.
    pub fn respond(&mut self, event: Event, starved: bool, now: Instant, body_is_over: bool) {
        self.headers = Some(now);
        for entry in self.route.iter_mut().chain([&mut self.backend]) {
            if body_is_over || entry.is_probe() || entry.outcome(event, starved) != Outcome::Success {
                entry.settle(entry.outcome(event, starved), now);
            }
        }
        let outcome = self.backend.outcome(event, starved);
        if outcome == Outcome::Success {
            self.endpoint.load.observe(now.saturating_duration_since(self.sent), now);
        }
        if body_is_over || self.pass.as_ref().is_some_and(Pass::is_probe) || outcome != Outcome::Success {
            self.endpoint.accrual.report(self.pass.take(), now, outcome);
        }
        self.in_flight.answer(now);
    }

    /// Reports to all who have no report yet.
    pub fn report(&mut self, event: Event, starved: bool, now: Instant) {
        for entry in self.route.iter_mut().chain([&mut self.backend]) {
            entry.settle(entry.outcome(event, starved), now);
        }
        self.endpoint.accrual.report(self.pass.take(), now, self.backend.outcome(event, starved));
    }

    /// Bytes of the body came: after a while, that is good enough.
    pub fn go_on(&mut self, now: Instant) {
        if self.headers.is_some_and(|headers| now.saturating_duration_since(headers) > SETTLED) {
            self.succeed(now);
        }
    }

    /// All is well.
    pub fn succeed(&mut self, now: Instant) {
        for entry in self.route.iter_mut().chain([&mut self.backend]) {
            entry.settle(Outcome::Success, now);
        }
        self.endpoint.accrual.report(self.pass.take(), now, Outcome::Success);
        // A connection of opaque bytes has no headers: it is answered once it stands.
        self.in_flight.answer(now);
    }

    /// The body broke off.
    pub fn break_off(&mut self, now: Instant) {
        let after = now.saturating_duration_since(self.headers.unwrap_or(now));
        self.report(Event::BodyBroken { after }, false, now);
    }

    /// Whether anybody still waits for a report.
    pub fn is_owed(&self) -> bool {
        self.pass.is_some() || self.route.iter().chain([&self.backend]).any(Entry::is_owed)
    }
}
