//! The breakers of one sidecar, from its metrics: pure.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::metrics::{Metrics, Sample};

/// One breaker as a sidecar tells of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Breaker {
    /// Which one it is.
    pub(crate) key: Key,
    /// What it lets pass.
    pub(crate) state: State,
    /// How often it opened, by reason; reasons that never were are absent.
    pub(crate) trips: BTreeMap<String, u64>,
    /// Calls that it refused.
    pub(crate) rejected: u64,
    /// Ejections that were refused because too many endpoints were out.
    pub(crate) suppressed: u64,
    /// How probing ended.
    pub(crate) probes: Probes,
    /// What became of calls.
    pub(crate) outcomes: Outcomes,
    /// How its destination is, all endpoints together.
    pub(crate) traffic: Traffic,
}

/// What tells the breakers of a sidecar apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    /// The sidecar: `<namespace>/<workload>`, or its address where only that is known.
    pub(crate) workload: String,
    /// `<namespace>/<service>:<port>`, or the rule of a route.
    pub(crate) destination: String,
    /// What it guards.
    pub(crate) scope: Scope,
    /// `address:port` of an endpoint; empty for a target.
    pub(crate) endpoint: String,
}

/// What a breaker guards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Scope {
    /// The destination as a whole.
    Target,
    /// One of its endpoints.
    Endpoint,
}

/// What a breaker lets pass. The most urgent is the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) enum State {
    /// Nothing.
    #[serde(rename = "open")]
    Open,
    /// Probes.
    #[serde(rename = "half-open")]
    HalfOpen,
    /// Everything. All begin so.
    #[default]
    #[serde(rename = "closed")]
    Closed,
}

/// How probing ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Probes {
    /// Closed again.
    pub(crate) succeeded: u64,
    /// Open again.
    pub(crate) failed: u64,
}

/// What became of calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Outcomes {
    /// Went well.
    pub(crate) ok: u64,
    /// Failed.
    pub(crate) err: u64,
    /// Said nothing about the destination.
    pub(crate) ignored: u64,
    /// Begun before the latest change of state.
    pub(crate) stale: u64,
}

/// How a destination is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Traffic {
    /// Requests under way.
    pub(crate) in_flight: u64,
    /// How many there may be; none if the sidecar tells of no limit.
    pub(crate) limit: Option<u64>,
    /// Canned answers because a breaker was open.
    pub(crate) fallbacks_open: u64,
    /// Canned answers in place of a failure.
    pub(crate) fallbacks_failure: u64,
}

impl State {
    /// As people call it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::HalfOpen => "half-open",
            Self::Closed => "closed",
        }
    }

    /// Whether less than everything may pass.
    pub(crate) fn restricts(self) -> bool {
        self != Self::Closed
    }

    fn of(level: f64) -> Self {
        if level < 0.5 {
            Self::Closed
        } else if level < 1.5 {
            Self::HalfOpen
        } else {
            Self::Open
        }
    }
}

impl Scope {
    /// As the label of the metrics has it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Target => "target",
            Self::Endpoint => "endpoint",
        }
    }

    fn of(label: &str) -> Option<Self> {
        [Self::Target, Self::Endpoint].into_iter().find(|scope| scope.word() == label)
    }
}

impl Breaker {
    /// The breakers that the sidecar of `workload` tells of, by destination.
    pub(crate) fn read(workload: &str, metrics: &Metrics) -> Vec<Self> {
        let mut breakers: BTreeMap<Key, Self> = BTreeMap::new();
        for sample in metrics.samples().filter(|sample| sample.name == "weft_breaker_state") {
            if let Some(key) = Key::of(workload, sample) {
                breakers.insert(key.clone(), Self::new(key, State::of(sample.value)));
            }
        }
        let mut destinations: BTreeMap<&str, Traffic> = BTreeMap::new();
        for sample in metrics.samples() {
            if let Some(destination) = sample.label("destination") {
                destinations.entry(destination).or_default().take(sample);
            }
            let key = Key::of(workload, sample);
            if let Some(breaker) = key.and_then(|key| breakers.get_mut(&key)) {
                breaker.take(sample);
            }
        }
        let traffic = |key: &Key| destinations.get(key.destination.as_str()).copied().unwrap_or_default();
        breakers.into_iter().map(|(key, breaker)| Self { traffic: traffic(&key), ..breaker }).collect()
    }

    fn new(key: Key, state: State) -> Self {
        Self {
            key,
            state,
            trips: BTreeMap::new(),
            rejected: 0,
            suppressed: 0,
            probes: Probes::default(),
            outcomes: Outcomes::default(),
            traffic: Traffic::default(),
        }
    }

    /// How often it opened.
    pub(crate) fn tripped(&self) -> u64 {
        self.trips.values().fold(0, |sum: u64, count| sum.saturating_add(*count))
    }

    fn take(&mut self, sample: &Sample) {
        let label = |name| sample.label(name).unwrap_or_default();
        let counter = match sample.name.as_str() {
            "weft_breaker_trips_total" if sample.value > 0.0 => {
                self.trips.entry(label("reason").to_owned()).or_default()
            }
            "weft_breaker_rejected_total" => &mut self.rejected,
            "weft_breaker_suppressed_total" => &mut self.suppressed,
            "weft_breaker_probes_total" => match label("result") {
                "success" => &mut self.probes.succeeded,
                "failure" => &mut self.probes.failed,
                _ => return,
            },
            "weft_breaker_outcomes_total" => match label("outcome") {
                "ok" => &mut self.outcomes.ok,
                "err" => &mut self.outcomes.err,
                "ignored" => &mut self.outcomes.ignored,
                "stale" => &mut self.outcomes.stale,
                _ => return,
            },
            _ => return,
        };
        *counter = count(sample);
    }
}

impl Traffic {
    fn take(&mut self, sample: &Sample) {
        match (sample.name.as_str(), sample.label("of"), sample.label("cause")) {
            ("weft_in_flight", Some("requests"), _) => self.in_flight = count(sample),
            ("weft_limit", Some("requests"), _) => self.limit = Some(count(sample)),
            ("weft_fallbacks_total", _, Some("open")) => self.fallbacks_open = count(sample),
            ("weft_fallbacks_total", _, Some("failure")) => self.fallbacks_failure = count(sample),
            _ => {}
        }
    }
}

impl Key {
    /// The breaker that a sample is about, if it is about one.
    fn of(workload: &str, sample: &Sample) -> Option<Self> {
        let scope = Scope::of(sample.label("scope")?)?;
        let (destination, endpoint) = (sample.label("destination")?, sample.label("endpoint")?);
        Some(Self {
            workload: workload.to_owned(),
            destination: destination.to_owned(),
            scope,
            endpoint: endpoint.to_owned(),
        })
    }
}

/// What a sample counts. A cast from a float saturates, and makes 0 of what is negative or no number.
fn count(sample: &Sample) -> u64 {
    sample.value as u64
}

#[cfg(test)]
pub(super) mod tests;
