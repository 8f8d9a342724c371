//! What outlives a snapshot: limits, counters, breakers and load of backends and routes.

use std::{collections::HashMap, sync::Arc, time::Instant};

use weft_api::policy::Mode;

use crate::{
    accrual::Accrual,
    balance::{Endpoint, Endpoints, Load},
    breaker::{EndpointKey, Kept, Limits, Scope, Settings, Shared, kept::KEEP},
    cluster::Cluster,
    guard::{Counts, Guard},
    resource::{EndpointSpec, GuardSpec},
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
    pub(super) guard: GuardState,
    kept: Kept,
    accruals: HashMap<EndpointKey, (Arc<Accrual>, Arc<Load>)>,
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
    pub(super) fn new(spec: &GuardSpec, seed: u64, now: Instant) -> Self {
        let percent = spec.policy.endpoint.max_ejection_percent;
        Self {
            guard: GuardState::new(spec, now),
            kept: Kept::new(endpoint_settings(spec), percent, seed),
            accruals: HashMap::new(),
        }
    }

    /// The backend by `spec`, with what is known of the one before it.
    pub(super) fn cluster(
        &mut self,
        name: &Arc<str>,
        spec: &GuardSpec,
        endpoints: &[EndpointSpec],
        peers: &[Arc<Peer>],
        seed: u64,
        now: Instant,
    ) -> Cluster {
        let guard = self.guard.guard(name, spec, seed, now);
        let endpoints = self.endpoints(name, spec, endpoints, peers, guard.audit, now);
        Cluster { guard, endpoints }
    }

    fn endpoints(
        &mut self,
        name: &Arc<str>,
        spec: &GuardSpec,
        endpoints: &[EndpointSpec],
        peers: &[Arc<Peer>],
        audit: bool,
        now: Instant,
    ) -> Endpoints {
        let percent = spec.policy.endpoint.max_ejection_percent;
        let mut readmitted = self.kept.set_settings(now, endpoint_settings(spec), percent);
        let keys: Vec<_> = endpoints
            .iter()
            .map(|endpoint| EndpointKey { address: endpoint.address, identity: endpoint.identity.clone() })
            .collect();
        let reconciled = self.kept.reconcile(now, &keys);
        readmitted.extend(reconciled.readmitted);
        let mut list = Vec::with_capacity(endpoints.len());
        for (((endpoint, peer), key), breaker) in
            endpoints.iter().zip(peers).zip(&keys).zip(reconciled.breakers)
        {
            let known = self.accruals.get(key).filter(|(accrual, _)| Arc::ptr_eq(&accrual.breaker, &breaker));
            let (accrual, load) = known.cloned().unwrap_or_else(|| {
                let accrual =
                    Accrual::new(Scope::Endpoint, Arc::clone(name), Some(endpoint.address), breaker);
                (Arc::new(accrual), Arc::new(Load::new(now)))
            });
            accrual.set_audit(audit);
            self.accruals.insert(key.clone(), (Arc::clone(&accrual), Arc::clone(&load)));
            list.push(Arc::new(Endpoint { peer: Arc::clone(peer), accrual, weight: endpoint.weight, load }));
        }
        for (key, transition) in readmitted {
            if let Some((accrual, _)) = self.accruals.get(&key) {
                accrual.note([transition]);
            }
        }
        // The breakers of those that are gone are kept for a while by `kept`; their books end here.
        self.accruals.retain(|key, _| keys.contains(key));
        Endpoints::new(list)
    }
}

fn endpoint_settings(spec: &GuardSpec) -> Settings {
    // Recovery is found out by a connection before a request has to (see `probe`).
    Settings { connect_first: true, ..Settings::new(&spec.policy.endpoint, Scope::Endpoint) }
}
