//! Spans on their way to a collector: in batches, by OTLP over gRPC, beside the workers. A collector that is slow or away
//! costs spans, which are counted, and nothing else.

// One connection to the collector.
mod collector;
// What a span is in OTLP,
mod convert;
// and its messages.
mod otlp;

use std::time::Duration;

use rand::Rng;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout_at},
};
use weft_api::bootstrap::Workload;

use crate::trace::{Counts, Span};
use collector::{Connection, ExportError};
use otlp::{ExportTraceServiceRequest, Resource};

pub use collector::Collector;

/// Spans of one batch.
const BATCH_MAX: usize = 512;
/// A span waits so long for others of its batch.
const LINGER: Duration = Duration::from_secs(1);
/// Bounds of the pause before a batch is sent again: full jitter over a back-off that doubles.
const PAUSE_MIN: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// A batch that has not been taken after this time is given up: newer spans are worth more.
const GIVE_UP: Duration = Duration::from_mins(2);
/// When the process ends, what still waits has so much time.
pub const LAST_WORDS: Duration = Duration::from_secs(1);

/// What sends the spans of a process.
pub struct Exporter {
    collector: Collector,
    resource: Resource,
    spans: mpsc::Receiver<Box<Span>>,
    counts: Counts,
}

impl Exporter {
    /// Sends `spans` of `workload` to `collector`.
    pub fn new(
        collector: Collector,
        workload: &Workload,
        spans: mpsc::Receiver<Box<Span>>,
        counts: Counts,
    ) -> Self {
        Self { collector, resource: convert::resource(workload), spans, counts }
    }

    /// Runs until no more spans can come, and those that waited have been sent.
    pub async fn run(mut self) {
        let mut connection = None;
        while let Some(batch) = self.batch().await {
            self.deliver(&batch, &mut connection).await;
        }
    }

    /// The next spans, as soon as there are enough of them or they have waited long enough. `None` = there are no more.
    async fn batch(&mut self) -> Option<Vec<Box<Span>>> {
        let mut batch = vec![self.spans.recv().await?];
        let due = Instant::now() + LINGER;
        while batch.len() < BATCH_MAX {
            let Ok(Some(span)) = timeout_at(due, self.spans.recv()).await else { break };
            batch.push(span);
        }
        Some(batch)
    }

    /// Sends a batch until it is taken, or in vain.
    async fn deliver(&self, batch: &[Box<Span>], connection: &mut Option<Connection>) {
        let request = convert::request(&self.resource, batch);
        let give_up = Instant::now() + GIVE_UP;
        let spans = batch.len() as u64;
        let mut failures = 0;
        loop {
            let error = match self.send(&request, connection).await {
                Ok(rejected) => {
                    let rejected = rejected.min(spans);
                    self.counts.refused.inc_by(rejected);
                    self.counts.exported.inc_by(spans - rejected);
                    return;
                }
                Err(error) => error,
            };
            // What has failed may be the connection.
            *connection = None;
            let pause = pause(failures, rand::rng().random());
            failures = failures.saturating_add(1);
            if !error.may_pass() {
                tracing::warn!(%error, spans, "the collector of traces refuses spans");
                self.counts.refused.inc_by(spans);
                return;
            }
            if Instant::now() + pause >= give_up {
                tracing::warn!(%error, spans, "spans of traces are given up");
                self.counts.failed.inc_by(spans);
                return;
            }
            if failures == 1 {
                tracing::warn!(%error, "the collector of traces does not take spans; trying again");
            }
            sleep(pause).await;
        }
    }

    /// Sends it once, over the connection that stands or a new one. Returns how many spans were not wanted.
    async fn send(
        &self,
        request: &ExportTraceServiceRequest,
        connection: &mut Option<Connection>,
    ) -> Result<u64, ExportError> {
        let open = match connection.take().filter(Connection::is_open) {
            Some(open) => open,
            None => self.collector.connect().await?,
        };
        connection.insert(open).export(request).await
    }
}

/// A random time up to a bound that doubles with each failure. `unit` is from [0, 1).
fn pause(failures: u32, unit: f64) -> Duration {
    let factor = 1_u32.checked_shl(failures).unwrap_or(u32::MAX);
    let bound = PAUSE_MIN.saturating_mul(factor).min(PAUSE_MAX);
    PAUSE_MIN + bound.saturating_sub(PAUSE_MIN).mul_f64(unit)
}

#[cfg(test)]
mod tests;
