//! What the agent counts.

use prometheus::{IntCounter, IntCounterVec, Opts};
use weft_runtime::Registry;

use crate::question::Answer;

/// The agent's metrics; clones share them.
#[derive(Clone, Debug)]
pub struct Metrics {
    answers: IntCounterVec,
    placements: IntCounter,
    repairs: IntCounter,
}

impl Metrics {
    /// Registers all of them.
    ///
    /// # Errors
    /// When one of these names is taken.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let answers = IntCounterVec::new(
            Opts::new("weft_cni_answers_total", "Pods that the CNI plugin asked about, by the answer."),
            &["answer"],
        )?;
        let placements = IntCounter::new(
            "weft_cni_placements_total",
            "Times that the plugin was put into the runtime's chain: above 1, somebody takes it out.",
        )?;
        let repairs = IntCounter::new(
            "weft_cni_repairs_total",
            "Pods that were deleted because they had been made before the plugin was in the chain.",
        )?;
        registry.register(Box::new(answers.clone()))?;
        registry.register(Box::new(placements.clone()))?;
        registry.register(Box::new(repairs.clone()))?;
        Ok(Self { answers, placements, repairs })
    }

    /// Counts an answer.
    pub fn count(&self, answer: &Answer) {
        let answer = match answer {
            Answer::Pass => "pass",
            Answer::Redirect(_) => "redirect",
            Answer::Failed(_) => "failed",
        };
        self.answers.with_label_values(&[answer]).inc();
    }

    /// The plugin was put into the chain.
    pub fn placed(&self) {
        self.placements.inc();
    }

    /// A pod was deleted so that it is made anew.
    pub fn repaired(&self) {
        self.repairs.inc();
    }
}
