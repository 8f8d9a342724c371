//! What the injector counts.

use prometheus::{Histogram, HistogramOpts, IntCounterVec, IntGauge, Opts};
use weft_runtime::Registry;

/// Bounds of the histogram, in seconds: answers take some tenths of a millisecond, and API servers wait for 5 s.
const BUCKETS: [f64; 8] = [0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 1.0, 5.0];

/// The injector's metrics; clones share them.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// Requests, by what came of them.
    reviews: IntCounterVec,
    /// How long an answer took.
    pub seconds: Histogram,
    /// End of the certificate in use, in seconds since 1970.
    pub not_after: IntGauge,
}

impl Metrics {
    /// Registers all of them.
    ///
    /// # Errors
    /// When one of these names is taken.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let reviews = IntCounterVec::new(
            Opts::new("weft_injector_reviews_total", "Requests to the webhook, by what came of them."),
            &["outcome"],
        )?;
        let seconds = Histogram::with_opts(
            HistogramOpts::new("weft_injector_review_seconds", "How long answers took.")
                .buckets(BUCKETS.to_vec()),
        )?;
        let not_after = IntGauge::new(
            "weft_injector_certificate_not_after_seconds",
            "End of the webhook's certificate, in seconds since 1970.",
        )?;
        registry.register(Box::new(reviews.clone()))?;
        registry.register(Box::new(seconds.clone()))?;
        registry.register(Box::new(not_after.clone()))?;
        Ok(Self { reviews, seconds, not_after })
    }

    /// Counts one request. `outcome` is of a closed set.
    pub fn count(&self, outcome: &'static str) {
        self.reviews.with_label_values(&[outcome]).inc();
    }
}
