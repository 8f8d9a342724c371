//! Faults that policies injected, counted: by policy, so that nobody takes a test for a failure.

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
    proto::MetricFamily,
};

use super::{
    connections::{counter, family},
    refusals::{OTHER, POLICIES_MAX},
};

/// What a policy did to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Held it.
    Delay,
    /// Answered it.
    Abort,
    /// Would have held it, if there were not so many already.
    Skipped,
}

/// What all policies did.
#[derive(Debug, Default)]
pub struct Injections {
    policies: DashMap<Arc<str>, [AtomicU64; 3]>,
}

impl Injections {
    /// Counts one by the policy of this name.
    pub fn count(&self, policy: &Arc<str>, deed: Deed) {
        let place = deed as usize;
        if let Some(counts) = self.policies.get(policy) {
            counts[place].fetch_add(1, Relaxed);
            return;
        }
        let key = if self.policies.len() < POLICIES_MAX { Arc::clone(policy) } else { OTHER.into() };
        self.policies.entry(key).or_default()[place].fetch_add(1, Relaxed);
    }

    /// How many there have been.
    #[cfg(test)]
    pub fn counted(&self, policy: &str, deed: Deed) -> u64 {
        self.policies.get(policy).map_or(0, |counts| counts[deed as usize].load(Relaxed))
    }
}

const NAME: &str = "weft_injected_faults_total";
const HELP: &str =
    "Requests that a FaultInjectionPolicy held or answered, or did not hold because too many were.";

/// As a registry takes it.
pub struct Exposed {
    injections: Arc<Injections>,
    /// By which a registry tells it from others.
    desc: Desc,
}

impl Exposed {
    /// All of `injections`.
    pub fn new(injections: Arc<Injections>) -> Self {
        let labels = ["policy", "what"].map(str::to_owned).to_vec();
        let desc = Desc::new(NAME.to_owned(), HELP.to_owned(), labels, HashMap::new())
            .expect("names and labels in this crate are valid");
        Self { injections, desc }
    }
}

impl Collector for Exposed {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut metrics = Vec::new();
        for counts in &self.injections.policies {
            for (what, count) in ["delay", "abort", "skipped"].into_iter().zip(counts.value()) {
                metrics.push(counter(&[("policy", counts.key()), ("what", what)], count));
            }
        }
        family(NAME, HELP, metrics).into_iter().collect()
    }
}

#[cfg(test)]
mod tests;
