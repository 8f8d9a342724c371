//! Resources -> snapshot. Limits, breakers, load and connections of what stays are taken over, so that a push changes
//! what it says and nothing else.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::SocketAddr,
    str::FromStr,
    sync::{Arc, Weak},
    time::Instant,
};

use weft_api::{self as api, bootstrap, circuit_breaker::Mode, names};
use weft_identity::{SpiffeId, tls::Credentials};
use weft_xds::Kind;

use crate::{
    accrual::Accrual,
    balance::{Endpoint, Endpoints, Load},
    breaker::{EndpointKey, Kept, Limits, Scope, Settings, Shared, kept::KEEP},
    cluster::{Cluster, Counts},
    http::serve::Version,
    resource::{Action, ClusterSpec, EndpointSpec, InboundSpec, Listener, Resource, RouteSpec, Routes},
    retry::{self, budget::Budget},
    route::{self, Backends, Forward, Route, Table},
    snapshot::{Destination, Inbound, Snapshot},
    telemetry::requests::Family,
    upstream::{Mesh, Peer},
};

/// Bounds on what is under way to the local application: there to keep the proxy alive, not to shape traffic.
const APP_LIMITS: api::circuit_breaker::Limits =
    api::circuit_breaker::Limits { max_connections: 10_000, max_pending: 10_000, max_requests: 100_000 };

/// What the control plane has answered: `None` = there is no such resource; no entry = no answer yet.
#[derive(Default)]
pub struct Held {
    listeners: BTreeMap<String, Option<Listener>>,
    routes: BTreeMap<String, Option<Arc<Routes>>>,
    clusters: BTreeMap<String, Option<Arc<ClusterSpec>>>,
    endpoints: BTreeMap<String, Option<Arc<[EndpointSpec]>>>,
}

impl Held {
    /// Takes an answer in.
    pub fn set(&mut self, kind: Kind, name: String, resource: Option<Resource>) {
        match (kind, resource) {
            (Kind::Listener, None) => drop(self.listeners.insert(name, None)),
            (Kind::Routes, None) => drop(self.routes.insert(name, None)),
            (Kind::Cluster, None) => drop(self.clusters.insert(name, None)),
            (Kind::Endpoints, None) => drop(self.endpoints.insert(name, None)),
            (_, Some(Resource::Listener(listener))) => drop(self.listeners.insert(name, Some(listener))),
            (_, Some(Resource::Routes(routes))) => drop(self.routes.insert(name, Some(routes))),
            (_, Some(Resource::Cluster(cluster))) => drop(self.clusters.insert(name, Some(cluster))),
            (_, Some(Resource::Endpoints(endpoints))) => drop(self.endpoints.insert(name, Some(endpoints))),
            // Secrets are credentials, not part of what a request asks.
            (_, Some(Resource::Secret(_))) | (Kind::Secret, None) => {}
        }
    }

    /// Whether there is such a resource, as far as is known.
    pub fn has(&self, kind: Kind, name: &str) -> bool {
        match kind {
            Kind::Listener => self.listeners.get(name).is_some_and(Option::is_some),
            Kind::Routes => self.routes.get(name).is_some_and(Option::is_some),
            Kind::Cluster => self.clusters.get(name).is_some_and(Option::is_some),
            Kind::Endpoints => self.endpoints.get(name).is_some_and(Option::is_some),
            Kind::Secret => false,
        }
    }

    /// Forgets an answer that nobody asks for any more.
    pub fn forget(&mut self, kind: Kind, name: &str) {
        match kind {
            Kind::Listener => drop(self.listeners.remove(name)),
            Kind::Routes => drop(self.routes.remove(name)),
            Kind::Cluster => drop(self.clusters.remove(name)),
            Kind::Endpoints => drop(self.endpoints.remove(name)),
            Kind::Secret => {}
        }
    }

    /// What has to be asked for, given what is known: routes of listeners, clusters of routes, endpoints of clusters.
    pub fn wanted(&self, kind: Kind) -> BTreeSet<String> {
        match kind {
            Kind::Routes => {
                let services = self.listeners.values().flatten().filter_map(|listener| match listener {
                    Listener::Service(routes) => Some(routes.to_string()),
                    Listener::Inbound(_) => None,
                });
                services.collect()
            }
            Kind::Cluster => self
                .routes
                .values()
                .flatten()
                .flat_map(|routes| routes.clusters())
                .map(ToString::to_string)
                .collect(),
            Kind::Endpoints => self
                .clusters
                .iter()
                .filter(|(_, spec)| spec.is_some())
                .map(|(name, _)| name.clone())
                .collect(),
            Kind::Listener | Kind::Secret => BTreeSet::new(),
        }
    }
}

/// Makes snapshots, and remembers what outlives them.
pub struct Compiler {
    inbound: Vec<bootstrap::Inbound>,
    app_limits: Limits,
    link: Version,
    credentials: Arc<Credentials>,
    requests: Arc<Family>,
    seed: u64,
    peers: HashMap<PeerKey, Weak<Peer>>,
    states: HashMap<Arc<str>, State>,
    /// By destination, and by rank among the different budgets that its routes have; mostly there is one.
    budgets: HashMap<(Arc<str>, usize), Arc<Budget>>,
}

/// Address, identity expected there, and HTTP spoken.
type PeerKey = (SocketAddr, Option<Arc<str>>, Version);

/// What a backend keeps from one snapshot to the next.
struct State {
    limits: Limits,
    counts: Arc<Counts>,
    target: Option<Arc<Accrual>>,
    kept: Kept,
    accruals: HashMap<EndpointKey, (Arc<Accrual>, Arc<Load>)>,
    used: Instant,
}

/// Not all answers are there yet.
struct Pending;

impl Compiler {
    /// For a proxy with these inbound listeners. `link` is the HTTP between sidecars; `seed` keeps this proxy's breakers
    /// from probing in step with another's.
    pub fn new(
        inbound: Vec<bootstrap::Inbound>,
        link: Version,
        credentials: Arc<Credentials>,
        requests: Arc<Family>,
        seed: u64,
    ) -> Self {
        let (peers, states, budgets) = (HashMap::new(), HashMap::new(), HashMap::new());
        let app_limits = Limits::new(&APP_LIMITS);
        Self { inbound, app_limits, link, credentials, requests, seed, peers, states, budgets }
    }

    /// The snapshot of what is held. What has not all its answers yet stays as it was in `before`.
    pub fn compile(&mut self, held: &Held, before: &Snapshot, now: Instant) -> Snapshot {
        let mut snapshot = Snapshot::default();
        for (name, listener) in &held.listeners {
            let compiled = match listener {
                Some(Listener::Inbound(ports)) => {
                    snapshot.inbound = self.inbound(ports);
                    continue;
                }
                Some(Listener::Service(routes)) => {
                    self.destination(routes, held, &mut snapshot.clusters, now)
                }
                None => Ok(Destination::Unknown),
            };
            match compiled {
                Ok(destination) => drop(snapshot.destinations.insert(name.as_str().into(), destination)),
                Err(Pending) => stay(name, before, &mut snapshot),
            }
        }
        self.sweep(&snapshot, now);
        snapshot
    }

    fn inbound(&mut self, ports: &HashMap<u16, InboundSpec>) -> HashMap<u16, Inbound> {
        let listeners = self.inbound.clone();
        let known = listeners.into_iter().filter_map(|listener| {
            let port = listener.listen.port();
            let spec = ports.get(&port)?;
            let inbound = Inbound {
                plaintext: spec.plaintext,
                version: spec.version,
                http1: self.peer(listener.app, None, Version::Http1),
                http2: self.peer(listener.app, None, Version::Http2),
                limits: self.app_limits.clone(),
            };
            Some((port, inbound))
        });
        known.collect()
    }

    fn destination(
        &mut self,
        name: &Arc<str>,
        held: &Held,
        clusters: &mut BTreeMap<Arc<str>, Arc<Cluster>>,
        now: Instant,
    ) -> Result<Destination, Pending> {
        let Some(specs) = held.routes.get(name.as_ref()).ok_or(Pending)? else {
            return Ok(Destination::Unknown);
        };
        // First whether all is there: a half-known service must not take the place of a known one.
        for cluster in specs.clusters() {
            let answered = match held.clusters.get(cluster.as_ref()) {
                Some(Some(_)) => held.endpoints.contains_key(cluster.as_ref()),
                Some(None) => true,
                None => false,
            };
            if !answered {
                return Err(Pending);
            }
        }
        let mut routes = Vec::with_capacity(specs.0.len());
        let mut ranks = Vec::new();
        for RouteSpec { name: route, matches, action } in &specs.0 {
            let action = match action {
                Action::Respond(status) => route::Action::Respond(*status),
                Action::Forward { clusters: weighted, timeout, retry } => {
                    let backend =
                        |(weight, name): &(u32, Arc<str>)| (*weight, self.cluster(name, held, clusters, now));
                    let backends = Backends::new(weighted.iter().map(backend).collect());
                    let retry = retry.as_ref().map(|policy| {
                        retry::Rule::new(policy, self.budget(name, policy.budget, &mut ranks, now))
                    });
                    route::Action::Forward(Forward { backends, timeout: *timeout, retry })
                }
            };
            let requests = self.requests.series([name, route]);
            let (name, matches) = (Arc::clone(route), matches.clone());
            routes.push(Arc::new(Route { name, matches, action, requests }));
        }
        Ok(Destination::Service(Arc::new(Table { name: Arc::clone(name), routes })))
    }

    /// The backend `name`, made once per snapshot; `None` if it does not exist.
    fn cluster(
        &mut self,
        name: &Arc<str>,
        held: &Held,
        clusters: &mut BTreeMap<Arc<str>, Arc<Cluster>>,
        now: Instant,
    ) -> Option<Arc<Cluster>> {
        if let Some(cluster) = clusters.get(name) {
            return Some(Arc::clone(cluster));
        }
        let spec = held.clusters.get(name.as_ref())?.as_ref()?;
        let endpoints = held.endpoints.get(name.as_ref()).and_then(Option::as_deref).unwrap_or_default();
        let peers: Vec<_> = endpoints
            .iter()
            .map(|endpoint| {
                // Between sidecars the mesh chooses the protocol; without one the application's is spoken.
                let version = if endpoint.identity.is_some() { self.link } else { spec.version };
                self.peer(endpoint.address, endpoint.identity.clone(), version)
            })
            .collect();
        let seed = self.seed ^ fold(name);
        let state = self.states.entry(Arc::clone(name)).or_insert_with(|| State::new(spec, seed, now));
        let cluster = Arc::new(state.cluster(name, spec, endpoints, &peers, seed, now));
        clusters.insert(Arc::clone(name), Arc::clone(&cluster));
        Some(cluster)
    }

    /// The peer at `address`, shared by all that reach it the same way.
    fn peer(&mut self, address: SocketAddr, identity: Option<Arc<str>>, version: Version) -> Arc<Peer> {
        let key = (address, identity, version);
        if let Some(peer) = self.peers.get(&key).and_then(Weak::upgrade) {
            return peer;
        }
        let mesh = key.1.as_ref().and_then(|identity| {
            // Checked when the resource was accepted.
            let id = SpiffeId::from_str(identity).ok()?;
            let alpn = match version {
                Version::Http2 => names::ALPN_MESH_H2,
                Version::Http1 => names::ALPN_MESH_HTTP1,
            };
            Some(Mesh { identity: Arc::clone(identity), config: self.credentials.client_config(id, &[alpn]) })
        });
        let peer = Arc::new(Peer::new(address, version, mesh));
        self.peers.insert(key, Arc::downgrade(&peer));
        peer
    }

    /// The budget of a route. Routes with equal budgets share one; a push with other numbers changes them and keeps the
    /// counts.
    fn budget(
        &mut self,
        destination: &Arc<str>,
        policy: api::retry::Budget,
        ranks: &mut Vec<api::retry::Budget>,
        now: Instant,
    ) -> Arc<Budget> {
        let rank = ranks.iter().position(|known| *known == policy).unwrap_or_else(|| {
            ranks.push(policy);
            ranks.len() - 1
        });
        let key = (Arc::clone(destination), rank);
        let budget = self.budgets.entry(key).or_insert_with(|| Arc::new(Budget::new(policy, now)));
        budget.set_policy(policy);
        Arc::clone(budget)
    }

    /// Forgets what no snapshot has used for a while: a backend that comes back soon is not pardoned.
    fn sweep(&mut self, snapshot: &Snapshot, now: Instant) {
        self.states.retain(|name, state| {
            if snapshot.clusters.contains_key(name) {
                state.used = now;
            }
            now.saturating_duration_since(state.used) < KEEP
        });
        self.budgets.retain(|_, budget| Arc::strong_count(budget) > 1);
        self.peers.retain(|_, peer| peer.strong_count() > 0);
    }
}

/// Keeps in `snapshot` what `before` has for a destination that is not all there yet.
fn stay(name: &str, before: &Snapshot, snapshot: &mut Snapshot) {
    let Some((name, destination)) = before.destinations.get_key_value(name) else { return };
    if let Destination::Service(table) = destination {
        for cluster in table.clusters() {
            snapshot.clusters.entry(Arc::clone(&cluster.name)).or_insert_with(|| Arc::clone(cluster));
        }
    }
    snapshot.destinations.insert(Arc::clone(name), destination.clone());
}

/// Spreads names over seeds. Nothing hangs on its quality: seeds only keep breakers out of step.
fn fold(name: &str) -> u64 {
    name.bytes().fold(0, |folded: u64, byte| folded.rotate_left(7) ^ u64::from(byte))
}

impl State {
    fn new(spec: &ClusterSpec, seed: u64, now: Instant) -> Self {
        let policy = &spec.policy;
        Self {
            limits: Limits::new(&policy.limits),
            counts: Arc::default(),
            target: None,
            kept: Kept::new(endpoint_settings(spec), policy.endpoint.max_ejection_percent, seed),
            accruals: HashMap::new(),
            used: now,
        }
    }

    fn cluster(
        &mut self,
        name: &Arc<str>,
        spec: &ClusterSpec,
        endpoints: &[EndpointSpec],
        peers: &[Arc<Peer>],
        seed: u64,
        now: Instant,
    ) -> Cluster {
        let policy = &spec.policy;
        let audit = policy.mode == Mode::Audit;
        self.limits.set(&policy.limits);
        self.set_target(name, spec, seed, now);
        if let Some(target) = &self.target {
            target.set_audit(audit);
        }
        Cluster {
            name: Arc::clone(name),
            failures: policy.failures.clone(),
            target: self.target.clone(),
            fallback: spec.fallback.clone(),
            limits: self.limits.clone(),
            audit,
            counts: Arc::clone(&self.counts),
            endpoints: self.endpoints(name, spec, endpoints, peers, audit, now),
        }
    }

    /// A policy without a target breaker ends it; one with other numbers keeps its state.
    fn set_target(&mut self, name: &Arc<str>, spec: &ClusterSpec, seed: u64, now: Instant) {
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

    fn endpoints(
        &mut self,
        name: &Arc<str>,
        spec: &ClusterSpec,
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

fn endpoint_settings(spec: &ClusterSpec) -> Settings {
    // Recovery is found out by a connection before a request has to (see `probe`).
    Settings { connect_first: true, ..Settings::new(&spec.policy.endpoint, Scope::Endpoint) }
}

#[cfg(test)]
mod tests;
