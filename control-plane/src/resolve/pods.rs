//! Pods: what stands before each as an endpoint, and how each of the mesh is entered.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use weft_api::{
    Object,
    kubernetes::{Container, Pod, Probe, Scheme, Transport},
    names,
    ports::Ports,
    workload::Mtls,
};

use super::{
    Entering,
    annotations::{Annotations, Defaults},
    protocol::Protocol,
};
use crate::store::{Finding, ObjectKind, ObjectName, Reason};

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

/// Every pod that has not ended.
pub(super) type Pods = BTreeMap<ObjectName, Facts>;

/// What a pod and its namespace say of it.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) pod: Arc<Object<Pod>>,
    pub(super) target: Arc<PodTarget>,
    /// Ports on which nobody looks at bytes.
    pub(super) opaque: Ports,
    mtls: Option<Mtls>,
    /// What is wrong with that.
    pub(super) findings: Vec<Finding>,
}

impl Facts {
    /// Of a pod in whose namespace these are the defaults; `None` if it has ended.
    pub(super) fn of(pod: &Arc<Object<Pod>>, defaults: &Defaults) -> Option<Self> {
        if pod.spec.has_ended() {
            return None;
        }
        let mut findings = Vec::new();
        let annotations = Annotations::of(ObjectKind::Pod, &pod.metadata);
        let opaque = annotations.ports(names::ANNOTATION_OPAQUE_PORTS, &mut findings);
        let skipped = annotations.ports(names::ANNOTATION_SKIP_INBOUND_PORTS, &mut findings);
        let mtls = annotations.policy(&mut findings);
        Some(Self {
            target: Arc::new(PodTarget {
                service_account: pod.service_account().to_owned(),
                meshed: pod.spec.is_meshed(),
                skipped: skipped.unwrap_or_default(),
            }),
            opaque: opaque.or_else(|| defaults.opaque.clone()).unwrap_or_default(),
            mtls: mtls.or(defaults.mtls),
            pod: pod.clone(),
            findings,
        })
    }
}

/// A pod of the mesh to which Services have `led` so far as they say what is spoken on its ports, and about which there
/// are these `policies`.
pub(super) fn view(
    facts: &Facts,
    led: BTreeMap<u16, Protocol>,
    policies: Entering,
    findings: &mut Vec<Finding>,
) -> PodView {
    let Facts { pod, target, opaque, mtls, .. } = facts;
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
    PodView {
        target: target.clone(),
        addresses: pod.spec.addresses().collect(),
        mtls: *mtls,
        policies,
        ports,
    }
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
