//! Opaque connections and their bytes, counted.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use dashmap::DashMap;
use prometheus::{
    core::{Collector, Desc},
    proto::{Counter, Metric, MetricFamily, MetricType},
};

use super::{Direction, requests::label};
use crate::fault::Fault;

/// Series; what comes after them is counted in one with the destination `other`.
const SERIES: usize = 2_000;
const OTHER: &str = "other";

/// Direction, service port, and whether the hop is mTLS.
type Key = (Direction, Arc<str>, bool);

/// All connections, by what is known of them when they are counted.
#[derive(Debug, Default)]
pub struct Connections {
    series: DashMap<Key, Arc<Series>>,
    /// Passed on past the mesh, by [`PASSTHROUGH_REASONS`].
    passthrough: [AtomicU64; PASSTHROUGH_REASONS.len()],
}

/// Why a connection goes to its original destination as it is, in the order of [`Passthrough`].
const PASSTHROUGH_REASONS: [&str; 3] = ["unknown", "unanswered", "too_many"];

/// Why a connection goes to its original destination as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passthrough {
    /// The control plane knows nothing of it.
    Unknown,
    /// The control plane has not answered in time.
    Unanswered,
    /// As many destinations as there may be are in use.
    TooMany,
}

/// The connections of one key.
#[derive(Debug, Default)]
pub struct Series {
    /// Those that came about.
    pub opened: AtomicU64,
    /// Bytes from the ones who connected.
    pub forth: AtomicU64,
    /// Bytes back to them.
    pub back: AtomicU64,
    /// Those that ended: without a fault, and then by the order of [`Fault::ALL`]. What did not come about is among them.
    closed: [AtomicU64; 1 + Fault::ALL.len()],
}

impl Series {
    /// Counts the end of one.
    pub fn close(&self, fault: Option<Fault>) {
        let place = fault.map_or(0, |fault| 1 + fault.place());
        self.closed[place].fetch_add(1, Relaxed);
    }
}

impl Connections {
    /// The series of these label values.
    pub fn series(&self, direction: Direction, destination: &str, tls: bool) -> Arc<Series> {
        let key = (direction, Arc::from(destination), tls);
        if let Some(series) = self.series.get(&key) {
            return Arc::clone(&series);
        }
        let key = if self.series.len() < SERIES { key } else { (direction, OTHER.into(), tls) };
        Arc::clone(&self.series.entry(key).or_default())
    }

    /// Counts one that goes past the mesh.
    pub fn pass(&self, reason: Passthrough) {
        self.passthrough[reason as usize].fetch_add(1, Relaxed);
    }

    /// How many have ended, or did not come about.
    #[cfg(test)]
    pub fn ended(&self) -> u64 {
        let closed = |series: &Series| series.closed.iter().map(|count| count.load(Relaxed)).sum::<u64>();
        self.series.iter().map(|series| closed(&series)).sum()
    }

    /// How many have gone past it for `reason`.
    #[cfg(test)]
    pub fn passed(&self, reason: Passthrough) -> u64 {
        self.passthrough[reason as usize].load(Relaxed)
    }
}

const OPENED: &str = "weft_tcp_connections_opened_total";
const OPENED_HELP: &str = "Opaque connections that came about.";

/// As a registry takes it.
pub struct Exposed {
    connections: Arc<Connections>,
    /// By which a registry tells it from others.
    desc: Desc,
}

impl Exposed {
    /// All of `connections`.
    pub fn new(connections: Arc<Connections>) -> Self {
        let labels = ["direction", "destination", "tls"].map(str::to_owned).to_vec();
        let desc = Desc::new(OPENED.to_owned(), OPENED_HELP.to_owned(), labels, HashMap::new())
            .expect("names and labels in this crate are valid");
        Self { connections, desc }
    }
}

impl Collector for Exposed {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let (mut opened, mut closed, mut bytes) = (Vec::new(), Vec::new(), Vec::new());
        for series in &self.connections.series {
            let (direction, destination, tls) = series.key();
            let tls = if *tls { "true" } else { "false" };
            let labels = [("direction", direction.label()), ("destination", destination), ("tls", tls)];
            let with = |name, value| [labels.as_slice(), &[(name, value)]].concat();
            opened.push(counter(&labels, &series.opened));
            for (way, count) in [("forth", &series.forth), ("back", &series.back)] {
                bytes.push(counter(&with("way", way), count));
            }
            let flags = std::iter::once("").chain(Fault::ALL.into_iter().map(Fault::flag));
            for (fault, count) in flags.zip(&series.closed).filter(|(_, count)| count.load(Relaxed) > 0) {
                closed.push(counter(&with("fault", fault), count));
            }
        }
        let passed = PASSTHROUGH_REASONS.iter().zip(&self.connections.passthrough);
        let passed = passed.map(|(reason, count)| counter(&[("reason", reason)], count)).collect();
        let families = [
            family(OPENED, OPENED_HELP, opened),
            family("weft_tcp_connections_closed_total", "Opaque connections that ended, by fault.", closed),
            family("weft_tcp_bytes_total", "Bytes of opaque connections, by way.", bytes),
            family("weft_passthrough_total", "Connections that went past the mesh, by reason.", passed),
        ];
        families.into_iter().flatten().collect()
    }
}

/// A counter as the exposition format has it.
pub(super) fn counter(labels: &[(&str, &str)], count: &AtomicU64) -> Metric {
    let mut metric = Metric::from_label(labels.iter().map(|(name, value)| label(name, value)).collect());
    let mut counter = Counter::default();
    counter.set_value(count.load(Relaxed) as f64);
    metric.set_counter(counter);
    metric
}

/// A family of counters; none if there is nothing to show.
pub(super) fn family(name: &str, help: &str, metrics: Vec<Metric>) -> Option<MetricFamily> {
    if metrics.is_empty() {
        return None;
    }
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(MetricType::COUNTER);
    family.set_metric(metrics);
    Some(family)
}

#[cfg(test)]
mod tests;
