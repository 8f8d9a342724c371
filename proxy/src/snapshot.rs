//! Everything a request may ask, immutable. A change makes a new snapshot; a request keeps the one it began with.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use crate::{
    authorize::Authorization,
    cluster::Cluster,
    guard::Guard,
    http::serve::Version,
    rate_limit::RateLimits,
    route::{Backends, Table},
    server_names::ServerNames,
};

/// What stands now.
#[derive(Default)]
pub struct Snapshot {
    /// By listener name. Absent: no answer from the control plane yet.
    pub destinations: HashMap<Arc<str>, Destination>,
    /// How the workload is entered. Without an answer from the control plane: not at all.
    pub inbound: Arc<Ports>,
    /// Every backend that a destination uses.
    pub clusters: BTreeMap<Arc<str>, Arc<Cluster>>,
}

impl Snapshot {
    /// Every service port once, whatever the number of its listeners.
    pub fn tables(&self) -> BTreeMap<&str, &Table> {
        let tables = self.destinations.values().filter_map(|destination| match destination {
            Destination::Service(service) => service.routes.as_deref(),
            Destination::Unknown => None,
        });
        tables.map(|table| (table.name.as_ref(), table)).collect()
    }

    /// Every guard once: those of backends, and those of single routes, which have names of their own.
    pub fn guards(&self) -> BTreeMap<&str, &Arc<Guard>> {
        let of_routes = self.tables().into_values().flat_map(Table::guards);
        let of_backends = self.clusters.values().map(|cluster| &cluster.guard);
        of_routes.chain(of_backends).map(|guard| (guard.name.as_ref(), guard)).collect()
    }
}

/// What stands behind an address, or an outbound listener.
#[derive(Clone)]
pub enum Destination {
    /// A service port.
    Service(Service),
    /// The control plane knows no such name.
    Unknown,
}

/// A service port. What it speaks decides what it has: at least one of the three.
#[derive(Clone)]
pub struct Service {
    /// What becomes of requests. `None` = HTTP is not looked for.
    pub routes: Option<Arc<Table>>,
    /// Whether `CONNECT` is one of them.
    pub connect: bool,
    /// Who takes bytes that are no HTTP. `None` = they are refused.
    pub opaque: Option<Arc<Opaque>>,
    /// Who takes the application's own TLS, by the name that it calls; no names = whoever takes other bytes.
    pub tls: ServerNames<Arc<Opaque>>,
}

/// Where bytes go that nobody looks at.
pub struct Opaque {
    /// The service port that is called: `<namespace>/<service>:<port>`.
    pub name: Arc<str>,
    /// The route that says so, if one does.
    pub route: Option<Arc<str>>,
    /// Who shares the connections.
    pub backends: Backends,
}

impl Service {
    /// Every backend that exists.
    pub fn clusters(&self) -> impl Iterator<Item = &Arc<Cluster>> {
        let of_routes = self.routes.iter().flat_map(|routes| routes.clusters());
        let of_bytes = self.opaque.iter().chain(self.tls.values());
        of_routes.chain(of_bytes.flat_map(|opaque| opaque.backends.clusters()))
    }
}

/// How the ports of the workload are entered.
#[derive(Debug, Default)]
pub struct Ports {
    /// Those with a rule of their own.
    pub named: HashMap<u16, Arc<Port>>,
    /// All others. `None` = nobody enters there.
    pub others: Option<Arc<Port>>,
}

/// How one port is entered: by HTTP, by opaque bytes, or by whichever of them the first bytes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// `None` = HTTP is not looked for.
    pub http: Option<HttpPort>,
    /// `None` = bytes that are no HTTP are refused.
    pub opaque: Option<OpaquePort>,
}

/// How HTTP enters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpPort {
    /// Whether callers without mTLS are let in.
    pub plaintext: bool,
    /// Which HTTP the application was said to speak.
    pub version: Version,
    /// Whether `CONNECT` is passed on to it.
    pub connect: bool,
    /// Paths that `GET` without mTLS may ask for all the same, and a gRPC health check by `POST`: probes of the kubelet.
    pub probes: Vec<String>,
    /// Who may enter; `None` = whoever is let in so far.
    pub authorization: Option<Arc<Authorization>>,
    /// How many requests; `None` = any number.
    pub rate_limits: Option<Arc<RateLimits>>,
}

/// How opaque bytes enter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpaquePort {
    /// Whether callers without mTLS are let in.
    pub plaintext: bool,
    /// Who may enter; `None` = whoever is let in so far.
    pub authorization: Option<Arc<Authorization>>,
}

impl Port {
    /// Who may send requests. Where none are looked for, another sidecar may know better, and sends as who sends bytes.
    pub fn authorization_of_requests(&self) -> Option<&Authorization> {
        match (&self.http, &self.opaque) {
            (Some(http), _) => http.authorization.as_deref(),
            (None, opaque) => opaque.as_ref()?.authorization.as_deref(),
        }
    }

    /// How many requests may enter.
    pub fn rate_limits(&self) -> Option<&RateLimits> {
        self.http.as_ref()?.rate_limits.as_deref()
    }

    /// Who may send bytes that nobody looks at. Where none are taken any more, by the rules for requests.
    pub fn authorization_of_bytes(&self) -> Option<&Authorization> {
        match (&self.opaque, &self.http) {
            (Some(opaque), _) => opaque.authorization.as_deref(),
            (None, http) => http.as_ref()?.authorization.as_deref(),
        }
    }
}

impl Ports {
    /// The rule for `port`.
    pub fn get(&self, port: u16) -> Option<&Arc<Port>> {
        self.named.get(&port).or(self.others.as_ref())
    }
}

/// Holds the present snapshot for any number of readers.
pub struct Snapshots {
    current: ArcSwap<Snapshot>,
    changes: watch::Sender<()>,
}

impl Default for Snapshots {
    fn default() -> Self {
        Self { current: ArcSwap::default(), changes: watch::Sender::new(()) }
    }
}

impl Snapshots {
    /// The present one.
    pub fn load(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// From now on, this one.
    pub fn store(&self, snapshot: Snapshot) {
        self.current.store(Arc::new(snapshot));
        self.changes.send_replace(());
    }

    /// Waits until `find` finds something in the present snapshot or a later one.
    pub async fn wait_for<T>(&self, find: impl Fn(&Snapshot) -> Option<T>) -> T {
        let mut changes = self.changes.subscribe();
        loop {
            if let Some(found) = find(&self.current.load()) {
                return found;
            }
            // The sender lives in `self`, so this cannot fail.
            let _ = changes.changed().await;
        }
    }
}

#[cfg(test)]
mod tests;
