//! One look as JSON, for programs: fields are only ever added.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    breaker::{Breaker, Outcomes, Probes, Scope, State, Traffic},
    look::{Look, Unanswered},
};

/// Everything that was seen.
#[derive(Serialize)]
pub(crate) struct Document<'a> {
    breakers: Vec<Row<'a>>,
    unanswered: Vec<Missed<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row<'a> {
    workload: &'a str,
    scope: Scope,
    destination: &'a str,
    /// Null for a target.
    endpoint: Option<&'a str>,
    state: State,
    trips: Trips<'a>,
    rejected: u64,
    suppressed: u64,
    probes: Probes,
    outcomes: Outcomes,
    /// Of the destination, all endpoints together; so are the two after it.
    in_flight: u64,
    limit: Option<u64>,
    fallbacks: Fallbacks,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Trips<'a> {
    total: u64,
    by_reason: &'a BTreeMap<String, u64>,
}

#[derive(Serialize)]
struct Fallbacks {
    open: u64,
    failure: u64,
}

#[derive(Serialize)]
struct Missed<'a> {
    workload: &'a str,
    admin: String,
    reason: String,
}

impl<'a> Document<'a> {
    /// What `look` saw, in its order.
    pub(crate) fn of(look: &'a Look) -> Self {
        Self {
            breakers: look.breakers.iter().map(Row::of).collect(),
            unanswered: look.unanswered.iter().map(Missed::of).collect(),
        }
    }
}

impl<'a> Row<'a> {
    fn of(breaker: &'a Breaker) -> Self {
        let Breaker { key, state, trips, rejected, suppressed, probes, outcomes, traffic } = breaker;
        let Traffic { in_flight, limit, fallbacks_open, fallbacks_failure } = *traffic;
        Self {
            workload: &key.workload,
            scope: key.scope,
            destination: &key.destination,
            endpoint: Some(key.endpoint.as_str()).filter(|endpoint| !endpoint.is_empty()),
            state: *state,
            trips: Trips { total: breaker.tripped(), by_reason: trips },
            rejected: *rejected,
            suppressed: *suppressed,
            probes: *probes,
            outcomes: *outcomes,
            in_flight,
            limit,
            fallbacks: Fallbacks { open: fallbacks_open, failure: fallbacks_failure },
        }
    }
}

impl<'a> Missed<'a> {
    fn of(missed: &'a Unanswered) -> Self {
        let Unanswered { sidecar, reason } = missed;
        Self { workload: &sidecar.workload, admin: sidecar.admin.to_string(), reason: reason.to_string() }
    }
}

#[cfg(test)]
mod tests;
