//! What policies kept out, counted: by policy, since whoever looks at this wants to know whose doing it was.

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

use super::connections::{counter, family};

/// Policies; what comes after them is counted as one named `other`. Policies come from people and not from requests, but
/// over the months there may be many.
pub(super) const POLICIES_MAX: usize = 2_000;
pub(super) const OTHER: &str = "other";

/// Kind of a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// AuthorizationPolicy.
    Authorization,
    /// RateLimitPolicy.
    RateLimit,
}

/// Whether a policy acted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It did.
    Enforced,
    /// It would have, were it not in audit mode.
    Audited,
}

/// What all policies kept out, or would have.
#[derive(Debug, Default)]
pub struct Refusals {
    policies: DashMap<(Kind, Arc<str>), [AtomicU64; 2]>,
}

impl Kind {
    const fn label(self) -> &'static str {
        match self {
            Self::Authorization => "AuthorizationPolicy",
            Self::RateLimit => "RateLimitPolicy",
        }
    }
}

impl Refusals {
    /// Counts one by the policy (or policies) of this name.
    pub fn count(&self, kind: Kind, policy: &Arc<str>, effect: Effect) {
        let place = effect as usize;
        let key = (kind, Arc::clone(policy));
        if let Some(counts) = self.policies.get(&key) {
            counts[place].fetch_add(1, Relaxed);
            return;
        }
        let key = if self.policies.len() < POLICIES_MAX { key } else { (kind, OTHER.into()) };
        self.policies.entry(key).or_default()[place].fetch_add(1, Relaxed);
    }

    /// How many there have been.
    #[cfg(test)]
    pub fn counted(&self, kind: Kind, policy: &str, effect: Effect) -> u64 {
        let counts = self.policies.get(&(kind, policy.into()));
        counts.map_or(0, |counts| counts[effect as usize].load(Relaxed))
    }
}

const NAME: &str = "weft_refusals_total";
const HELP: &str = "Requests and opaque connections that a policy kept out, or would have in audit mode.";

/// As a registry takes it.
pub struct Exposed {
    refusals: Arc<Refusals>,
    /// By which a registry tells it from others.
    desc: Desc,
}

impl Exposed {
    /// All of `refusals`.
    pub fn new(refusals: Arc<Refusals>) -> Self {
        let labels = ["kind", "policy", "mode"].map(str::to_owned).to_vec();
        let desc = Desc::new(NAME.to_owned(), HELP.to_owned(), labels, HashMap::new())
            .expect("names and labels in this crate are valid");
        Self { refusals, desc }
    }
}

impl Collector for Exposed {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut metrics = Vec::new();
        for counts in &self.refusals.policies {
            let (kind, policy) = counts.key();
            for (mode, count) in ["enforce", "audit"].into_iter().zip(counts.value()) {
                let labels = [("kind", kind.label()), ("policy", policy), ("mode", mode)];
                metrics.push(counter(&labels, count));
            }
        }
        family(NAME, HELP, metrics).into_iter().collect()
    }
}

#[cfg(test)]
mod tests;
