//! From a `Workload` that somebody wrote to what its sidecar is told at start: pure.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use weft_api::{
    Duration, Object,
    bootstrap::{Bootstrap, ControlPlane, Inbound, MeshHttp, Outbound, Workload},
    names,
    object::DEFAULT_NAMESPACE,
    workload::WorkloadSpec,
};

/// How long a sidecar of this machine may take to finish what is in flight.
const DRAIN: Duration = Duration::from_secs(5);

/// What all sidecars of one mesh share.
#[derive(Clone, Debug)]
pub(crate) struct Surroundings {
    /// Where the control plane serves xDS.
    pub(crate) control_plane: SocketAddr,
    /// PEM file with the roots to trust.
    pub(crate) trust_bundle: PathBuf,
}

/// A sidecar that shall run. Two that are equal need no restart.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sidecar {
    /// What it is told at start.
    pub(crate) bootstrap: Bootstrap,
}

/// One listener, as people are told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listener {
    /// Where.
    pub(crate) address: SocketAddr,
    /// What it is for.
    pub(crate) purpose: String,
    /// The field of the `Workload` to change if the address is not free.
    pub(crate) field: String,
}

impl Sidecar {
    /// The sidecar of `workload`. `token` is the file that its token is in.
    pub(crate) fn new(workload: &Object<WorkloadSpec>, token: &Path, surroundings: &Surroundings) -> Self {
        let (metadata, spec) = (&workload.metadata, &workload.spec);
        let outbound = spec.outbound.iter().map(|outbound| {
            let namespace = outbound.namespace.as_ref().unwrap_or(&metadata.namespace);
            let target = format!("{}.{namespace}.svc.cluster.local:{}", outbound.service, outbound.port);
            Outbound { listen: outbound.listen, target }
        });
        let inbound = spec.inbound.iter().map(|inbound| {
            let listen = SocketAddr::new(inbound.address, inbound.port);
            Inbound { listen, app: inbound.app }
        });
        let trust_domain = names::DEFAULT_TRUST_DOMAIN;
        let (namespace, account) = (names::SYSTEM_NAMESPACE, names::CONTROL_PLANE_ACCOUNT);
        Self {
            bootstrap: Bootstrap {
                workload: Workload {
                    namespace: metadata.namespace.clone(),
                    name: metadata.name.clone(),
                    service_account: workload.service_account().to_owned(),
                    // Workloads of one service have names of their own, and share an account.
                    service: None,
                    zone: spec.zone.clone(),
                },
                trust_domain: trust_domain.to_owned(),
                control_plane: ControlPlane {
                    address: surroundings.control_plane.to_string(),
                    identity: format!("spiffe://{trust_domain}/ns/{namespace}/sa/{account}"),
                    trust_bundle: surroundings.trust_bundle.clone(),
                    token: token.to_owned(),
                },
                admin: spec.admin,
                inbound: inbound.collect(),
                outbound: outbound.collect(),
                transparent: None,
                // Several sidecars share this machine with what they stand beside.
                workers: Some(1),
                memory_limit: spec.memory_limit,
                mesh_http: MeshHttp::default(),
                access_log: spec.access_log,
                tracing: spec.tracing.clone(),
                drain: DRAIN,
            },
        }
    }

    /// The name of its process; the namespace that everybody uses is not mentioned.
    pub(crate) fn process(&self) -> String {
        let Workload { namespace, name, .. } = &self.bootstrap.workload;
        if namespace == DEFAULT_NAMESPACE {
            format!("{name}-proxy")
        } else {
            format!("{namespace}.{name}-proxy")
        }
    }

    /// Every address that it listens on.
    pub(crate) fn listeners(&self) -> Vec<Listener> {
        let Bootstrap { inbound, outbound, admin, .. } = &self.bootstrap;
        let inbound = inbound.iter().enumerate().map(|(index, inbound)| Listener {
            address: inbound.listen,
            purpose: format!("leads to {}", inbound.app),
            field: format!("spec.inbound[{index}].port"),
        });
        let outbound = outbound.iter().enumerate().map(|(index, outbound)| Listener {
            address: outbound.listen,
            purpose: format!("leads to {}", outbound.target),
            field: format!("spec.outbound[{index}].listen"),
        });
        let admin = Listener {
            address: *admin,
            purpose: "metrics and health".to_owned(),
            field: "spec.admin".to_owned(),
        };
        inbound.chain(outbound).chain([admin]).collect()
    }
}

#[cfg(test)]
mod tests;
