//! What the control plane counts.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts};
use weft_runtime::Registry;

/// The control plane's metrics; clones share them.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// Streams that are open now.
    pub connected: IntGauge,
    /// Responses sent, by kind.
    pub pushes: IntCounterVec,
    /// Refusals by proxies, by kind.
    pub nacks: IntCounterVec,
    /// Streams that were not let in or were ended, by reason.
    pub ended: IntCounterVec,
    /// Certificate requests, by result.
    pub certificates: IntCounterVec,
    /// The generation that is published.
    pub generation: IntGauge,
    /// Services and workloads that were encoded anew.
    pub encoded: IntCounter,
    /// Problems in what people wrote.
    pub problems: IntGauge,
    /// Whole lists that were read from the API server, by kind: one of each at the start.
    pub lists: IntCounterVec,
    /// Attempts to write the status of a policy or a route, by result.
    pub status_writes: IntCounterVec,
    /// Whether this replica writes status.
    pub leads: IntGauge,
    /// End of the control plane's own certificate, in seconds since 1970.
    pub own_not_after: IntGauge,
}

impl Metrics {
    /// Registers all of them.
    ///
    /// # Errors
    /// When one of these names is taken.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let gauge = |name: &str, help: &str| -> prometheus::Result<IntGauge> {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok(gauge)
        };
        let counters = |name: &str, help: &str, label: &str| -> prometheus::Result<IntCounterVec> {
            let counters = IntCounterVec::new(Opts::new(name, help), &[label])?;
            registry.register(Box::new(counters.clone()))?;
            Ok(counters)
        };
        let encoded =
            IntCounter::new("weft_compiled_total", "Services and workloads that were encoded anew.")?;
        registry.register(Box::new(encoded.clone()))?;
        Ok(Self {
            connected: gauge("weft_xds_connected_proxies", "Streams that are open.")?,
            pushes: counters("weft_xds_pushes_total", "Responses sent to proxies.", "kind")?,
            nacks: counters("weft_xds_nacks_total", "Responses that proxies refused.", "kind")?,
            ended: counters("weft_xds_streams_ended_total", "Streams that were refused or ended.", "reason")?,
            certificates: counters(
                "weft_certificates_total",
                "Certificate requests of workloads.",
                "result",
            )?,
            generation: gauge("weft_xds_generation", "Generation that is published, in ms since 1970.")?,
            encoded,
            problems: gauge("weft_config_problems", "Problems in what people wrote; see /problems.")?,
            lists: counters("weft_watch_lists_total", "Whole lists read from the API server.", "kind")?,
            status_writes: counters("weft_status_writes_total", "Attempts to write status.", "result")?,
            leads: gauge("weft_leader", "Whether this replica writes status.")?,
            own_not_after: gauge(
                "weft_certificate_not_after_seconds",
                "End of the control plane's own certificate, in seconds since 1970.",
            )?,
        })
    }
}
