//! What belongs together: for each service its endpoints, routes and policies; and what refers to nothing.

mod addresses;
mod annotations;
mod attach;
mod flaw;
mod pods;
mod protocol;
mod references;
mod routes;
mod select;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use weft_api::{
    Object,
    authorization::Authorization,
    kubernetes::{
        AddressType, EndpointSlice, LABEL_SERVICE_NAME, ObjectReference, ServicePort, ServiceSpec, Transport,
    },
    names,
    policy::{Policy, WorkloadRef},
    rate_limit::RateLimit,
    workload::WorkloadSpec,
};

use crate::store::{Finding, ObjectKey, ObjectKind, ObjectName, Store};

use annotations::Annotations;
use attach::Attached;
use pods::Pods;
use routes::AttachedRoutes;
use select::Selected;

pub use attach::Policies;
pub use pods::{PodPort, PodTarget, PodView};
pub use protocol::Protocol;
pub use routes::{RouteView, Routes};

/// A store whose references are followed.
#[derive(Clone, Debug, Default)]
pub struct Resolved {
    /// Services, with all that their resources are made from.
    pub services: BTreeMap<ObjectName, ServiceView>,
    /// Pods of the mesh, likewise.
    pub pods: BTreeMap<ObjectName, PodView>,
    /// Workloads of this machine, likewise.
    pub workloads: BTreeMap<ObjectName, WorkloadView>,
    /// What is wrong with the objects together, in order.
    pub findings: Vec<Finding>,
    /// By which of its `parentRefs` a route has a port.
    pub attached: BTreeSet<Attachment>,
}

/// A route, and the index of a parent.
pub type Attachment = (ObjectKey, usize);

/// Everything that the resources of one service are made from, and nothing else: two equal views make the same
/// resources.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceView {
    /// The service.
    pub service: Arc<Object<ServiceSpec>>,
    /// Its endpoints.
    pub slices: Vec<Arc<Object<EndpointSlice>>>,
    /// The workloads that its endpoints name.
    pub workloads: BTreeMap<ObjectName, Arc<Object<WorkloadSpec>>>,
    /// The pods that its endpoints name.
    pub pods: BTreeMap<ObjectName, Arc<PodTarget>>,
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
}

/// Follows every reference of `store`.
pub fn resolve(store: &Store) -> Resolved {
    let mut findings = references::check(store);
    let attached = Attached::of(store, &mut findings);
    let selected = Selected::of(store, &mut findings);
    let mut addresses = addresses::assign(store, &mut findings);
    let pods = Pods::of(store, &mut findings);
    let slices = slices_by_service(store);
    let routes = AttachedRoutes::of(store);
    let mut by_parent = BTreeSet::new();
    let mut services = BTreeMap::new();
    for (name, service) in &store.services {
        let slices = slices.get(name).cloned().unwrap_or_default();
        let annotations = Annotations::of(ObjectKind::Service, &service.metadata);
        let opaque = annotations.ports(names::ANNOTATION_OPAQUE_PORTS, &mut findings);
        let ports = service.spec.ports.iter().filter(|port| port.protocol == Transport::Tcp);
        let namespaces = routes.namespaces(name);
        let ports = ports.map(|port| {
            let mut routes_of = |namespace: &str| {
                routes.to_port(namespace, service, port, &attached, &mut findings, &mut by_parent)
            };
            let others = namespaces.iter().filter(|namespace| **namespace != name.namespace);
            let consumers = others.map(|namespace| ((*namespace).to_owned(), routes_of(namespace)));
            PortView {
                consumers: consumers.filter(|(_, routes)| !routes.is_empty()).collect(),
                routes: routes_of(&name.namespace),
                port: port.clone(),
                protocol: pods.protocol(service, port, &slices, opaque.as_ref()),
                policies: attached.to_port(name, port),
            }
        });
        let view = ServiceView {
            workloads: workloads_behind(store, &slices),
            addresses: addresses.remove(name).unwrap_or_default(),
            ports: ports.collect(),
            pods: pods.behind(&slices),
            service: service.clone(),
            slices,
        };
        services.insert(name.clone(), view);
    }
    let pods = pods.views(&services, &selected, &mut findings);
    let workloads = store.workloads.iter().map(|(name, workload)| {
        let policies = selected.for_workload(&workload.metadata);
        (name.clone(), WorkloadView { workload: workload.clone(), policies })
    });
    let workloads = workloads.collect();
    findings.sort();
    Resolved { services, pods, workloads, findings, attached: by_parent }
}

fn slices_by_service(store: &Store) -> BTreeMap<ObjectName, Vec<Arc<Object<EndpointSlice>>>> {
    let mut by_service: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for slice in store.endpoint_slices.values() {
        if let Some(service) = slice.metadata.labels.get(LABEL_SERVICE_NAME) {
            let service = ObjectName::new(&slice.metadata.namespace, service);
            by_service.entry(service).or_default().push(slice.clone());
        }
    }
    by_service
}

fn workloads_behind(
    store: &Store,
    slices: &[Arc<Object<EndpointSlice>>],
) -> BTreeMap<ObjectName, Arc<Object<WorkloadSpec>>> {
    let mut workloads = BTreeMap::new();
    for slice in slices {
        for target in slice.spec.endpoints.iter().filter_map(|endpoint| endpoint.target_ref.as_ref()) {
            let name = references::target_name(target, slice, ObjectKind::Workload);
            if let Some(workload) = name.as_ref().and_then(|name| store.workloads.get(name)) {
                workloads.extend(name.map(|name| (name, workload.clone())));
            }
        }
    }
    workloads
}

impl ServiceView {
    /// The workload that an endpoint of `slice` names, if it is known.
    pub fn workload(
        &self,
        slice: &Object<EndpointSlice>,
        target: &ObjectReference,
    ) -> Option<&Object<WorkloadSpec>> {
        let name = references::target_name(target, slice, ObjectKind::Workload)?;
        self.workloads.get(&name).map(AsRef::as_ref)
    }

    /// The name of the pod that an endpoint of `slice` names, and the pod, if it is known.
    pub fn pod(
        &self,
        slice: &Object<EndpointSlice>,
        target: &ObjectReference,
    ) -> Option<(ObjectName, Option<&PodTarget>)> {
        let name = references::target_name(target, slice, ObjectKind::Pod)?;
        let pod = self.pods.get(&name).map(AsRef::as_ref);
        Some((name, pod))
    }

    /// Numbers under which the endpoints of `slice` serve `port`.
    pub fn targets<'a>(
        slice: &'a Object<EndpointSlice>,
        port: &'a ServicePort,
    ) -> impl Iterator<Item = u16> + use<'a> {
        references::targets(slice, &port.name)
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
