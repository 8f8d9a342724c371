//! Traces: which requests have a span here, what the next hop is told of that, and what is kept of them until they are
//! exported. A request without a span costs a look at its headers, and no memory.

// One request as a trace tells it.
mod span;
// What is said of a trace from hop to hop, and what becomes of it here,
mod context;
// in the words of the W3C, and in those of Zipkin.
mod w3c;
mod b3;
// Which traces are told at all.
mod sampler;

use http::request::Parts;
use prometheus::{IntCounter, IntCounterVec, Opts};
use rand::Rng;
use tokio::sync::mpsc;

pub use context::Context;
pub use sampler::Sampler;
pub use span::{Begun, FailedTry, Kind, Span, cut};

/// Spans that wait for the exporter, some seconds of a busy sidecar. Beyond them spans are dropped: whatever becomes of
/// the collector, requests and memory do not learn of it.
pub const WAITING_MAX: usize = 2048;

/// Where requests ask whether they have a span, and leave it.
pub struct Tracer {
    sampler: Sampler,
    spans: mpsc::Sender<Box<Span>>,
    dropped: IntCounter,
}

/// What became of spans.
#[derive(Clone, Debug)]
pub struct Counts {
    /// All of it, for a registry.
    pub family: IntCounterVec,
    /// The collector has taken them.
    pub exported: IntCounter,
    /// There was no room for them.
    pub dropped: IntCounter,
    /// The collector did not want them.
    pub refused: IntCounter,
    /// The collector could not be reached for too long.
    pub failed: IntCounter,
}

impl Counts {
    /// None so far.
    pub fn new() -> prometheus::Result<Self> {
        let opts = Opts::new("weft_spans_total", "Spans of traces, by what became of them.");
        let family = IntCounterVec::new(opts, &["result"])?;
        let [exported, dropped, refused, failed] =
            ["exported", "dropped", "refused", "failed"].map(|result| family.with_label_values(&[result]));
        Ok(Self { family, exported, dropped, refused, failed })
    }
}

impl Tracer {
    /// A tracer, and what it hands over.
    pub fn new(sampler: Sampler, counts: &Counts) -> (Self, mpsc::Receiver<Box<Span>>) {
        let (spans, waiting) = mpsc::channel(WAITING_MAX);
        (Self { sampler, spans, dropped: counts.dropped.clone() }, waiting)
    }

    /// The span of `request`, if it has one. Where it comes without any word on that, one begins here if it `may_begin`
    /// and the sampler takes it.
    pub fn begin(&self, request: &Parts, may_begin: bool, random: &mut impl Rng) -> Option<Box<Begun>> {
        let context = Context::of(&request.headers, self.sampler, may_begin, random)?;
        Some(Box::new(Begun::new(context, request)))
    }

    /// Hands a span over that has ended.
    pub fn finish(&self, span: Box<Span>) {
        // Closed once the process ends, and then there is nobody any more who would read it.
        if self.spans.try_send(span).is_err() {
            self.dropped.inc();
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
