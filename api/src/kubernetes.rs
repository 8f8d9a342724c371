//! The kinds of Kubernetes that say what a service is, `Service` and `EndpointSlice`, and where it runs, `Pod` and
//! `Namespace`.
//!
//! Of the first two, fields that the schema has and nothing here uses are accepted; all others are refused, so that a
//! typing error is not silence.

mod pod;

use std::net::IpAddr;

use serde::{Deserialize, Serialize, de::IgnoredAny};

pub use pod::{
    Container, ContainerPort, GrpcHealth, HttpGet, Namespace, Phase, Pod, PodIp, PodSpec, PodStatus, PortRef,
    Probe, Scheme, TcpSocket,
};

/// API group and version of `Service`, `Pod` and `Namespace`.
pub const CORE_API_VERSION: &str = "v1";
/// API group and version of `EndpointSlice`.
pub const DISCOVERY_API_VERSION: &str = "discovery.k8s.io/v1";
/// Label by which an `EndpointSlice` says whose endpoints it holds.
pub const LABEL_SERVICE_NAME: &str = "kubernetes.io/service-name";

/// `spec` of a `Service` (v1).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ServiceSpec {
    /// Ports that it offers.
    pub ports: Vec<ServicePort>,
    /// First address; `None` as text, or empty, for a headless service.
    #[serde(rename = "clusterIP")]
    pub cluster_ip: String,
    /// All addresses, one for each family.
    #[serde(rename = "clusterIPs")]
    pub cluster_ips: Vec<String>,
    /// How it is exposed.
    #[serde(rename = "type")]
    pub exposure: Exposure,
    /// Families of its addresses, the preferred one first; of a headless service too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ip_families: Vec<AddressType>,
    /// Which of its endpoints come first, in a word. One that is not known yet says nothing, as the API demands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traffic_distribution: Option<String>,
    #[serde(skip_serializing)]
    allocate_load_balancer_node_ports: IgnoredAny,
    #[serde(skip_serializing, rename = "externalIPs")]
    external_ips: IgnoredAny,
    #[serde(skip_serializing)]
    external_name: IgnoredAny,
    #[serde(skip_serializing)]
    external_traffic_policy: IgnoredAny,
    #[serde(skip_serializing)]
    health_check_node_port: IgnoredAny,
    #[serde(skip_serializing)]
    internal_traffic_policy: IgnoredAny,
    #[serde(skip_serializing)]
    ip_family_policy: IgnoredAny,
    #[serde(skip_serializing)]
    load_balancer_class: IgnoredAny,
    #[serde(skip_serializing, rename = "loadBalancerIP")]
    load_balancer_ip: IgnoredAny,
    #[serde(skip_serializing)]
    load_balancer_source_ranges: IgnoredAny,
    #[serde(skip_serializing)]
    publish_not_ready_addresses: IgnoredAny,
    #[serde(skip_serializing)]
    selector: IgnoredAny,
    #[serde(skip_serializing)]
    session_affinity: IgnoredAny,
    #[serde(skip_serializing)]
    session_affinity_config: IgnoredAny,
}

impl ServiceSpec {
    /// Whether it has no address of its own, so that its endpoints are called by theirs. One whose address nobody has
    /// said, as in files, is called by its name.
    pub fn is_headless(&self) -> bool {
        [&self.cluster_ip].into_iter().chain(&self.cluster_ips).any(|text| text == "None")
    }

    /// The virtual addresses; none for a headless service, and none that is not an address.
    pub fn addresses(&self) -> Vec<IpAddr> {
        let mut addresses: Vec<IpAddr> =
            self.cluster_ips.iter().chain([&self.cluster_ip]).filter_map(|text| text.parse().ok()).collect();
        addresses.sort_unstable();
        addresses.dedup();
        addresses
    }

    /// Whether endpoints of the caller's zone come first. Those of its node are among them: nodes are not told apart.
    pub fn prefers_zone(&self) -> bool {
        let preference = self.traffic_distribution.as_deref();
        matches!(preference, Some("PreferSameZone" | "PreferClose" | "PreferSameNode"))
    }
}

/// How a `Service` is exposed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exposure {
    /// Within the cluster.
    #[default]
    ClusterIP,
    /// Also on a port of each node.
    NodePort,
    /// Also by a load balancer outside.
    LoadBalancer,
    /// A DNS alias of a name outside: it has no endpoints.
    ExternalName,
}

/// A port of a `Service`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServicePort {
    /// Name; empty only where there is a single port.
    #[serde(default)]
    pub name: String,
    /// Number.
    pub port: u16,
    /// Transport.
    #[serde(default)]
    pub protocol: Transport,
    /// What is spoken on it, such as `http` or `kubernetes.io/h2c`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_protocol: Option<String>,
    #[serde(default, skip_serializing)]
    target_port: IgnoredAny,
    #[serde(default, skip_serializing)]
    node_port: IgnoredAny,
}

/// Transport of a port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Transport {
    /// TCP: the only one that a mesh carries.
    #[default]
    #[serde(rename = "TCP")]
    Tcp,
    /// UDP.
    #[serde(rename = "UDP")]
    Udp,
    /// SCTP.
    #[serde(rename = "SCTP")]
    Sctp,
}

/// An `EndpointSlice` (discovery.k8s.io/v1), which has no `spec`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EndpointSlice {
    /// Family of all its addresses.
    pub address_type: AddressType,
    /// Where the service runs.
    #[serde(default)]
    pub endpoints: Vec<Endpoint>,
    /// Ports that every endpoint of this slice serves.
    #[serde(default)]
    pub ports: Vec<EndpointPort>,
}

/// Family of the addresses of a slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AddressType {
    /// IPv4.
    IPv4,
    /// IPv6.
    IPv6,
    /// A DNS name.
    #[serde(rename = "FQDN")]
    Fqdn,
}

/// One endpoint of a slice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Endpoint {
    /// Its addresses. They are interchangeable, so only the first is used, as the API demands.
    pub addresses: Vec<String>,
    /// Whether it takes traffic.
    #[serde(default)]
    pub conditions: Conditions,
    /// What runs there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_ref: Option<ObjectReference>,
    /// Zone that it stands in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// For whom it is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hints: Option<Hints>,
    #[serde(default, skip_serializing)]
    deprecated_topology: IgnoredAny,
    #[serde(default, skip_serializing)]
    hostname: IgnoredAny,
    #[serde(default, skip_serializing)]
    node_name: IgnoredAny,
}

impl Endpoint {
    /// Whether it wants new traffic.
    pub fn is_ready(&self) -> bool {
        self.conditions.ready.unwrap_or(true)
    }

    /// The zone that it is meant for, which may be another than the one it stands in where a zone has few endpoints, or
    /// else the latter; empty where nobody knows. Whoever gives hints names one zone.
    pub fn zone(&self) -> &str {
        let hinted = self.hints.as_ref().and_then(|hints| hints.for_zones.first());
        hinted.map(|hint| &hint.name).or(self.zone.as_ref()).map_or("", String::as_str)
    }
}

/// For whom an endpoint is meant.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Hints {
    /// For callers of these zones.
    pub for_zones: Vec<ForZone>,
    #[serde(skip_serializing)]
    for_nodes: IgnoredAny,
}

/// A zone whose callers an endpoint is meant for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForZone {
    /// Name of the zone.
    pub name: String,
}

/// Conditions of an endpoint; what is absent is unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Conditions {
    /// It wants new traffic. Unknown counts as true.
    pub ready: Option<bool>,
    /// It can serve, whether or not it is about to end. Unknown: as `ready`.
    pub serving: Option<bool>,
    /// It is about to end. Unknown counts as false.
    pub terminating: Option<bool>,
}

/// A reference from an endpoint to what runs there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ObjectReference {
    /// `Pod`, or `Workload` in local mode.
    pub kind: String,
    /// Name.
    pub name: String,
    /// Namespace. Default: that of the slice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    #[serde(default, skip_serializing)]
    api_version: IgnoredAny,
    #[serde(default, skip_serializing)]
    field_path: IgnoredAny,
    #[serde(default, skip_serializing)]
    resource_version: IgnoredAny,
    #[serde(default, skip_serializing)]
    uid: IgnoredAny,
}

/// A port of a slice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EndpointPort {
    /// Name of the service's port that it serves.
    #[serde(default)]
    pub name: String,
    /// Number.
    pub port: u16,
    /// Transport.
    #[serde(default)]
    pub protocol: Transport,
    #[serde(default, skip_serializing)]
    app_protocol: IgnoredAny,
}
