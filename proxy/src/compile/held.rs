//! What the control plane has answered, and what it has to be asked next.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use weft_xds::Kind;

use crate::resource::{ClusterSpec, EndpointsSpec, Listener, Resource, Routes, ServiceSpec};

/// What the control plane has answered: `None` = there is no such resource; no entry = no answer yet.
#[derive(Default)]
pub struct Held {
    pub(super) listeners: BTreeMap<String, Option<Listener>>,
    pub(super) routes: BTreeMap<String, Option<Arc<Routes>>>,
    pub(super) clusters: BTreeMap<String, Option<Arc<ClusterSpec>>>,
    pub(super) endpoints: BTreeMap<String, Option<Arc<EndpointsSpec>>>,
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

    /// Whether all is known of a backend that there is to know; also that it does not exist.
    pub fn is_answered(&self, cluster: &str) -> bool {
        match self.clusters.get(cluster) {
            Some(Some(_)) => self.endpoints.contains_key(cluster),
            Some(None) => true,
            None => false,
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
            Kind::Routes => self
                .services()
                .filter_map(|service| service.routes.as_ref())
                .map(ToString::to_string)
                .collect(),
            Kind::Cluster => {
                let of_routes = self.routes.values().flatten().flat_map(|routes| routes.clusters());
                let of_bytes = self.services().flat_map(ServiceSpec::clusters);
                of_routes.chain(of_bytes).map(ToString::to_string).collect()
            }
            Kind::Endpoints => self
                .clusters
                .iter()
                .filter(|(_, spec)| spec.is_some())
                .map(|(name, _)| name.clone())
                .collect(),
            Kind::Listener | Kind::Secret => BTreeSet::new(),
        }
    }

    fn services(&self) -> impl Iterator<Item = &ServiceSpec> {
        self.listeners.values().flatten().filter_map(|listener| match listener {
            Listener::Service(service) => Some(service),
            Listener::Inbound(_) => None,
        })
    }
}
