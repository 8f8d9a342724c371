//! Resources -> snapshot. Limits, breakers, load and connections of what stays are taken over, so that a push changes
//! what it says and nothing else.

// What the control plane has answered.
mod held;
// What outlives a snapshot.
mod state;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    str::FromStr,
    sync::{Arc, Weak},
    time::Instant,
};

use weft_api::{self as api, names};
use weft_identity::{SpiffeId, tls::Credentials};

use crate::{
    cluster::Cluster,
    guard::Guard,
    http::serve::Version,
    resource::{
        Action, BackendSpec, EndpointsSpec, GuardSpec, Listener, MirrorSpec, OpaqueSpec, RouteSpec, Routes,
        ServiceSpec,
    },
    retry::{self, budget::Budget},
    route::{self, Backend, Backends, Edits, Forward, Mirror, Route, Sessions, Table},
    snapshot::{Destination, Opaque, Service, Snapshot},
    telemetry::requests::Family,
    upstream::{Mesh, Peer},
};
use state::{BackendState, GuardState};

pub use held::Held;

/// Addresses of which is known whether they are the own ones; beyond so many, all are found out again.
const OWN_MAX: usize = 4096;

/// Makes snapshots, and remembers what outlives them.
pub struct Compiler {
    link: Version,
    alone: bool,
    zone: Option<Arc<str>>,
    credentials: Arc<Credentials>,
    requests: Arc<Family>,
    seed: u64,
    peers: HashMap<PeerKey, Weak<Peer>>,
    /// Whether an address is one of this pod's own.
    own: HashMap<IpAddr, bool>,
    /// By backend.
    backends: HashMap<Arc<str>, BackendState>,
    /// By route, where a policy is attached to one.
    guards: HashMap<Arc<str>, GuardState>,
    /// By destination, and by rank among the different budgets that its routes have; mostly there is one.
    budgets: HashMap<(Arc<str>, usize), Arc<Budget>>,
}

/// Address, identity expected there, and HTTP spoken.
type PeerKey = (SocketAddr, Option<Arc<str>>, Version);

/// Not all answers are there yet.
struct Pending;

impl Compiler {
    /// `link` is the HTTP between sidecars; `seed` keeps this proxy's breakers from probing in step with another's.
    /// Whoever is `alone` in its network namespace, as in a pod, reaches an endpoint there without a sidecar between.
    /// `zone` is where this proxy is, if it knows.
    pub fn new(
        link: Version,
        alone: bool,
        zone: Option<Arc<str>>,
        credentials: Arc<Credentials>,
        requests: Arc<Family>,
        seed: u64,
    ) -> Self {
        Self {
            link,
            alone,
            zone,
            credentials,
            requests,
            seed,
            peers: HashMap::new(),
            own: HashMap::new(),
            backends: HashMap::new(),
            guards: HashMap::new(),
            budgets: HashMap::new(),
        }
    }

    /// The snapshot of what is held. What has not all its answers yet stays as it was in `before`.
    pub fn compile(&mut self, held: &Held, before: &Snapshot, now: Instant) -> Snapshot {
        let mut snapshot = Snapshot::default();
        for (name, listener) in &held.listeners {
            let compiled = match listener {
                Some(Listener::Inbound(ports)) => {
                    snapshot.inbound = Arc::clone(ports);
                    continue;
                }
                Some(Listener::Service(service)) => {
                    self.destination(service, held, &mut snapshot.clusters, now)
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

    fn destination(
        &mut self,
        service: &ServiceSpec,
        held: &Held,
        clusters: &mut BTreeMap<Arc<str>, Arc<Cluster>>,
        now: Instant,
    ) -> Result<Destination, Pending> {
        let specs = match &service.routes {
            None => None,
            Some(name) => match held.routes.get(name.as_ref()).ok_or(Pending)? {
                None => return Ok(Destination::Unknown),
                Some(specs) => Some((name, specs)),
            },
        };
        // First whether all is there: a half-known service must not take the place of a known one.
        let mut needed = specs.iter().flat_map(|(_, specs)| specs.clusters()).chain(service.clusters());
        if !needed.all(|cluster| held.is_answered(cluster)) {
            return Err(Pending);
        }
        let routes = specs.map(|(name, specs)| self.table(name, specs, held, clusters, now));
        let mut opaque = |spec: &OpaqueSpec| {
            let backend = |(weight, name): &(u32, Arc<str>)| Backend {
                weight: *weight,
                cluster: self.cluster(name, held, clusters, now),
                edits: Edits::default(),
            };
            let backends = Backends::new(spec.clusters.iter().map(backend).collect());
            Arc::new(Opaque { name: Arc::clone(&spec.name), route: spec.route.clone(), backends })
        };
        let (tls, opaque) = (service.tls.map(&mut opaque), service.opaque.as_ref().map(opaque));
        Ok(Destination::Service(Service { routes, connect: service.connect, opaque, tls }))
    }

    fn table(
        &mut self,
        name: &Arc<str>,
        specs: &Routes,
        held: &Held,
        clusters: &mut BTreeMap<Arc<str>, Arc<Cluster>>,
        now: Instant,
    ) -> Arc<Table> {
        let mut budgets = Vec::new();
        let routes = specs.0.iter().map(|RouteSpec { name: route, matches, edits, cors, action }| {
            let action = match action {
                Action::Respond(status) => route::Action::Respond(*status),
                Action::Redirect(redirect) => route::Action::Redirect(redirect.clone()),
                Action::Forward {
                    clusters: sharing,
                    missing,
                    rewrite,
                    mirrors,
                    timeout,
                    faults,
                    retry,
                    guard,
                    sessions,
                } => {
                    let backend = |spec: &BackendSpec| Backend {
                        weight: spec.weight,
                        cluster: self.cluster(&spec.cluster, held, clusters, now),
                        edits: spec.edits.clone(),
                    };
                    let backends = Backends::new(sharing.iter().map(backend).collect());
                    let retry = retry.as_ref().map(|policy| {
                        retry::Rule::new(policy, self.budget(name, policy.budget, &mut budgets, now))
                    });
                    let guard = guard.as_ref().map(|guard| self.guard(route, guard, now));
                    let sessions = sessions.as_deref().cloned();
                    let mirrors = mirrors.iter();
                    let mirrors = mirrors.filter_map(|spec| self.mirror(spec, route, held, clusters, now));
                    let mirrors = mirrors.collect();
                    route::Action::Forward(Forward {
                        sessions: sessions.map(|spec| Box::new(Sessions::new(spec, &backends))),
                        guard,
                        rewrite: rewrite.clone(),
                        mirrors,
                        backends,
                        missing: *missing,
                        timeout: *timeout,
                        faults: faults.clone(),
                        retry,
                    })
                }
            };
            Arc::new(Route {
                name: Arc::clone(route),
                matches: matches.clone(),
                edits: edits.clone(),
                cors: cors.clone(),
                action,
                requests: self.requests.series([name, route]),
            })
        });
        let routes = routes.collect();
        let budgets = budgets.into_iter().map(|(_, budget)| budget).collect();
        Arc::new(Table { name: Arc::clone(name), routes, budgets })
    }

    /// Who gets copies of the requests of `route`; nobody if there is no such backend.
    fn mirror(
        &mut self,
        spec: &MirrorSpec,
        route: &Arc<str>,
        held: &Held,
        clusters: &mut BTreeMap<Arc<str>, Arc<Cluster>>,
        now: Instant,
    ) -> Option<Arc<Mirror>> {
        let name: Arc<str> = format!("{}/mirror", spec.cluster).into();
        let cluster = self.cluster_as(&name, &spec.cluster, held, clusters, now)?;
        let requests = self.requests.series([&name, route]);
        let parts_per_million = spec.parts_per_million;
        Some(Arc::new(Mirror { name, parts_per_million, forward: Forward::of_copies(cluster), requests }))
    }

    /// The backend `name`, made once per snapshot; `None` if it does not exist.
    fn cluster(
        &mut self,
        name: &Arc<str>,
        held: &Held,
        clusters: &mut BTreeMap<Arc<str>, Arc<Cluster>>,
        now: Instant,
    ) -> Option<Arc<Cluster>> {
        self.cluster_as(name, name, held, clusters, now)
    }

    /// The same, with limits, breakers and load of its own under the name `own`.
    fn cluster_as(
        &mut self,
        own: &Arc<str>,
        name: &Arc<str>,
        held: &Held,
        clusters: &mut BTreeMap<Arc<str>, Arc<Cluster>>,
        now: Instant,
    ) -> Option<Arc<Cluster>> {
        if let Some(cluster) = clusters.get(own) {
            return Some(Arc::clone(cluster));
        }
        let spec = held.clusters.get(name.as_ref())?.as_ref()?;
        let none = EndpointsSpec::default();
        let endpoints = held.endpoints.get(name.as_ref()).and_then(Option::as_deref).unwrap_or(&none);
        let peers: Vec<_> = endpoints
            .ready
            .iter()
            .map(|endpoint| match &endpoint.identity {
                // Between sidecars the mesh chooses the protocol; without one the application's is spoken.
                Some(identity) if !self.is_own(endpoint.address.ip()) => {
                    self.peer(endpoint.address, Some(Arc::clone(identity)), self.link)
                }
                _ => self.peer(endpoint.address, None, spec.version),
            })
            .collect();
        let seed = self.seed ^ fold(own);
        let new = || BackendState::new(Arc::clone(own), &spec.guard, seed, now);
        let state = self.backends.entry(Arc::clone(own)).or_insert_with(new);
        let cluster = Arc::new(state.cluster(spec, endpoints, &peers, self.zone.as_deref(), now));
        clusters.insert(Arc::clone(own), Arc::clone(&cluster));
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

    /// Whether `address` leads back into this pod. What the sidecar sends there comes straight to the application, since
    /// the redirect exempts the sidecar, and it does not leave the pod: nobody would be there to take mTLS off.
    fn is_own(&mut self, address: IpAddr) -> bool {
        if !self.alone {
            return false;
        }
        if self.own.len() >= OWN_MAX {
            self.own.clear();
        }
        *self.own.entry(address).or_insert_with(|| is_local(address))
    }

    /// What stands before the route `name`.
    fn guard(&mut self, name: &Arc<str>, spec: &GuardSpec, now: Instant) -> Arc<Guard> {
        let seed = self.seed ^ fold(name);
        let state = self.guards.entry(Arc::clone(name)).or_insert_with(|| GuardState::new(spec, now));
        state.guard(name, spec, seed, now)
    }

    /// The budget of a route. Routes with equal budgets share one; a push with other numbers changes them and keeps the
    /// counts.
    fn budget(
        &mut self,
        destination: &Arc<str>,
        policy: api::retry::Budget,
        known: &mut Vec<(api::retry::Budget, Arc<Budget>)>,
        now: Instant,
    ) -> Arc<Budget> {
        if let Some((_, budget)) = known.iter().find(|(other, _)| *other == policy) {
            return Arc::clone(budget);
        }
        let key = (Arc::clone(destination), known.len());
        let budget =
            Arc::clone(self.budgets.entry(key).or_insert_with(|| Arc::new(Budget::new(policy, now))));
        budget.set_policy(policy);
        known.push((policy, Arc::clone(&budget)));
        budget
    }

    /// Forgets what no snapshot has used for a while: a backend that comes back soon is not pardoned.
    fn sweep(&mut self, snapshot: &Snapshot, now: Instant) {
        self.backends.retain(|name, state| state.guard.is_kept(snapshot.clusters.contains_key(name), now));
        let tables = snapshot.tables();
        let used: BTreeSet<&Arc<str>> =
            tables.values().flat_map(|table| table.guards()).map(|guard| &guard.name).collect();
        self.guards.retain(|name, state| state.is_kept(used.contains(name), now));
        self.budgets.retain(|_, budget| Arc::strong_count(budget) > 1);
        self.peers.retain(|_, peer| peer.strong_count() > 0);
    }
}

/// Keeps in `snapshot` what `before` has for a destination that is not all there yet.
fn stay(name: &str, before: &Snapshot, snapshot: &mut Snapshot) {
    let Some((name, destination)) = before.destinations.get_key_value(name) else { return };
    if let Destination::Service(service) = destination {
        for cluster in service.clusters() {
            snapshot.clusters.entry(Arc::clone(cluster.name())).or_insert_with(|| Arc::clone(cluster));
        }
    }
    snapshot.destinations.insert(Arc::clone(name), destination.clone());
}

/// Whether this machine answers for `address`: then the kernel would send to it from that very address. Nothing is sent.
fn is_local(address: IpAddr) -> bool {
    let any: IpAddr = match address {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let source = || {
        let socket = UdpSocket::bind((any, 0))?;
        // Any port will do, since no packet goes there.
        socket.connect((address, 9))?;
        socket.local_addr()
    };
    source().is_ok_and(|source: SocketAddr| source.ip() == address)
}

/// Spreads names over seeds. Nothing hangs on its quality: seeds only keep breakers out of step.
fn fold(name: &str) -> u64 {
    name.bytes().fold(0, |folded: u64, byte| folded.rotate_left(7) ^ u64::from(byte))
}

#[cfg(test)]
mod tests;
