//! Everything a request may ask, immutable. A change makes a new snapshot; a request keeps the one it began with.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use crate::{
    breaker::Limits, cluster::Cluster, guard::Guard, http::serve::Version, route::Table, upstream::Peer,
};

/// What stands now.
#[derive(Default)]
pub struct Snapshot {
    /// By listener name. Absent: no answer from the control plane yet.
    pub destinations: HashMap<Arc<str>, Destination>,
    /// By port. Absent: no answer from the control plane yet.
    pub inbound: HashMap<u16, Inbound>,
    /// Every backend that a destination uses.
    pub clusters: BTreeMap<Arc<str>, Arc<Cluster>>,
}

impl Snapshot {
    /// Every service port once, whatever the number of its listeners.
    pub fn tables(&self) -> BTreeMap<&str, &Table> {
        let tables = self.destinations.values().filter_map(|destination| match destination {
            Destination::Service(table) => Some((table.name.as_ref(), table.as_ref())),
            Destination::Unknown => None,
        });
        tables.collect()
    }

    /// Every guard once: those of backends, and those of single routes, which have names of their own.
    pub fn guards(&self) -> BTreeMap<&str, &Arc<Guard>> {
        let of_routes = self.tables().into_values().flat_map(Table::guards);
        let of_backends = self.clusters.values().map(|cluster| &cluster.guard);
        of_routes.chain(of_backends).map(|guard| (guard.name.as_ref(), guard)).collect()
    }
}

/// What stands behind an outbound listener.
#[derive(Clone)]
pub enum Destination {
    /// A service port.
    Service(Arc<Table>),
    /// The control plane knows no such name.
    Unknown,
}

/// How a port of the local application is entered.
#[derive(Clone)]
pub struct Inbound {
    /// Whether callers without mTLS are let in.
    pub plaintext: bool,
    /// Which HTTP the application was said to speak.
    pub version: Version,
    /// The application over HTTP/1.1.
    pub http1: Arc<Peer>,
    /// The application over HTTP/2 with prior knowledge.
    pub http2: Arc<Peer>,
    /// Bounds on what is under way to it.
    pub limits: Limits,
}

impl Inbound {
    /// The application as it was said to speak.
    pub fn app(&self) -> &Arc<Peer> {
        match self.version {
            Version::Http1 => &self.http1,
            Version::Http2 => &self.http2,
        }
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
