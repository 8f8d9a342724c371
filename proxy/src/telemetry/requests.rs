//! Request counts and latencies. A worker writes only its own cells, so that nothing is shared, locked or hashed
//! on the request path; the cells are added up when somebody scrapes.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use dashmap::DashMap;
use http::StatusCode;
use prometheus::{
    core::{Collector, Desc},
    proto::{Bucket, Histogram, LabelPair, Metric, MetricFamily, MetricType},
};

use crate::fault::Fault;

/// Upper bounds in microseconds: a mesh adds tens of microseconds, so the first bucket is 0.1 ms.
const BOUNDS_US: [u64; 16] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000,
];
/// Distinct (status, TLS, fault) of one series; what comes after them is counted under status 0.
const OUTCOMES: usize = 16;
/// Series of one family; what comes after them is counted in one named `other`.
const SERIES: usize = 2_000;
const OTHER: &str = "other";

/// How a request ended, as metrics see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Status that the caller got.
    pub status: StatusCode,
    /// Whether the hop was mTLS.
    pub tls: bool,
    /// Why the proxy answered itself, if it did.
    pub fault: Option<Fault>,
}

impl Outcome {
    /// Packed for an atomic cell; never 0, which marks a free one.
    fn key(self) -> u32 {
        let fault = self.fault.map_or(0, |fault| 1 + fault.place() as u32);
        u32::from(self.status.as_u16()) | u32::from(self.tls) << 10 | fault << 11
    }

    fn labels(key: u32) -> [(&'static str, String); 3] {
        let fault = (key >> 11).checked_sub(1).and_then(|index| Fault::ALL.get(index as usize));
        [
            ("status", (key & 0x3ff).to_string()),
            ("tls", (key >> 10 & 1 == 1).to_string()),
            ("fault", fault.map_or("", |fault| fault.flag()).to_owned()),
        ]
    }
}

#[derive(Default)]
struct Cell {
    key: AtomicU32,
    buckets: [AtomicU64; BOUNDS_US.len()],
    count: AtomicU64,
    sum_us: AtomicU64,
}

type Shard = [Cell; OUTCOMES];

/// The requests of one pair of label values.
pub struct Series {
    shards: Box<[Shard]>,
}

impl Series {
    fn new(workers: usize) -> Self {
        Self { shards: (0..workers).map(|_| Shard::default()).collect() }
    }

    /// Counts one request. `worker` must be the calling thread's own index.
    pub fn record(&self, worker: usize, outcome: Outcome, took: Duration) {
        let Some(shard) = self.shards.get(worker) else { return };
        let cell = Self::claim(shard, outcome.key());
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        if let Some(bucket) = BOUNDS_US.iter().position(|bound| us <= *bound) {
            cell.buckets[bucket].fetch_add(1, Relaxed);
        }
        cell.sum_us.fetch_add(us, Relaxed);
        cell.count.fetch_add(1, Relaxed);
    }

    /// The cell of `key`: only this worker claims cells of the shard, so load and store need no exchange.
    fn claim(shard: &Shard, key: u32) -> &Cell {
        let (last, named) = shard.split_last().expect("a shard has cells");
        for cell in named {
            match cell.key.load(Relaxed) {
                0 => {
                    cell.key.store(key, Relaxed);
                    return cell;
                }
                taken if taken == key => return cell,
                _ => {}
            }
        }
        last
    }
}

/// A histogram family with two labels of its own beside status, tls and fault.
pub struct Family {
    name: &'static str,
    help: &'static str,
    /// By which a registry tells this family from others.
    desc: Desc,
    labels: [&'static str; 2],
    workers: usize,
    series: DashMap<[Arc<str>; 2], Arc<Series>>,
}

impl Family {
    pub(super) fn new(
        name: &'static str,
        help: &'static str,
        labels: [&'static str; 2],
        workers: usize,
    ) -> Self {
        let variable = labels.into_iter().chain(["status", "tls", "fault"]).map(str::to_owned).collect();
        let desc = Desc::new(name.to_owned(), help.to_owned(), variable, HashMap::new())
            .expect("names and labels in this crate are valid");
        Self { name, help, desc, labels, workers, series: DashMap::new() }
    }

    /// The series of these label values: resolved when a snapshot or a connection is made, never per request.
    pub fn series(&self, values: [&str; 2]) -> Arc<Series> {
        let known: [Arc<str>; 2] = values.map(Arc::from);
        if let Some(series) = self.series.get(&known) {
            return Arc::clone(&series);
        }
        let key = if self.series.len() < SERIES { known } else { [OTHER, OTHER].map(Arc::from) };
        Arc::clone(&self.series.entry(key).or_insert_with(|| Arc::new(Series::new(self.workers))))
    }

    fn metrics(&self) -> Vec<Metric> {
        let mut metrics = Vec::new();
        for series in &self.series {
            let mut sums: Vec<(u32, [u64; BOUNDS_US.len()], u64, u64)> = Vec::new();
            for cell in series.shards.iter().flatten() {
                let count = cell.count.load(Relaxed);
                if count == 0 {
                    continue;
                }
                let key = cell.key.load(Relaxed);
                let at = sums.iter().position(|sum| sum.0 == key).unwrap_or_else(|| {
                    sums.push((key, [0; BOUNDS_US.len()], 0, 0));
                    sums.len() - 1
                });
                let (_, buckets, total, sum_us) = &mut sums[at];
                for (bucket, cell) in buckets.iter_mut().zip(&cell.buckets) {
                    *bucket += cell.load(Relaxed);
                }
                *total += count;
                *sum_us += cell.sum_us.load(Relaxed);
            }
            for (key, buckets, count, sum_us) in sums {
                metrics.push(self.metric(series.key(), key, buckets, count, sum_us));
            }
        }
        metrics
    }

    fn metric(
        &self,
        values: &[Arc<str>; 2],
        key: u32,
        buckets: [u64; BOUNDS_US.len()],
        count: u64,
        sum_us: u64,
    ) -> Metric {
        let mut histogram = Histogram::default();
        let mut below = 0;
        let cumulative = BOUNDS_US.iter().zip(buckets).map(|(bound, bucket)| {
            below += bucket;
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(*bound as f64 / 1e6);
            bucket.set_cumulative_count(below);
            bucket
        });
        histogram.set_bucket(cumulative.collect());
        // A worker may be between its additions: the count must not be below the last bucket.
        histogram.set_sample_count(count.max(below));
        histogram.set_sample_sum(sum_us as f64 / 1e6);
        let own = self.labels.iter().zip(values).map(|(name, value)| label(name, value));
        let outcome = Outcome::labels(key);
        let mut metric =
            Metric::from_label(own.chain(outcome.iter().map(|(name, value)| label(name, value))).collect());
        metric.set_histogram(histogram);
        metric
    }
}

/// A label as the exposition format has it.
pub fn label(name: &str, value: &str) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(value.to_owned());
    pair
}

/// A family as a registry takes it.
pub struct Exposed(pub Arc<Family>);

impl Collector for Exposed {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.0.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let metrics = self.0.metrics();
        if metrics.is_empty() {
            return Vec::new();
        }
        let mut family = MetricFamily::default();
        family.set_name(self.0.name.to_owned());
        family.set_help(self.0.help.to_owned());
        family.set_field_type(MetricType::HISTOGRAM);
        family.set_metric(metrics);
        vec![family]
    }
}

#[cfg(test)]
mod tests;
