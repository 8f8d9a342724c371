//! Pods: what stands before each as an endpoint, and how each of the mesh is entered.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use weft_api::{
    Object,
    kubernetes::{Container, EndpointSlice, Pod, Probe, Scheme, ServicePort, ServiceSpec, Transport},
    names,
    ports::Ports,
    workload::Mtls,
};

use super::{
    Entering, ServiceView, annotations::Annotations, protocol::Protocol, references, select::Selected,
};
use crate::store::{Finding, ObjectKind, ObjectName, Reason, Store};

/// Ports of one pod that an annotation can make opaque though nobody else speaks of them: each is a filter chain.
const OPAQUE_PORTS_MAX: usize = 256;
/// Ports of the sidecar itself: nobody is led through it to these.
const OWN_PORTS: [u16; 3] = [names::INBOUND_PORT, names::OUTBOUND_PORT, names::ADMIN_PORT];

/// A pod of the mesh, with all that its resources are made from: two equal views make the same resources.
#[derive(Clone, Debug, PartialEq)]
pub struct PodView {
    /// Who it is, and where its sidecar does not stand.
    pub target: Arc<PodTarget>,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Whether it takes plaintext; `None` as the mesh has it.
    pub mtls: Option<Mtls>,
    /// What applies to whatever enters it.
    pub policies: Entering,
    /// Ports of which something is known. What is spoken on all others, their first bytes say.
    pub ports: BTreeMap<u16, PodPort>,
}

/// What is known of a port of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodPort {
    /// What is spoken there.
    pub protocol: Protocol,
    /// Whether the pod declares it or a Service leads to it: then others may call it by the pod's address.
    pub offered: bool,
    /// Paths that the kubelet asks for, in plaintext.
    pub probes: BTreeSet<String>,
}

/// A pod as an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodTarget {
    /// Its service account.
    pub service_account: String,
    /// Whether it has a sidecar.
    pub meshed: bool,
    /// Ports on which connections do not go through the sidecar.
    pub skipped: Ports,
}

impl PodTarget {
    /// Whether a sidecar answers on `port`.
    pub fn is_meshed_on(&self, port: u16) -> bool {
        self.meshed && port != names::ADMIN_PORT && !self.skipped.contains(port)
    }
}

/// Every pod that has not ended, and what its annotations and those of its namespace say.
pub(super) struct Pods {
    by_name: BTreeMap<ObjectName, Facts>,
    namespaces: BTreeMap<String, Defaults>,
}

struct Facts {
    pod: Arc<Object<Pod>>,
    target: Arc<PodTarget>,
    opaque: Ports,
    mtls: Option<Mtls>,
}

/// What the annotations of a namespace say of its pods and Services.
#[derive(Clone, Default)]
struct Defaults {
    opaque: Option<Ports>,
    mtls: Option<Mtls>,
}

impl Pods {
    pub(super) fn of(store: &Store, findings: &mut Vec<Finding>) -> Self {
        let namespaces = store.namespaces.values().map(|namespace| {
            let annotations = Annotations::of(ObjectKind::Namespace, &namespace.metadata);
            let opaque = annotations.ports(names::ANNOTATION_OPAQUE_PORTS, findings);
            let defaults = Defaults { opaque, mtls: annotations.policy(findings) };
            (namespace.metadata.name.clone(), defaults)
        });
        let namespaces: BTreeMap<_, _> = namespaces.collect();
        let living = store.pods.iter().filter(|(_, pod)| !pod.spec.has_ended());
        let none = Defaults::default();
        let facts = living.map(|(name, pod)| {
            let defaults = namespaces.get(&name.namespace).unwrap_or(&none);
            (name.clone(), facts(pod, defaults, findings))
        });
        let by_name = facts.collect();
        Self { by_name, namespaces }
    }

    /// The pods that the endpoints of `slices` name, if they are known.
    pub(super) fn behind(
        &self,
        slices: &[Arc<Object<EndpointSlice>>],
    ) -> BTreeMap<ObjectName, Arc<PodTarget>> {
        let names = slices.iter().flat_map(|slice| named(slice));
        names.filter_map(|name| self.by_name.get(&name).map(|facts| (name, facts.target.clone()))).collect()
    }

    /// What is spoken on a Service's port, whose endpoints are in `slices`. An annotation that calls it opaque, of the
    /// Service, the namespace or a pod behind it, wins over its `appProtocol`.
    pub(super) fn protocol(
        &self,
        service: &Object<ServiceSpec>,
        port: &ServicePort,
        slices: &[Arc<Object<EndpointSlice>>],
        annotated: Option<&Ports>,
    ) -> Protocol {
        let of_namespace = || self.namespaces.get(&service.metadata.namespace)?.opaque.as_ref();
        let targets = || {
            slices
                .iter()
                .flat_map(|slice| references::targets(slice, &port.name).map(move |number| (slice, number)))
        };
        if annotated.or_else(of_namespace).is_some_and(|ports| ports.contains(port.port))
            || targets().any(|(slice, number)| self.say_opaque(slice, number))
        {
            return Protocol::Opaque;
        }
        let numbers = targets().map(|(_, number)| number).chain([port.port]);
        Protocol::of(port.app_protocol.as_deref(), numbers)
    }

    fn say_opaque(&self, slice: &Object<EndpointSlice>, port: u16) -> bool {
        named(slice).any(|name| self.by_name.get(&name).is_some_and(|facts| facts.opaque.contains(port)))
    }

    /// The pods of the mesh, with what `services` say of their ports and `policies` of what enters.
    pub(super) fn views(
        self,
        services: &BTreeMap<ObjectName, ServiceView>,
        policies: &Selected<'_>,
        findings: &mut Vec<Finding>,
    ) -> BTreeMap<ObjectName, PodView> {
        let mut led = protocols(services);
        let meshed = self.by_name.into_iter().filter(|(_, facts)| facts.target.meshed);
        meshed
            .map(|(name, facts)| {
                let policies = policies.for_workload(&facts.pod.metadata);
                let view = view(facts, led.remove(&name).unwrap_or_default(), policies, findings);
                (name, view)
            })
            .collect()
    }
}

/// The pods that the endpoints of a slice name.
fn named(slice: &Object<EndpointSlice>) -> impl Iterator<Item = ObjectName> {
    let targets = slice.spec.endpoints.iter().filter_map(|endpoint| endpoint.target_ref.as_ref());
    targets.filter_map(|target| references::target_name(target, slice, ObjectKind::Pod))
}

fn facts(pod: &Arc<Object<Pod>>, defaults: &Defaults, findings: &mut Vec<Finding>) -> Facts {
    let annotations = Annotations::of(ObjectKind::Pod, &pod.metadata);
    let opaque = annotations.ports(names::ANNOTATION_OPAQUE_PORTS, findings);
    let skipped = annotations.ports(names::ANNOTATION_SKIP_INBOUND_PORTS, findings);
    let mtls = annotations.policy(findings);
    Facts {
        target: Arc::new(PodTarget {
            service_account: pod.service_account().to_owned(),
            meshed: pod.spec.is_meshed(),
            skipped: skipped.unwrap_or_default(),
        }),
        opaque: opaque.or_else(|| defaults.opaque.clone()).unwrap_or_default(),
        mtls: mtls.or(defaults.mtls),
        pod: pod.clone(),
    }
}

/// What the Services that lead to pods say is spoken on their ports. Of several the first by name counts.
fn protocols(services: &BTreeMap<ObjectName, ServiceView>) -> BTreeMap<ObjectName, BTreeMap<u16, Protocol>> {
    let mut led: BTreeMap<ObjectName, BTreeMap<u16, Protocol>> = BTreeMap::new();
    for view in services.values() {
        for slice in &view.slices {
            let ports: Vec<(u16, Protocol)> = view
                .ports
                .iter()
                .flat_map(|port| {
                    references::targets(slice, &port.port.name).map(|number| (number, port.protocol))
                })
                .collect();
            for name in named(slice) {
                let known = led.entry(name).or_default();
                for (number, protocol) in &ports {
                    known.entry(*number).or_insert(*protocol);
                }
            }
        }
    }
    led
}

fn view(
    facts: Facts,
    led: BTreeMap<u16, Protocol>,
    policies: Entering,
    findings: &mut Vec<Finding>,
) -> PodView {
    let Facts { pod, target, opaque, mtls } = facts;
    let unknown = |number: u16| PodPort {
        protocol: Protocol::of(None, [number]),
        offered: false,
        probes: BTreeSet::new(),
    };
    let mut ports: BTreeMap<u16, PodPort> = led
        .into_iter()
        .map(|(number, protocol)| (number, PodPort { protocol, offered: true, ..unknown(number) }))
        .collect();
    for container in pod.spec.applications() {
        for declared in container.ports.iter().filter(|port| port.protocol == Transport::Tcp) {
            let number = declared.container_port;
            ports.entry(number).or_insert_with(|| unknown(number)).offered = true;
        }
        for (number, path) in container.probes().filter_map(|probe| probed(container, probe)) {
            ports.entry(number).or_insert_with(|| unknown(number)).probes.insert(path);
        }
    }
    let alone = opaque.ranges().iter().cloned().flatten();
    if alone.clone().nth(OPAQUE_PORTS_MAX).is_some() {
        let annotations = Annotations::of(ObjectKind::Pod, &pod.metadata);
        findings.push(annotations.finding(
            names::ANNOTATION_OPAQUE_PORTS,
            Reason::NotSupported,
            format!("names more than {OPAQUE_PORTS_MAX} ports; of those above that, only ports that the pod declares or a Service leads to are opaque"),
            "name the ports that the pod listens on",
        ));
    }
    for number in alone.take(OPAQUE_PORTS_MAX).chain(names::OPAQUE_PORTS) {
        ports.entry(number).or_insert_with(|| unknown(number));
    }
    ports
        .retain(|number, _| *number != 0 && !OWN_PORTS.contains(number) && !target.skipped.contains(*number));
    for (number, port) in &mut ports {
        if opaque.contains(*number) {
            port.protocol = Protocol::Opaque;
        }
    }
    PodView { target, addresses: pod.spec.addresses().collect(), mtls, policies, ports }
}

/// The port and the path by which the kubelet asks, if a sidecar can let it in by these. A probe with TLS cannot be
/// looked into, and one by a connection alone is content with the sidecar's.
fn probed(container: &Container, probe: &Probe) -> Option<(u16, String)> {
    if let Some(health) = &probe.grpc {
        return Some((health.port, names::PATH_GRPC_HEALTH.to_owned()));
    }
    let get = probe.http_get.as_ref().filter(|get| get.scheme == Scheme::Http && get.host.is_empty())?;
    // A fragment is never sent. The kubelet puts a `/` before a path that has none.
    let path = get.path.split('#').next().unwrap_or_default();
    let slash = if path.starts_with('/') { "" } else { "/" };
    Some((container.port(&get.port)?, format!("{slash}{path}")))
}
