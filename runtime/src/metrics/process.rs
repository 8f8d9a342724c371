//! What Linux says about this process, read from /proc (proc_pid_stat(5), proc_pid_status(5)) at every scrape.

use std::{collections::HashMap, fs};

use prometheus::{
    core::{Collector, Desc},
    proto::{Counter, Gauge, Metric, MetricFamily, MetricType},
};

/// /proc counts time in `USER_HZ`, which is 100 on every architecture that we build for.
const TICKS_PER_SECOND: f64 = 100.0;

/// A metric: name, help, type and where its value is.
type Row = (&'static str, &'static str, MetricType, fn(&Sample) -> Option<f64>);

/// Names and meanings as every Prometheus client library has them.
const ROWS: [Row; 6] = [
    (
        "process_cpu_seconds_total",
        "Processor time that the process has used, in seconds.",
        MetricType::COUNTER,
        |sample| sample.cpu_seconds,
    ),
    ("process_open_fds", "Open file descriptors.", MetricType::GAUGE, |sample| sample.open_fds),
    ("process_resident_memory_bytes", "Resident memory, in bytes.", MetricType::GAUGE, |sample| {
        sample.resident_bytes
    }),
    ("process_virtual_memory_bytes", "Virtual memory, in bytes.", MetricType::GAUGE, |sample| {
        sample.virtual_bytes
    }),
    ("process_threads", "Threads of the process.", MetricType::GAUGE, |sample| sample.threads),
    (
        "process_start_time_seconds",
        "When the process started, in seconds since the Unix epoch.",
        MetricType::GAUGE,
        |sample| sample.start_seconds,
    ),
];

/// Collects the rows above; one that cannot be read is absent.
#[derive(Debug)]
pub(super) struct Process(Vec<Desc>);

/// One reading. `None` is what could not be read.
#[derive(Debug, Default, PartialEq)]
struct Sample {
    cpu_seconds: Option<f64>,
    open_fds: Option<f64>,
    resident_bytes: Option<f64>,
    virtual_bytes: Option<f64>,
    threads: Option<f64>,
    start_seconds: Option<f64>,
}

impl Process {
    pub(super) fn new() -> Self {
        let desc = |(name, help, ..): Row| {
            Desc::new(name.to_owned(), help.to_owned(), Vec::new(), HashMap::new())
                .expect("the names above are valid")
        };
        Self(ROWS.into_iter().map(desc).collect())
    }
}

impl Collector for Process {
    fn desc(&self) -> Vec<&Desc> {
        self.0.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let sample = Sample::take();
        let family = |(name, help, kind, value): Row| Some(family(name, help, kind, value(&sample)?));
        ROWS.into_iter().filter_map(family).collect()
    }
}

impl Sample {
    fn take() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        // One of the descriptors is the open directory itself.
        let open_fds = fs::read_dir("/proc/self/fd").ok().map(|fds| fds.count().saturating_sub(1) as f64);
        Self {
            open_fds,
            ..Self::parse(&read("/proc/self/stat"), &read("/proc/self/status"), &read("/proc/stat"))
        }
    }

    /// From the texts of /proc/self/stat, /proc/self/status and /proc/stat.
    fn parse(stat: &str, status: &str, system: &str) -> Self {
        // The second field is the program's name in brackets, and may hold anything, brackets included.
        let after_name: Vec<&str> = stat
            .rsplit_once(')')
            .map(|(_, rest)| rest.split_ascii_whitespace().collect())
            .unwrap_or_default();
        // Numbered from 1 as in the manual; the third field is the first one here.
        let ticks = |field: usize| after_name.get(field - 3)?.parse::<f64>().ok();
        let bytes = |name| Some(number_after(status, name)? * 1024.0);
        let seconds_of = |ticks: f64| ticks / TICKS_PER_SECOND;
        Self {
            cpu_seconds: ticks(14).zip(ticks(15)).map(|(user, kernel)| seconds_of(user + kernel)),
            open_fds: None,
            resident_bytes: bytes("VmRSS:"),
            virtual_bytes: bytes("VmSize:"),
            threads: number_after(status, "Threads:"),
            start_seconds: number_after(system, "btime")
                .zip(ticks(22))
                .map(|(boot, since_boot)| boot + seconds_of(since_boot)),
        }
    }
}

/// The number in the line of `text` that `name` begins.
fn number_after(text: &str, name: &str) -> Option<f64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_ascii_whitespace().next()?.parse().ok()
}

fn family(name: &str, help: &str, kind: MetricType, value: f64) -> MetricFamily {
    let mut metric = Metric::default();
    if kind == MetricType::COUNTER {
        let mut counter = Counter::default();
        counter.set_value(value);
        metric.set_counter(counter);
    } else {
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        metric.set_gauge(gauge);
    }
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(vec![metric]);
    family
}

#[cfg(test)]
mod tests;
