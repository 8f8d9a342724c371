//! What changed between two looks: pure.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    breaker::{Breaker, Key, Scope, State},
    look::Look,
    table,
};

/// A breaker that changed. What it did between two looks and undid shows in its trips alone.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Transition {
    workload: String,
    scope: Scope,
    destination: String,
    /// Null for a target.
    endpoint: Option<String>,
    /// State at the look before.
    from: State,
    /// State now.
    to: State,
    /// How often it opened since, by reason.
    trips: BTreeMap<String, u64>,
}

/// What was last known of every breaker.
#[derive(Debug, Default)]
pub(crate) struct Known(BTreeMap<Key, Past>);

#[derive(Clone, Debug, Default)]
struct Past {
    state: State,
    trips: BTreeMap<String, u64>,
}

impl Known {
    /// What is known after a first look.
    pub(crate) fn from(look: &Look) -> Self {
        let mut known = Self::default();
        known.update(look);
        known
    }

    /// Takes in a look, and tells what changed. A breaker that was not there before began closed, as all do; those of a
    /// sidecar that does not answer are remembered until it does.
    pub(crate) fn update(&mut self, look: &Look) -> Vec<Transition> {
        let silent = |key: &Key| look.unanswered.iter().any(|missed| missed.sidecar.workload == key.workload);
        let mut before = std::mem::take(&mut self.0);
        let mut transitions = Vec::new();
        for breaker in &look.breakers {
            let past = before.remove(&breaker.key).unwrap_or_default();
            transitions.extend(Transition::between(&past, breaker));
            let now = Past { state: breaker.state, trips: breaker.trips.clone() };
            self.0.insert(breaker.key.clone(), now);
        }
        self.0.extend(before.into_iter().filter(|(key, _)| silent(key)));
        transitions
    }
}

impl Transition {
    fn between(past: &Past, now: &Breaker) -> Option<Self> {
        let risen = |(reason, count): (&String, &u64)| {
            // A sidecar that was started anew counts from 0.
            let more = count.saturating_sub(past.trips.get(reason).copied().unwrap_or(0));
            (more > 0).then(|| (reason.clone(), more))
        };
        let trips: BTreeMap<String, u64> = now.trips.iter().filter_map(risen).collect();
        if past.state == now.state && trips.is_empty() {
            return None;
        }
        let Key { workload, destination, scope, endpoint } = now.key.clone();
        let endpoint = Some(endpoint).filter(|endpoint| !endpoint.is_empty());
        Some(Self { workload, scope, destination, endpoint, from: past.state, to: now.state, trips })
    }

    /// In one line for people.
    pub(crate) fn words(&self) -> String {
        let endpoint = self.endpoint.as_ref().map(|endpoint| format!(" {endpoint}")).unwrap_or_default();
        let why = match table::reasons(self.trips.iter()) {
            none if none.is_empty() => none,
            reasons => format!(" (trips: {reasons})"),
        };
        let Self { workload, scope, destination, from, to, .. } = self;
        let (scope, from, to) = (scope.word(), from.word(), to.word());
        table::printable(&format!("{workload}  {scope} {destination}{endpoint}  {from} -> {to}{why}"))
    }
}

#[cfg(test)]
mod tests;
