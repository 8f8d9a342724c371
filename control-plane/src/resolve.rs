//! What belongs together: for each service its endpoints, routes and policies; and what refers to nothing. A change is
//! followed to what it touches.

mod addresses;
mod annotations;
mod attach;
mod backing;
mod changes;
mod flaw;
mod pods;
mod protocol;
mod references;
mod referrers;
mod resolver;
mod routes;
mod rules;
mod select;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use weft_api::{
    Object,
    authorization::Authorization,
    kubernetes::{AddressType, Endpoint, EndpointSlice, ObjectReference, ServicePort, ServiceSpec},
    load_balancer::{LoadBalancer, Locality},
    policy::{Policy, WorkloadRef},
    rate_limit::RateLimit,
    workload::WorkloadSpec,
};

use crate::store::{Finding, ObjectKey, ObjectKind, ObjectName, Store};

pub use attach::Policies;
pub use backing::Backing;
pub use pods::{PodPort, PodTarget, PodView};
pub use protocol::Protocol;
pub use resolver::{Changed, Resolver};
pub use routes::{RouteView, Routes};

/// A store whose references are followed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resolved {
    /// Services, with all that their resources are made from.
    pub services: BTreeMap<ObjectName, ServiceView>,
    /// Pods of the mesh, likewise.
    pub pods: BTreeMap<ObjectName, PodView>,
    /// Workloads of this machine, likewise.
    pub workloads: BTreeMap<ObjectName, WorkloadView>,
    /// What is wrong with the objects together, in order.
    pub findings: Arc<[Finding]>,
    /// By which of its `parentRefs` a route has a port.
    pub attached: Arc<BTreeSet<Attachment>>,
}

/// A route, and the index of a parent.
pub type Attachment = (ObjectKey, usize);

/// Everything that the resources of one service are made from, and nothing else: two equal views make the same
/// resources.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceView {
    /// The service.
    pub service: Arc<Object<ServiceSpec>>,
    /// Its endpoints, and who they are.
    pub backing: Arc<Backing>,
    /// Virtual addresses that are its own, with every port of it.
    pub addresses: Vec<SocketAddr>,
    /// Its TCP ports, in the order of the service.
    pub ports: Vec<PortView>,
}

/// A workload of this machine, and what applies to whatever enters it.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkloadView {
    /// The workload.
    pub workload: Arc<Object<WorkloadSpec>>,
    /// What of it.
    pub policies: Entering,
}

/// The policies about what enters one workload, each kind by name. All of them count.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Entering {
    /// Who may enter.
    pub authorizations: Vec<Arc<Object<Policy<Authorization, WorkloadRef>>>>,
    /// How many requests.
    pub rate_limits: Vec<Arc<Object<Policy<RateLimit, WorkloadRef>>>>,
}

/// What applies to one port of a service.
#[derive(Clone, Debug, PartialEq)]
pub struct PortView {
    /// The port.
    pub port: ServicePort,
    /// What is spoken on it.
    pub protocol: Protocol,
    /// Routes that are attached to it.
    pub routes: Routes,
    /// Those that take their place for callers of other namespaces, which have them.
    pub consumers: BTreeMap<String, Routes>,
    /// Policies that are attached to it.
    pub policies: Policies,
    /// How its endpoints are chosen, where a policy says so.
    pub load_balancer: Option<Arc<Object<Policy<LoadBalancer>>>>,
}

/// Follows every reference of `store`, which is alone.
pub fn resolve(store: &Store) -> Resolved {
    let mut resolver = Resolver::default();
    resolver.resolve(store);
    resolver.into_resolved()
}

impl ServiceView {
    /// The workload that an endpoint of `slice` names, if it is known.
    pub fn workload(
        &self,
        slice: &Object<EndpointSlice>,
        target: &ObjectReference,
    ) -> Option<&Object<WorkloadSpec>> {
        let name = references::target_name(target, slice, ObjectKind::Workload)?;
        self.backing.workloads.get(&name).map(AsRef::as_ref)
    }

    /// The name of the pod that an endpoint of `slice` names, and the pod, if it is known.
    pub fn pod(
        &self,
        slice: &Object<EndpointSlice>,
        target: &ObjectReference,
    ) -> Option<(ObjectName, Option<&PodTarget>)> {
        let name = references::target_name(target, slice, ObjectKind::Pod)?;
        let pod = self.backing.pods.get(&name).map(AsRef::as_ref);
        Some((name, pod))
    }

    /// Numbers under which the endpoints of `slice` serve `port`.
    pub fn targets<'a>(
        slice: &'a Object<EndpointSlice>,
        port: &'a ServicePort,
    ) -> impl Iterator<Item = u16> + use<'a> {
        references::targets(slice, &port.name)
    }

    /// Whether endpoints of `port` in the caller's own zone come first: as its policy says, or else the Service, or else
    /// who has looked at the zones of the cluster and has given every endpoint that is ready a hint.
    pub fn locality(&self, port: &PortView) -> Option<Locality> {
        let said = port.load_balancer().and_then(|policy| policy.locality);
        let mut ready =
            self.backing.slices.iter().flat_map(|slice| &slice.spec.endpoints).filter(|one| one.is_ready());
        let is_hinted =
            |endpoint: &Endpoint| endpoint.hints.as_ref().is_some_and(|it| !it.for_zones.is_empty());
        let is_preferred =
            self.service.spec.prefers_zone() || ready.next().is_some_and(is_hinted) && ready.all(is_hinted);
        said.or_else(|| is_preferred.then(Locality::preferred))
    }

    /// The family by which a pod is reached that has addresses of several.
    pub fn family(&self) -> AddressType {
        let spec = &self.service.spec;
        let of_address = || match spec.cluster_ip.parse() {
            Ok(IpAddr::V6(_)) => AddressType::IPv6,
            _ => AddressType::IPv4,
        };
        spec.ip_families.first().copied().unwrap_or_else(of_address)
    }
}

impl PortView {
    /// How its endpoints are chosen, where a policy says so.
    pub fn load_balancer(&self) -> Option<&LoadBalancer> {
        self.load_balancer.as_ref().map(|policy| &policy.spec.settings)
    }
}

#[cfg(test)]
pub(crate) mod tests;
