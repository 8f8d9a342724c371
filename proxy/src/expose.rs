//! Backends and breakers as Prometheus sees them: read off the present snapshot when somebody scrapes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::SystemTime,
};

use prometheus::{
    core::{Collector, Desc},
    proto::{Counter, Gauge, Metric, MetricFamily, MetricType},
};
use weft_identity::tls::Credentials;

use crate::{
    accrual::{Accrual, TRIP_REASONS, scope_label},
    breaker::State,
    guard::Guard,
    overload::{Overload, Pressure},
    snapshot::{Snapshot, Snapshots},
    telemetry::requests::label,
};

/// The collector.
pub struct Exposed {
    /// Backends and breakers.
    pub snapshots: Arc<Snapshots>,
    /// Certificates.
    pub credentials: Arc<Credentials>,
    /// Memory, and what was refused for want of it.
    pub overload: Arc<Overload>,
    /// Lines of the access log that were lost.
    pub dropped: Arc<AtomicU64>,
}

/// One family that is being filled.
struct Family {
    name: &'static str,
    help: &'static str,
    kind: MetricType,
    metrics: Vec<Metric>,
}

impl Family {
    fn counter(name: &'static str, help: &'static str) -> Self {
        Self { name, help, kind: MetricType::COUNTER, metrics: Vec::new() }
    }

    fn gauge(name: &'static str, help: &'static str) -> Self {
        Self { name, help, kind: MetricType::GAUGE, metrics: Vec::new() }
    }

    fn push(&mut self, labels: &[(&str, &str)], value: f64) {
        let mut metric = Metric::from_label(labels.iter().map(|(name, value)| label(name, value)).collect());
        if self.kind == MetricType::COUNTER {
            let mut counter = Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
        } else {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        }
        self.metrics.push(metric);
    }

    fn finish(self) -> Option<MetricFamily> {
        if self.metrics.is_empty() {
            return None;
        }
        let mut family = MetricFamily::default();
        family.set_name(self.name.to_owned());
        family.set_help(self.help.to_owned());
        family.set_field_type(self.kind);
        family.set_metric(self.metrics);
        Some(family)
    }
}

impl Collector for Exposed {
    fn desc(&self) -> Vec<&Desc> {
        // Labels vary with the configuration, so nothing can be declared beforehand.
        Vec::new()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let snapshot = self.snapshots.load();
        let mut families = backends(&snapshot);
        families.extend(breakers(&snapshot));
        families.extend(self.certificates());
        families.extend(overload(&self.overload));
        let mut dropped = Family::counter(
            "weft_access_log_dropped_total",
            "Lines of the access log lost to a slow reader.",
        );
        dropped.push(&[], self.dropped.load(Relaxed) as f64);
        families.push(dropped);
        families.into_iter().filter_map(Family::finish).collect()
    }
}

impl Exposed {
    fn certificates(&self) -> [Family; 2] {
        let mut own = Family::gauge(
            "weft_certificate_not_after_seconds",
            "When the own certificate expires, seconds since 1970.",
        );
        if let Some(identity) = self.credentials.identity() {
            own.push(&[("identity", &identity.id().to_string())], seconds(identity.validity().not_after));
        }
        let mut roots = Family::gauge(
            "weft_trust_bundle_not_after_seconds",
            "When the roots to trust expire, seconds since 1970.",
        );
        for (index, root) in self.credentials.bundle().validities().iter().enumerate() {
            roots.push(&[("root", &index.to_string())], seconds(root.not_after));
        }
        [own, roots]
    }
}

fn seconds(time: SystemTime) -> f64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

fn overload(overload: &Overload) -> [Family; 4] {
    let mut pressure = Family::gauge(
        "weft_overload_pressure",
        "0 nothing is refused, 1 some of what comes in, 2 everything new.",
    );
    let mut used = Family::gauge("weft_memory_used_bytes", "Memory in use, as its limit counts it.");
    let mut limit = Family::gauge("weft_memory_limit_bytes", "Memory that there may be in use.");
    let mut untaken = Family::counter(
        "weft_connections_without_descriptor_total",
        "Connections that were closed at once because the process had no descriptor for them.",
    );
    pressure.push(
        &[],
        match overload.pressure() {
            Pressure::None => 0.0,
            Pressure::Some => 1.0,
            Pressure::All => 2.0,
        },
    );
    if let Some(measured) = overload.state().measured {
        used.push(&[], measured.used as f64);
        limit.push(&[], measured.limit as f64);
    }
    untaken.push(&[], overload.without_descriptor.load(Relaxed) as f64);
    [pressure, used, limit, untaken]
}

fn backends(snapshot: &Snapshot) -> Vec<Family> {
    let mut in_flight =
        Family::gauge("weft_in_flight", "Requests, connections and waiting requests under way now.");
    let mut limit = Family::gauge("weft_limit", "How many of them there may be at once.");
    let mut overflows = Family::counter("weft_overflows_total", "Requests refused because of a limit.");
    let mut fallbacks = Family::counter("weft_fallbacks_total", "Canned answers given instead of an error.");
    let mut retries = Family::counter("weft_retries_total", "Retries, sent or refused by the budget.");
    for Guard { name, limits, counts, .. } in snapshot.guards().into_values().map(AsRef::as_ref) {
        for (what, gauge) in [
            ("requests", &limits.requests),
            ("connections", &limits.connections),
            ("pending", &limits.pending),
        ] {
            in_flight.push(&[("destination", name), ("of", what)], f64::from(gauge.in_flight()));
            limit.push(&[("destination", name), ("of", what)], f64::from(gauge.limit()));
        }
        overflows.push(&[("destination", name)], counts.overflows.load(Relaxed) as f64);
        for (cause, count) in [("open", &counts.fallbacks_open), ("failure", &counts.fallbacks_failure)] {
            fallbacks.push(&[("destination", name), ("cause", cause)], count.load(Relaxed) as f64);
        }
    }
    for (name, table) in snapshot.tables() {
        let counts = table.budgets.iter().map(|budget| budget.counts());
        let [sent, over_budget] = counts
            .fold([0, 0], |[granted, refused], counts| [granted + counts.granted, refused + counts.refused]);
        for (result, count) in [("sent", sent), ("over_budget", over_budget)] {
            retries.push(&[("destination", name), ("result", result)], count as f64);
        }
    }
    vec![in_flight, limit, overflows, fallbacks, retries]
}

fn breakers(snapshot: &Snapshot) -> Vec<Family> {
    let mut state = Family::gauge("weft_breaker_state", "0 closed, 1 half-open, 2 open.");
    let mut trips = Family::counter("weft_breaker_trips_total", "How often a breaker opened, by reason.");
    let mut probes = Family::counter("weft_breaker_probes_total", "How probing ended.");
    let mut rejected = Family::counter("weft_breaker_rejected_total", "Calls that an open breaker refused.");
    let mut suppressed =
        Family::counter("weft_breaker_suppressed_total", "Ejections refused because too many were out.");
    let mut outcomes = Family::counter("weft_breaker_outcomes_total", "Outcomes that a breaker took in.");
    let targets = snapshot.guards().into_values().filter_map(|guard| guard.target.as_ref());
    let endpoints = snapshot.clusters.values().flat_map(|cluster| cluster.endpoints.iter());
    for accrual in targets.chain(endpoints.map(|endpoint| &endpoint.accrual)) {
        let Accrual { scope, destination, endpoint, breaker, counts, .. } = accrual.as_ref();
        let endpoint = endpoint.map(|endpoint| endpoint.to_string()).unwrap_or_default();
        let labels = [
            ("scope", scope_label(*scope)),
            ("destination", destination.as_ref()),
            ("endpoint", endpoint.as_str()),
        ];
        let with = |name, value| [labels.as_slice(), &[(name, value)]].concat();
        let level = match breaker.state() {
            State::Closed => 0.0,
            State::HalfOpen => 1.0,
            State::Open => 2.0,
        };
        state.push(&labels, level);
        for (reason, count) in TRIP_REASONS.iter().zip(&counts.trips) {
            trips.push(&with("reason", reason), count.load(Relaxed) as f64);
        }
        for (result, count) in [("success", &counts.probes_succeeded), ("failure", &counts.probes_failed)] {
            probes.push(&with("result", result), count.load(Relaxed) as f64);
        }
        let tally = breaker.view().tally;
        rejected.push(&labels, tally.rejected as f64);
        suppressed.push(&labels, counts.suppressed.load(Relaxed) as f64);
        for (outcome, count) in
            [("ok", tally.ok), ("err", tally.err), ("ignored", tally.ignored), ("stale", tally.stale)]
        {
            outcomes.push(&with("outcome", outcome), count as f64);
        }
    }
    vec![state, trips, probes, rejected, suppressed, outcomes]
}
