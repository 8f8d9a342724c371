//! `Pod` and `Namespace`, as far as a mesh looks at them. API servers know hundreds of fields more: what is not named
//! here is passed over.

use std::net::IpAddr;

use serde::{Deserialize, Deserializer, Serialize};

use super::Transport;
use crate::{Object, names};

/// A `Pod` (v1), less its metadata.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Pod {
    /// What runs in it.
    pub spec: PodSpec,
    /// Where it runs, and how far it has come.
    pub status: PodStatus,
}

/// `spec` of a `Pod`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodSpec {
    /// Containers.
    pub containers: Vec<Container>,
    /// Containers that begin before them. Some go on running: see [`Container::is_sidecar`].
    pub init_containers: Vec<Container>,
    /// Service account. API servers fill it in; empty counts as `default`, as it does there.
    pub service_account_name: String,
    /// Whether it shares the network of its node.
    pub host_network: bool,
}

/// `status` of a `Pod`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodStatus {
    /// How far it has come.
    pub phase: Phase,
    /// Its addresses, at most one for each family.
    #[serde(rename = "podIPs")]
    pub pod_ips: Vec<PodIp>,
}

/// An address of a pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodIp {
    /// The address. Empty until there is one.
    #[serde(default)]
    pub ip: String,
}

/// How far a pod has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Not all containers have been started.
    #[default]
    Pending,
    /// It runs.
    Running,
    /// All containers have ended, and well.
    Succeeded,
    /// All containers have ended.
    Failed,
    /// Its node does not answer, or a later Kubernetes says something that is not known here.
    #[serde(other)]
    Unknown,
}

/// A container of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Container {
    /// Name.
    pub name: String,
    /// Ports that it says it listens on. It may listen on others.
    pub ports: Vec<ContainerPort>,
    /// `Always` makes an init container a sidecar.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restart_policy: Option<String>,
    /// Asked by the kubelet whether it must be restarted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub liveness_probe: Option<Probe>,
    /// Asked by the kubelet whether it takes traffic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub readiness_probe: Option<Probe>,
    /// Asked by the kubelet whether it has started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub startup_probe: Option<Probe>,
}

/// A port of a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerPort {
    /// Name by which probes may speak of it.
    #[serde(default)]
    pub name: String,
    /// Number.
    pub container_port: u16,
    /// Transport.
    #[serde(default)]
    pub protocol: Transport,
}

/// How the kubelet asks a container. A probe of none of these runs a command inside of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Probe {
    /// By a `GET` request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_get: Option<HttpGet>,
    /// By a connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp_socket: Option<TcpSocket>,
    /// By gRPC's health check.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grpc: Option<GrpcHealth>,
}

/// A `GET` request of the kubelet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpGet {
    /// Path, maybe with a query. Empty counts as `/`.
    #[serde(default)]
    pub path: String,
    /// Port.
    pub port: PortRef,
    /// Host to ask instead of the pod.
    #[serde(default)]
    pub host: String,
    /// With or without TLS.
    #[serde(default)]
    pub scheme: Scheme,
}

/// With or without TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Scheme {
    /// Without.
    #[default]
    Http,
    /// With.
    Https,
}

/// A connection of the kubelet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TcpSocket {
    /// Port.
    pub port: PortRef,
}

/// A gRPC health check of the kubelet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrpcHealth {
    /// Port. It has no name here.
    pub port: u16,
}

/// A port by number, or by the name that the container gives it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum PortRef {
    /// Its number.
    Number(u16),
    /// Its name.
    Name(String),
}

// By hand, since an untagged enum would say of a wrong value only that no variant fits.
impl<'de> Deserialize<'de> for PortRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl serde::de::Visitor<'_> for Visitor {
            type Value = PortRef;

            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("a port by number, 1 to 65535, or by name")
            }

            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<PortRef, E> {
                u16::try_from(number)
                    .map(PortRef::Number)
                    .map_err(|_| E::invalid_value(serde::de::Unexpected::Unsigned(number), &self))
            }

            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<PortRef, E> {
                u64::try_from(number)
                    .map_err(|_| E::invalid_value(serde::de::Unexpected::Signed(number), &self))
                    .and_then(|number| self.visit_u64(number))
            }

            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<PortRef, E> {
                // API servers take a number in quotes for a number.
                Ok(name.parse().map_or_else(|_| PortRef::Name(name.to_owned()), PortRef::Number))
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

impl Object<Pod> {
    /// The service account that it runs as.
    pub fn service_account(&self) -> &str {
        match self.spec.spec.service_account_name.as_str() {
            "" => "default",
            account => account,
        }
    }
}

impl Pod {
    /// Whether a sidecar of the mesh stands before it. On the network of a node none does, whatever the pod holds.
    pub fn is_meshed(&self) -> bool {
        let mut running = self.running();
        !self.spec.host_network && running.any(|container| container.name == names::CONTAINER_PROXY)
    }

    /// Whether it has ended: its addresses may be somebody else's by now.
    pub fn has_ended(&self) -> bool {
        matches!(self.status.phase, Phase::Succeeded | Phase::Failed)
    }

    /// Its addresses, as far as they are known.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.status.pod_ips.iter().filter_map(|address| address.ip.parse().ok())
    }

    /// The application's containers that run for as long as the pod does: those of the mesh are left out.
    pub fn applications(&self) -> impl Iterator<Item = &Container> {
        let ours = [names::CONTAINER_PROXY, names::CONTAINER_LOGS];
        self.running().filter(move |container| !ours.contains(&container.name.as_str()))
    }

    fn running(&self) -> impl Iterator<Item = &Container> {
        let sidecars = self.spec.init_containers.iter().filter(|container| container.is_sidecar());
        sidecars.chain(&self.spec.containers)
    }
}

impl Container {
    /// Whether it goes on running though it stands among the init containers (a native sidecar).
    pub fn is_sidecar(&self) -> bool {
        self.restart_policy.as_deref() == Some("Always")
    }

    /// The probes that the kubelet asks.
    pub fn probes(&self) -> impl Iterator<Item = &Probe> {
        [&self.liveness_probe, &self.readiness_probe, &self.startup_probe].into_iter().flatten()
    }

    /// The TCP port that `port` means in this container; `None` if the container has none of that name.
    pub fn port(&self, port: &PortRef) -> Option<u16> {
        match port {
            PortRef::Number(number) => Some(*number),
            PortRef::Name(name) => {
                let named = |port: &&ContainerPort| port.name == *name && port.protocol == Transport::Tcp;
                self.ports.iter().find(named).map(|port| port.container_port)
            }
        }
    }
}

/// A `Namespace` (v1): all that counts of it is metadata.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Namespace {}

#[cfg(test)]
mod tests;
