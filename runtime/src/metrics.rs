//! The metrics of the process in one registry, written in the Prometheus text format.

mod process;

use prometheus::{IntGauge, Opts, TextEncoder, core::Collector};

/// Every metric of the process; clones share them. `weft_build_info` and the process metrics (`process_*`, as the
/// Prometheus client libraries name them) are there from the start.
#[derive(Clone, Debug)]
pub struct Registry(prometheus::Registry);

impl Registry {
    /// The registry of `program`, which the label of that name in `weft_build_info` tells.
    pub fn new(program: &str) -> Self {
        let opts = Opts::new("weft_build_info", "Always 1; the labels say which program this is.")
            .const_label("program", program)
            .const_label("version", env!("CARGO_PKG_VERSION"));
        let build = IntGauge::with_opts(opts).expect("the name and the labels above are valid");
        build.set(1);
        let registry = prometheus::Registry::new();
        for collector in [Box::new(build) as Box<dyn Collector>, Box::new(process::Process::new())] {
            registry.register(collector).expect("a new registry holds no metric of these names");
        }
        Self(registry)
    }

    /// Adds a collector; it is asked at every [`Registry::encode`].
    ///
    /// # Errors
    /// When one of its metrics is there already.
    pub fn register(&self, collector: Box<dyn Collector>) -> prometheus::Result<()> {
        self.0.register(collector)
    }

    /// Every metric now, in the Prometheus text exposition format 0.0.4. A family that cannot be written is left out
    /// and logged, so that one faulty collector does not hide the others.
    pub fn encode(&self) -> String {
        let encoder = TextEncoder::new();
        let mut text = String::new();
        for family in self.0.gather() {
            let whole = text.len();
            if let Err(error) = encoder.encode_utf8(&[family], &mut text) {
                tracing::error!(%error, "a metric cannot be written: left out");
                text.truncate(whole);
            }
        }
        text
    }
}

#[cfg(test)]
mod tests;
