//! The breaker's rules once more, written to be obvious: every outcome since the last transition is stored with its
//! time, nothing is counted ahead, and there is no ring.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::super::{
    machine::Tally,
    outcome::Outcome,
    settings::Settings,
    transition::{Reason, State, Transition},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Closed { since: Option<Instant> },
    Open { until: Instant },
    HalfOpen { successes: u32, needs_connection: bool },
}

/// What the model remembers of an admission.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticket {
    steps_before: u64,
    id: u64,
    pub(super) is_probe: bool,
    is_connect: bool,
}

pub(super) struct Model {
    base: Instant,
    pub(super) settings: Settings,
    clock: Instant,
    pub(super) stage: Stage,
    steps: u64,
    /// With the time at which each counts; none once it has left a window that then changed its length.
    outcomes: Vec<(Option<Instant>, Outcome)>,
    trips: u32,
    /// Probes and connections under way, with their deadlines.
    probing: Vec<(Ticket, Instant)>,
    tickets: u64,
    pub(super) tally: Tally,
    /// The ends of pauses that the machine drew: the model checks and takes them over.
    pub(super) drawn: VecDeque<Instant>,
    pub(super) transitions: Vec<Transition>,
}

impl Model {
    pub(super) fn new(settings: Settings, base: Instant) -> Self {
        Self {
            base,
            settings,
            clock: base,
            stage: Stage::Closed { since: None },
            steps: 0,
            outcomes: Vec::new(),
            trips: 0,
            probing: Vec::new(),
            tickets: 0,
            tally: Tally::default(),
            drawn: VecDeque::new(),
            transitions: Vec::new(),
        }
    }

    pub(super) fn probes_under_way(&self) -> usize {
        self.probing.len()
    }

    pub(super) fn pass_time(&mut self, now: Instant) {
        self.clock = self.clock.max(now);
        let overdue = self.probing.iter().map(|(_, deadline)| *deadline).filter(|d| *d <= self.clock).min();
        if let Some(deadline) = overdue {
            self.trip(deadline, None, Reason::ProbeTimedOut, true);
        }
        if let Stage::Open { until } = self.stage
            && until <= self.clock
        {
            let needs_connection = self.settings.connect_first;
            self.step(until, Stage::HalfOpen { successes: 0, needs_connection }, Reason::PauseOver, None);
        }
    }

    pub(super) fn acquire(&mut self, now: Instant) -> Option<Ticket> {
        self.pass_time(now);
        let ticket = match self.stage {
            Stage::Closed { .. } => Some(self.ticket(false, false)),
            Stage::Open { .. } => None,
            Stage::HalfOpen { needs_connection, .. } => {
                let waits = needs_connection && self.settings.connect_first;
                let free = self.probing.len() < self.settings.probes as usize;
                (!waits && free).then(|| self.ticket(true, false))
            }
        };
        self.tally.rejected += u64::from(ticket.is_none());
        ticket
    }

    pub(super) fn acquire_connect(&mut self, now: Instant) -> Option<Ticket> {
        self.pass_time(now);
        let Stage::HalfOpen { needs_connection: true, .. } = self.stage else { return None };
        let is_running = self.probing.iter().any(|(ticket, _)| ticket.is_connect);
        let free = self.probing.len() < self.settings.probes as usize;
        (self.settings.connect_first && free && !is_running).then(|| self.ticket(true, true))
    }

    pub(super) fn record(&mut self, now: Instant, ticket: Ticket, outcome: Outcome, may_trip: bool) {
        self.pass_time(now);
        if outcome == Outcome::Ignored {
            return self.forget(ticket);
        }
        if ticket.steps_before != self.steps {
            self.tally.stale += 1;
            return;
        }
        let is_success = outcome == Outcome::Success;
        *(if is_success { &mut self.tally.ok } else { &mut self.tally.err }) += 1;
        let retry_after = if let Outcome::Overload { retry_after } = outcome { retry_after } else { None };
        self.probing.retain(|(probe, _)| probe.id != ticket.id);
        match &mut self.stage {
            Stage::Closed { .. } => {
                self.outcomes.push((Some(self.clock), outcome));
                if let Some(reason) = self.verdict() {
                    self.trip(self.clock, retry_after, reason, may_trip);
                }
            }
            Stage::Open { .. } => unreachable!("no ticket was given while open"),
            Stage::HalfOpen { needs_connection, .. } if is_success && ticket.is_connect => {
                *needs_connection = false;
            }
            Stage::HalfOpen { successes, .. } if is_success => {
                *successes += 1;
                let successes = *successes;
                if successes >= self.settings.successes {
                    let closed = Stage::Closed { since: Some(self.clock) };
                    self.step(self.clock, closed, Reason::ProbesSucceeded { successes }, None);
                }
            }
            Stage::HalfOpen { .. } => {
                let reason = match outcome {
                    Outcome::Failure(failure) => Reason::ProbeFailed(failure),
                    _ => Reason::ProbeOverloaded,
                };
                self.trip(self.clock, retry_after, reason, true);
            }
        }
    }

    pub(super) fn forget(&mut self, ticket: Ticket) {
        if ticket.steps_before == self.steps {
            self.tally.ignored += 1;
            self.probing.retain(|(probe, _)| probe.id != ticket.id);
        } else {
            self.tally.stale += 1;
        }
    }

    pub(super) fn readmit(&mut self, now: Instant) {
        self.clock = self.clock.max(now);
        if !matches!(self.stage, Stage::Closed { .. }) {
            let closed = Stage::Closed { since: Some(self.clock) };
            self.step(self.clock, closed, Reason::Readmitted, None);
        }
    }

    pub(super) fn set_settings(&mut self, settings: Settings) {
        let old = width(self.settings.window);
        if old != width(settings.window) {
            let bucket = |at: Instant| at.duration_since(self.base).as_nanos() as u64 / old;
            // The window was last looked at when the latest outcome came.
            let newest = self.outcomes.last().and_then(|(at, _)| *at).map_or(0, bucket);
            for (at, _) in &mut self.outcomes {
                // What has left the window does not come back with a longer one, and the rest is dated at the start
                // of its bucket.
                *at = at
                    .map(bucket)
                    .filter(|bucket| bucket + 10 > newest)
                    .map(|bucket| self.base + Duration::from_nanos(bucket * old));
            }
        }
        self.settings = settings;
    }

    fn failures_in_a_row(&self) -> u32 {
        self.outcomes
            .iter()
            .rev()
            .map(|(_, outcome)| outcome)
            .take_while(|outcome| **outcome != Outcome::Success)
            .filter(|outcome| matches!(outcome, Outcome::Failure(_)))
            .count() as u32
    }

    /// As [`super::Machine::failures_left`].
    pub(super) fn failures_left(&self) -> Option<u32> {
        // Whatever is not a closed breaker's was cleared when it opened.
        match (self.stage, self.settings.consecutive, self.failures_in_a_row()) {
            (Stage::Closed { .. }, needed @ 1.., failures @ 1..) => {
                Some(if failures < needed { needed - failures } else { 1 })
            }
            _ => None,
        }
    }

    fn verdict(&self) -> Option<Reason> {
        let Settings { consecutive, failure_percent, min_requests, window, .. } = self.settings;
        let failures = self.failures_in_a_row();
        if consecutive > 0 && failures >= consecutive {
            return Some(Reason::Consecutive { failures });
        }
        let bucket = |at: Instant| at.duration_since(self.base).as_nanos() as u64 / width(window);
        let live = self
            .outcomes
            .iter()
            .rev()
            .take_while(|(at, _)| at.is_some_and(|at| bucket(at) + 10 > bucket(self.clock)));
        let (mut failed, mut total) = (0, 0);
        for (_, outcome) in live {
            total += 1;
            failed += u64::from(*outcome != Outcome::Success);
        }
        let is_too_much = failed > 0 && failed * 100 >= u64::from(failure_percent) * total;
        (failure_percent > 0 && total >= u64::from(min_requests) && is_too_much).then_some(Reason::Share {
            failed,
            total,
            window,
        })
    }

    fn trip(&mut self, at: Instant, retry_after: Option<Duration>, reason: Reason, may_trip: bool) {
        if let Stage::Closed { since: Some(since) } = self.stage
            && at.saturating_duration_since(since) >= Duration::from_mins(1)
        {
            self.trips = 0;
        }
        self.trips += 1;
        let mut pause = self.settings.open_base;
        for _ in 1..self.trips {
            pause = (pause * 2).min(self.settings.open_max);
        }
        let until = self.drawn.pop_front().expect("the machine trips when the model does");
        let longest = pause + pause.mul_f64(f64::from(self.settings.jitter_ppm) / 1e6);
        let asked = retry_after.unwrap_or_default().min(self.settings.open_max);
        let drawn = until.duration_since(at);
        assert!(drawn >= pause.max(asked), "{drawn:?} is shorter than {pause:?} or {asked:?}");
        let slack = Duration::from_nanos(1);
        assert!(drawn <= longest.max(asked) + slack, "{drawn:?} is longer than {longest:?} and {asked:?}");
        let stage = if may_trip { Stage::Open { until } } else { Stage::Closed { since: Some(until) } };
        self.step(at, stage, reason, Some(until));
    }

    fn step(&mut self, at: Instant, stage: Stage, reason: Reason, until: Option<Instant>) {
        let from = self.state();
        self.stage = stage;
        self.steps += 1;
        self.outcomes.clear();
        self.probing.clear();
        self.transitions.push(Transition { from, to: self.state(), reason, at, until });
    }

    pub(super) fn state(&self) -> State {
        match self.stage {
            Stage::Closed { .. } => State::Closed,
            Stage::Open { .. } => State::Open,
            Stage::HalfOpen { .. } => State::HalfOpen,
        }
    }

    fn ticket(&mut self, is_probe: bool, is_connect: bool) -> Ticket {
        self.tickets += 1;
        let ticket = Ticket { steps_before: self.steps, id: self.tickets, is_probe, is_connect };
        if is_probe {
            self.probing.push((ticket, self.clock + self.settings.probe_timeout));
        }
        ticket
    }
}

fn width(window: Duration) -> u64 {
    (window.as_nanos() as u64).div_ceil(10)
}
