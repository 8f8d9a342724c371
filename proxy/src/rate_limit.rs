//! How many requests may enter: each limit has a bucket of tokens, and a request needs one of each that it matches.

// What all workers take tokens from.
mod buckets;
// One bucket, as a number.
mod bucket;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use http::Method;
use weft_api::{
    http_attributes::{HttpAttributes, Path, PathKind},
    policy::Mode,
    rate_limit::{Key, Limit as LimitSpec, RateLimit},
};

use crate::authorize::{Asked, Condition, Entrant, Text};

pub use bucket::Rate;
pub use buckets::{Buckets, Client};

/// All limits of a port.
#[derive(Debug, PartialEq, Eq)]
pub struct RateLimits(Box<[Limit]>);

/// One limit.
#[derive(Debug, PartialEq, Eq)]
pub struct Limit {
    /// By which its buckets are known.
    id: Arc<str>,
    /// The policy that it is of.
    pub policy: Arc<str>,
    /// What is told of what it refuses.
    pub words: Arc<str>,
    rate: Rate,
    key: Key,
    mode: Mode,
    condition: Condition,
}

/// What became of a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// There was a token of every limit.
    Taken,
    /// There was none of this one, which is audited, and a token of all that are enforced.
    Audited(&'a Limit),
    /// There was none of this one, and will not be for so long.
    Limited(&'a Limit, Duration),
}

impl RateLimits {
    /// Of policies by name. The error says which method of which limit is none.
    pub fn new<'a>(policies: impl Iterator<Item = (&'a str, &'a RateLimit)>) -> Result<Self, String> {
        let limits = policies.flat_map(|(policy, spec)| {
            let name: Arc<str> = policy.into();
            let numbered = spec.limits.iter().enumerate();
            numbered.map(move |(index, limit)| Limit::new(&name, index, spec.mode, limit))
        });
        limits.collect::<Result<_, _>>().map(Self)
    }

    /// Takes a token of every limit that the request matches, until there is none.
    pub fn take(&self, buckets: &Buckets, entrant: &Entrant, asked: Asked<'_>, now: Instant) -> Verdict<'_> {
        let mut verdict = Verdict::Taken;
        // What cannot be known of a request is no way around a limit.
        let matching =
            self.0.iter().filter(|limit| limit.condition.holds(entrant, Some(asked)) != Some(false));
        for limit in matching {
            // Enforced, the first that has none would be the last that is asked.
            if limit.mode == Mode::Audit && verdict != Verdict::Taken {
                continue;
            }
            let taken = buckets.take(&limit.id, limit.client(entrant), limit.rate, now);
            match (taken, limit.mode) {
                (Ok(()), _) => {}
                (Err(wait), Mode::Enforce) => return Verdict::Limited(limit, wait),
                (Err(_), Mode::Audit) => verdict = Verdict::Audited(limit),
            }
        }
        verdict
    }
}

impl Limit {
    fn new(policy: &Arc<str>, index: usize, mode: Mode, spec: &LimitSpec) -> Result<Self, String> {
        Ok(Self {
            id: format!("{policy}/limit/{index}").into(),
            policy: Arc::clone(policy),
            words: format!("limit {index} of RateLimitPolicy {policy} is reached").into(),
            rate: Rate::new(spec.requests, spec.per.get(), spec.burst()),
            key: spec.key,
            mode,
            condition: condition(spec).map_err(|reason| format!("`{policy}`: limits[{index}].{reason}"))?,
        })
    }

    fn client(&self, entrant: &Entrant) -> Client {
        match (self.key, &entrant.identity, entrant.address) {
            (Key::Workload, ..) => Client::All,
            (Key::Client, Some(identity), _) => Client::Identity(Arc::clone(identity)),
            (Key::Client, None, Some(address)) => Client::Address(address),
            (Key::Client, None, None) => Client::Others,
        }
    }
}

fn condition(spec: &LimitSpec) -> Result<Condition, String> {
    let mut all = Vec::new();
    if let Some(network) = &spec.network_attributes {
        all.push(Condition::AnyOf(network.ports.iter().map(|port| Condition::Port(*port)).collect()));
    }
    if let Some(HttpAttributes { methods: Some(methods), .. }) = &spec.http_attributes {
        let method = |text: &String| {
            let method = Method::from_bytes(text.as_bytes());
            method.map(Condition::Method).map_err(|_| format!("httpAttributes.methods: `{text}` is none"))
        };
        all.push(Condition::AnyOf(methods.iter().map(method).collect::<Result<_, _>>()?));
    }
    if let Some(HttpAttributes { paths: Some(paths), .. }) = &spec.http_attributes {
        all.push(Condition::AnyOf(paths.iter().map(path).collect()));
    }
    Ok(Condition::All(all.into()))
}

fn path(path: &Path) -> Condition {
    let exact = |text: &str| Condition::Path(Text::Exact(text.into()));
    match (path.kind, path.value.trim_end_matches('/')) {
        (PathKind::Exact, _) => exact(&path.value),
        (PathKind::PathPrefix, "") => Condition::Always,
        (PathKind::PathPrefix, whole) => {
            let below = Condition::Path(Text::Prefix(format!("{whole}/").into()));
            Condition::AnyOf([exact(whole), below].into())
        }
    }
}

#[cfg(test)]
mod tests;
