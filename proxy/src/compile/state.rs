//! What outlives a snapshot: limits, counters, breakers and load of backends and routes.

use std::{collections::HashMap, sync::Arc, time::Instant};

use weft_api::policy::Mode;

use crate::{
    accrual::Accrual,
    balance::{Choices, Endpoint, Endpoints, Fresh, Load, Located},
    breaker::{EndpointKey, Kept, Limits, Scope, Settings, Shared, kept::KEEP},
    cluster::Cluster,
    guard::{Counts, Guard},
    resource::{ClusterSpec, EndpointSpec, EndpointsSpec, GuardSpec},
    upstream::Peer,
};

/// Of a guard.
pub(super) struct GuardState {
    limits: Limits,
    counts: Arc<Counts>,
    target: Option<Arc<Accrual>>,
    /// When a snapshot last had it.
    used: Instant,
}

/// Of a backend.
pub(super) struct BackendState {
    name: Arc<str>,
    seed: u64,
    pub(super) guard: GuardState,
    kept: Kept,
    endpoints: HashMap<EndpointKey, Known>,
    /// Whether it has had endpoints before: others are new.
    has_begun: bool,
    choices: Choices,
}

/// Of an endpoint.
#[derive(Clone)]
struct Known {
    accrual: Arc<Accrual>,
    load: Arc<Load>,
    /// Since when it has been there, unless from the beginning.
    since: Option<Instant>,
}

impl GuardState {
    pub(super) fn new(spec: &GuardSpec, now: Instant) -> Self {
        Self { limits: Limits::new(&spec.policy.limits), counts: Arc::default(), target: None, used: now }
    }

    /// The guard by `spec`, with what is known of the one before it.
    pub(super) fn guard(&mut self, name: &Arc<str>, spec: &GuardSpec, seed: u64, now: Instant) -> Arc<Guard> {
        let audit = spec.policy.mode == Mode::Audit;
        self.limits.set(&spec.policy.limits);
        self.set_target(name, spec, seed, now);
        if let Some(target) = &self.target {
            target.set_audit(audit);
        }
        Arc::new(Guard {
            name: Arc::clone(name),
            failures: spec.policy.failures.clone(),
            target: self.target.clone(),
            fallback: spec.fallback.clone(),
            limits: self.limits.clone(),
            audit,
            counts: Arc::clone(&self.counts),
        })
    }

    /// Whether it is still kept: while it `is_used`, and for a while after, so that what comes back soon is not pardoned.
    pub(super) fn is_kept(&mut self, is_used: bool, now: Instant) -> bool {
        if is_used {
            self.used = now;
        }
        now.saturating_duration_since(self.used) < KEEP
    }

    /// A policy without a target breaker ends it; one with other numbers keeps its state.
    fn set_target(&mut self, name: &Arc<str>, spec: &GuardSpec, seed: u64, now: Instant) {
        let Some(policy) = &spec.policy.target else {
            self.target = None;
            return;
        };
        let settings = Settings::new(policy, Scope::Target);
        if let Some(target) = &self.target {
            target.breaker.set_settings(settings);
        } else {
            let breaker = Shared::new(settings, seed, now, None);
            self.target = Some(Arc::new(Accrual::new(Scope::Target, Arc::clone(name), None, breaker)));
        }
    }
}

impl BackendState {
    pub(super) fn new(name: Arc<str>, spec: &GuardSpec, seed: u64, now: Instant) -> Self {
        let percent = spec.policy.endpoint.max_ejection_percent;
        Self {
            name,
            seed,
            guard: GuardState::new(spec, now),
            kept: Kept::new(endpoint_settings(spec), percent, seed),
            endpoints: HashMap::new(),
            has_begun: false,
            choices: Choices::default(),
        }
    }

    /// The backend by `spec`, with what is known of the one before it, for callers in `zone`.
    pub(super) fn cluster(
        &mut self,
        spec: &ClusterSpec,
        endpoints: &EndpointsSpec,
        peers: &[Arc<Peer>],
        zone: Option<&str>,
        now: Instant,
    ) -> Cluster {
        let guard = self.guard.guard(&self.name, &spec.guard, self.seed, now);
        let list = self.endpoints(spec, &endpoints.ready, peers, guard.audit, now);
        let mut located = Located::default();
        for (spec, endpoint) in endpoints.ready.iter().zip(list) {
            let is_near = zone.is_some_and(|zone| *zone == *spec.zone);
            if is_near { &mut located.near } else { &mut located.others }.push(endpoint);
        }
        located.near_unready = zone.and_then(|zone| endpoints.unready.get(zone)).copied().unwrap_or_default();
        Cluster {
            guard,
            affinity: spec.affinity.clone(),
            endpoints: Endpoints::new(located, &spec.balancing, &mut self.choices),
        }
    }

    fn endpoints(
        &mut self,
        ClusterSpec { guard, balancing, .. }: &ClusterSpec,
        endpoints: &[EndpointSpec],
        peers: &[Arc<Peer>],
        audit: bool,
        now: Instant,
    ) -> Vec<Arc<Endpoint>> {
        let percent = guard.policy.endpoint.max_ejection_percent;
        let mut readmitted = self.kept.set_settings(now, endpoint_settings(guard), percent);
        let keys: Vec<_> = endpoints
            .iter()
            .map(|endpoint| EndpointKey { address: endpoint.address, identity: endpoint.identity.clone() })
            .collect();
        let reconciled = self.kept.reconcile(now, &keys);
        readmitted.extend(reconciled.readmitted);
        let since = self.has_begun.then_some(now);
        let mut list = Vec::with_capacity(endpoints.len());
        for (((endpoint, peer), key), breaker) in
            endpoints.iter().zip(peers).zip(&keys).zip(reconciled.breakers)
        {
            let known = self.endpoints.get(key).filter(|known| Arc::ptr_eq(&known.accrual.breaker, &breaker));
            let known = known.cloned().unwrap_or_else(|| {
                let name = Arc::clone(&self.name);
                let accrual = Accrual::new(Scope::Endpoint, name, Some(endpoint.address), breaker);
                Known { accrual: Arc::new(accrual), load: Arc::new(Load::new(now)), since }
            });
            known.accrual.set_audit(audit);
            self.endpoints.insert(key.clone(), known.clone());
            let Known { accrual, load, since } = known;
            let fresh = since.map(|since| Fresh { since, window: balancing.slow_start });
            let (peer, weight) = (Arc::clone(peer), endpoint.weight);
            list.push(Arc::new(Endpoint { peer, accrual, weight, load, fresh }));
        }
        for (key, transition) in readmitted {
            if let Some(known) = self.endpoints.get(&key) {
                known.accrual.note([transition]);
            }
        }
        // The breakers of those that are gone are kept for a while by `kept`; their books end here.
        self.endpoints.retain(|key, _| keys.contains(key));
        self.has_begun = true;
        list
    }
}

fn endpoint_settings(spec: &GuardSpec) -> Settings {
    // Recovery is found out by a connection before a request has to (see `probe`).
    Settings { connect_first: true, ..Settings::new(&spec.policy.endpoint, Scope::Endpoint) }
}
