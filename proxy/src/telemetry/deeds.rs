//! What policies did to requests and connections, counted: by policy, since whoever looks at this wants to know whose doing it
//! was, and nobody is to take a test for a failure.

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

/// Policies of all kinds; what comes after them is counted as one of its kind named `other`. Policies come from people and
/// not from requests, but over the months there may be many.
const POLICIES_MAX: usize = 2_000;
const OTHER: &str = "other";

/// What a policy did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// An AuthorizationPolicy let nobody in.
    Denied(Effect),
    /// Nor did a RateLimitPolicy.
    Limited(Effect),
    /// A FaultInjectionPolicy failed a request.
    Injected(Injection),
}

/// Whether a policy acted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It did.
    Enforced,
    /// It would have, were it not in audit mode.
    Audited,
}

/// What was done to a request in place of a failing service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Injection {
    /// It was held.
    Delay,
    /// It was answered.
    Abort,
    /// It would have been held, if there were not so many already.
    Skipped,
}

/// Kind of a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Authorization,
    RateLimit,
    FaultInjection,
}

impl Deed {
    /// Whose it is, and its place among what these do.
    fn place(self) -> (Kind, usize) {
        match self {
            Self::Denied(effect) => (Kind::Authorization, effect as usize),
            Self::Limited(effect) => (Kind::RateLimit, effect as usize),
            Self::Injected(injection) => (Kind::FaultInjection, injection as usize),
        }
    }
}

/// What all policies did.
#[derive(Debug, Default)]
pub struct Deeds {
    policies: DashMap<(Kind, Arc<str>), [AtomicU64; 3]>,
}

impl Deeds {
    /// Counts one of the policy (or policies) of this name.
    pub fn count(&self, policy: &Arc<str>, deed: Deed) {
        let (kind, place) = deed.place();
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
    pub fn counted(&self, policy: &str, deed: Deed) -> u64 {
        let (kind, place) = deed.place();
        self.policies.get(&(kind, policy.into())).map_or(0, |counts| counts[place].load(Relaxed))
    }
}

/// Name, help and labels of a metric.
type Metric = (&'static str, &'static str, &'static [&'static str]);

const REFUSALS: Metric = (
    "weft_refusals_total",
    "Requests and opaque connections that a policy kept out, or would have in audit mode.",
    &["kind", "policy", "mode"],
);
const INJECTIONS: Metric = (
    "weft_injected_faults_total",
    "Requests that a FaultInjectionPolicy held or answered, or did not hold because too many were.",
    &["policy", "what"],
);

/// As a registry takes it.
pub struct Exposed {
    deeds: Arc<Deeds>,
    /// By which a registry tells it from others.
    descs: [Desc; 2],
}

impl Exposed {
    /// All of `deeds`.
    pub fn new(deeds: Arc<Deeds>) -> Self {
        let descs = [REFUSALS, INJECTIONS].map(|(name, help, labels)| {
            let labels = labels.iter().map(|label| (*label).to_owned()).collect();
            Desc::new(name.to_owned(), help.to_owned(), labels, HashMap::new())
                .expect("names and labels in this crate are valid")
        });
        Self { deeds, descs }
    }
}

impl Collector for Exposed {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let (mut refusals, mut injections) = (Vec::new(), Vec::new());
        for counts in &self.deeds.policies {
            let (kind, policy) = counts.key();
            let kind = match kind {
                Kind::Authorization => "AuthorizationPolicy",
                Kind::RateLimit => "RateLimitPolicy",
                Kind::FaultInjection => {
                    for (what, count) in ["delay", "abort", "skipped"].into_iter().zip(counts.value()) {
                        injections.push(counter(&[("policy", policy), ("what", what)], count));
                    }
                    continue;
                }
            };
            for (mode, count) in ["enforce", "audit"].into_iter().zip(counts.value()) {
                refusals.push(counter(&[("kind", kind), ("policy", policy), ("mode", mode)], count));
            }
        }
        let families = [(REFUSALS, refusals), (INJECTIONS, injections)];
        families.into_iter().filter_map(|((name, help, _), metrics)| family(name, help, metrics)).collect()
    }
}

#[cfg(test)]
mod tests;
