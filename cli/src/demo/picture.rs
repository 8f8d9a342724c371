//! What there is to see at one moment. Built once per tick; the views only draw it.

use std::time::Duration;

use super::{
    load::Tally,
    progress::{Process, Progress},
    sighting::{Breaker, Sighting},
    story::{PHASES, SLO},
};

/// Everything that a view may show.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Picture {
    /// Time since the start.
    pub(crate) elapsed: Duration,
    /// One line per phase.
    pub(crate) phases: Vec<Line>,
    /// What is different in this phase, in words.
    pub(crate) words: &'static str,
    /// What is done now.
    pub(crate) doing: String,
    /// Every process of the story.
    pub(crate) processes: Vec<Process>,
    /// What the mesh said last.
    pub(crate) said: Option<String>,
    /// Answers per second.
    pub(crate) rate: f64,
    /// Share of the users' requests that failed; none without requests.
    pub(crate) errors: Option<f64>,
    /// Share of the users' requests that got the canned answer.
    pub(crate) canned: Option<f64>,
    /// Requests at the API for each of the users'.
    pub(crate) load: Option<f64>,
    /// Half of the answers took at most this long.
    pub(crate) p50: Option<Duration>,
    /// 99 of 100 answers took at most this long.
    pub(crate) p99: Option<Duration>,
    /// Share of failed requests over time, per mille, oldest first.
    pub(crate) history: Vec<u64>,
    /// State of the target breaker.
    pub(crate) breaker: Breaker,
    /// How often it tripped.
    pub(crate) trips: u64,
    /// Retries so far.
    pub(crate) retries: u64,
    /// SPIFFE ids with the time that their certificates have left.
    pub(crate) certificates: Vec<(String, Duration)>,
}

/// One phase, as far as it has come.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Line {
    /// Its title.
    pub(crate) title: &'static str,
    /// Its state.
    pub(crate) state: State,
    /// Users' errors and load on the API as they were measured; empty before.
    pub(crate) measured: Vec<String>,
}

/// How far a phase has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// It comes later.
    Waiting,
    /// It is played.
    Playing,
    /// Everything in it held.
    Held,
    /// Something in it did not hold.
    Failed,
}

/// What was seen at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Moment {
    /// Time since the start.
    pub(crate) elapsed: Duration,
    /// What users saw so far.
    pub(crate) tally: Tally,
    /// What API and sidecars tell.
    pub(crate) sighting: Sighting,
}

impl Picture {
    /// The picture at `now`; rates are those since `before`. `certificates` and `history` are as the picture has them.
    pub(crate) fn new(
        progress: &Progress,
        before: &Moment,
        now: &Moment,
        certificates: Vec<(String, Duration)>,
        history: Vec<u64>,
    ) -> Self {
        let between = now.tally.since(&before.tally);
        let seconds = now.elapsed.saturating_sub(before.elapsed).as_secs_f64();
        let share = |count: u64| (between.ended > 0).then(|| count as f64 / between.ended as f64);
        let tries = now.sighting.api_requests().saturating_sub(before.sighting.api_requests());
        Self {
            elapsed: now.elapsed,
            phases: lines(progress),
            words: progress.current.and_then(|phase| PHASES.get(phase)).map_or("", |phase| phase.words),
            doing: progress.doing.clone(),
            processes: progress.processes.clone(),
            said: progress.said.back().cloned(),
            rate: if seconds > 0.0 { between.ended as f64 / seconds } else { 0.0 },
            errors: share(between.failed),
            canned: share(between.canned),
            load: share(tries),
            p50: between.latency.quantile(0.5),
            p99: between.latency.quantile(0.99),
            history,
            breaker: now.sighting.breaker(),
            trips: now.sighting.trips(),
            retries: now.sighting.retries(),
            certificates,
        }
    }

    /// Whether the errors are within the objective, in words.
    pub(crate) fn objective(&self) -> &'static str {
        match self.errors {
            None => "no requests right now",
            Some(errors) if errors < SLO => "within the objective",
            Some(_) => "over the objective",
        }
    }
}

impl Breaker {
    /// Its state in words.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Absent => "none",
            Self::Closed => "closed",
            Self::HalfOpen => "half-open",
            Self::Open => "open",
        }
    }
}

fn lines(progress: &Progress) -> Vec<Line> {
    let judged = PHASES.iter().zip(&progress.judged).enumerate();
    judged
        .map(|(index, (phase, checks))| {
            let state = match checks {
                Some(checks) if checks.iter().all(|check| check.holds) => State::Held,
                Some(_) => State::Failed,
                None if progress.current == Some(index) => State::Playing,
                None => State::Waiting,
            };
            // The first two checks of every phase are the users' errors and the load on the API.
            let measured = checks.iter().flatten().take(2).map(|check| check.measured.clone()).collect();
            Line { title: phase.title, state, measured }
        })
        .collect()
}

#[cfg(test)]
mod tests;
