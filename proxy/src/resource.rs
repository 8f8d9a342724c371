//! xDS resources -> what the proxy keeps of them. A resource is taken whole or refused whole with a reason, which goes
//! back to the control plane as a NACK.

// Listeners: what stands behind an address, and how the workload itself is entered.
mod listeners;
// Who may enter.
mod rbac;
// Routes: what requests are asked.
mod routes;
// Clusters: which endpoint they go to.
mod balancing;

use std::{collections::BTreeMap, net::SocketAddr, str::FromStr, sync::Arc, time::Duration};

use bytes::Bytes;
use prost::Message;
use serde::Deserialize;
use weft_api::circuit_breaker::{CircuitBreaker, Limits};
use weft_identity::SpiffeId;
use weft_xds::{
    Kind,
    cluster::Cluster as ClusterMessage,
    core::{Address, DataSource, HealthStatus, address, data_source, socket_address},
    endpoint::{ClusterLoadAssignment, LbEndpoint, lb_endpoint},
    metadata, packed, protobuf,
    tls::{Secret as SecretMessage, secret},
    upstream_http::{HttpProtocolOptions, http_protocol_options},
};

use crate::{
    affinity::Affinity,
    balance::{Balancing, Zones},
    guard::Fallback,
    http::serve::Version,
    snapshot::Ports,
};

pub use listeners::{OpaqueSpec, ServiceSpec};
pub use routes::{Action, BackendSpec, MirrorSpec, RouteSpec, Routes};

/// Key under which a cluster carries its protocol options.
const HTTP_OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/// One accepted resource.
#[derive(Clone, Debug)]
pub enum Resource {
    /// A service's listener, or how the workload itself is entered.
    Listener(Listener),
    /// Routes of a service port.
    Routes(Arc<Routes>),
    /// A backend.
    Cluster(Arc<ClusterSpec>),
    /// Its endpoints.
    Endpoints(Arc<EndpointsSpec>),
    /// A certificate chain or roots, PEM.
    Secret(String),
}

/// A listener.
#[derive(Clone, Debug)]
pub enum Listener {
    /// Of a service.
    Service(ServiceSpec),
    /// Of the workload: its ports.
    Inbound(Arc<Ports>),
}

/// A circuit breaker policy, checked.
#[derive(Debug)]
pub struct GuardSpec {
    /// As it was written; the defaults where there is none.
    pub policy: CircuitBreaker,
    /// The canned answer, ready to be sent.
    pub fallback: Option<Fallback>,
}

impl GuardSpec {
    fn new(policy: CircuitBreaker) -> Result<Self, String> {
        policy.validate().map_err(|violation| format!("circuitBreaker.{violation}"))?;
        let fallback = policy.fallback.as_ref().map(Fallback::new).transpose();
        Ok(Self { fallback: fallback.map_err(|error| format!("circuitBreaker.{error}"))?, policy })
    }
}

/// A backend, less its endpoints.
#[derive(Debug)]
pub struct ClusterSpec {
    /// What stands before it.
    pub guard: GuardSpec,
    /// What endpoints without a sidecar speak.
    pub version: Version,
    /// How requests are shared.
    pub balancing: Balancing,
    /// What they are hashed by, if they are shared by a hash.
    pub affinity: Option<Arc<Affinity>>,
}

/// The endpoints of a backend.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointsSpec {
    /// Those that take requests.
    pub ready: Vec<EndpointSpec>,
    /// How many others there are that may again, by zone.
    pub unready: BTreeMap<Arc<str>, usize>,
}

/// An endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSpec {
    /// Where.
    pub address: SocketAddr,
    /// SPIFFE id that its sidecar must show; `None` = no sidecar.
    pub identity: Option<Arc<str>>,
    /// Share of the requests in relation to others. At least 1.
    pub weight: u32,
    /// Where it is; empty = nobody knows.
    pub zone: Arc<str>,
}

#[cfg(test)]
impl ClusterSpec {
    /// One with this policy, and nothing else said.
    pub fn for_tests(policy: CircuitBreaker) -> Self {
        Self {
            guard: GuardSpec { policy, fallback: None },
            version: Version::Http1,
            balancing: Balancing::default(),
            affinity: None,
        }
    }
}

#[cfg(test)]
impl EndpointsSpec {
    /// These, without sidecars.
    pub fn for_tests(addresses: &[SocketAddr]) -> Self {
        let ready = addresses.iter().map(|address| EndpointSpec {
            address: *address,
            identity: None,
            weight: 1,
            zone: "".into(),
        });
        Self { ready: ready.collect(), unready: BTreeMap::new() }
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ClusterMetadata {
    circuit_breaker: Option<CircuitBreaker>,
    zones: Option<ZonesMetadata>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ZonesMetadata {
    prefer: bool,
    min_healthy_percent: u32,
}

impl Default for ZonesMetadata {
    fn default() -> Self {
        // Envoy overprovisions its levels of priority by 1.4.
        Self { prefer: false, min_healthy_percent: 70 }
    }
}

/// A policy under its name.
#[derive(Deserialize)]
struct PolicyMetadata<P> {
    policy: String,
    spec: P,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct EndpointMetadata {
    identity: Option<String>,
}

/// Decodes the resource `name` and checks all of it.
pub fn decode(kind: Kind, name: &str, body: &Bytes) -> Result<Resource, String> {
    match kind {
        Kind::Listener => listeners::listener(name, &message(body)?).map(Resource::Listener),
        Kind::Routes => routes::routes(name, &message(body)?).map(Arc::new).map(Resource::Routes),
        Kind::Cluster => cluster(&message(body)?).map(Arc::new).map(Resource::Cluster),
        Kind::Endpoints => endpoints(&message(body)?).map(Arc::new).map(Resource::Endpoints),
        Kind::Secret => secret(message(body)?).map(Resource::Secret),
    }
}

fn message<M: Message + Default>(body: &Bytes) -> Result<M, String> {
    M::decode(body.clone()).map_err(|error| error.to_string())
}

fn cluster(message: &ClusterMessage) -> Result<ClusterSpec, String> {
    let metadata: ClusterMetadata =
        metadata::read(message.metadata.as_ref()).map_err(|error| error.to_string())?.unwrap_or_default();
    // Another control plane knows the standard thresholds only.
    let policy = metadata
        .circuit_breaker
        .unwrap_or_else(|| CircuitBreaker { limits: limits(message), ..Default::default() });
    let balancing::Balancer { algorithm, affinity, slow_start } = balancing::balancer(message)?;
    let zones = metadata.zones.map(zones).transpose()?.flatten();
    Ok(ClusterSpec {
        guard: GuardSpec::new(policy)?,
        version: upstream_version(message)?,
        balancing: Balancing { algorithm, slow_start, zones },
        affinity: affinity.map(Arc::new),
    })
}

fn zones(ZonesMetadata { prefer, min_healthy_percent }: ZonesMetadata) -> Result<Option<Zones>, String> {
    if !(1..=100).contains(&min_healthy_percent) {
        return Err(format!("zones.minHealthyPercent is {min_healthy_percent}; it must be from 1 to 100"));
    }
    Ok(prefer.then_some(Zones { min_healthy_percent }))
}

fn limits(message: &ClusterMessage) -> Limits {
    let default = Limits::default();
    let thresholds = message.circuit_breakers.as_ref().and_then(|breakers| breakers.thresholds.first());
    thresholds.map_or(default, |thresholds| Limits {
        max_connections: thresholds.max_connections.unwrap_or(default.max_connections),
        max_pending: thresholds.max_pending_requests.unwrap_or(default.max_pending),
        max_requests: thresholds.max_requests.unwrap_or(default.max_requests),
    })
}

fn upstream_version(message: &ClusterMessage) -> Result<Version, String> {
    use http_protocol_options::{UpstreamProtocolOptions, explicit_http_config::ProtocolConfig};
    let Some(options) = message.typed_extension_protocol_options.get(HTTP_OPTIONS) else {
        return Ok(Version::Http1);
    };
    let options: HttpProtocolOptions =
        packed::unpack(options).map_err(|error| format!("typed_extension_protocol_options {error}"))?;
    let Some(UpstreamProtocolOptions::ExplicitHttpConfig(explicit)) = options.upstream_protocol_options
    else {
        return Ok(Version::Http1);
    };
    match explicit.protocol_config {
        Some(ProtocolConfig::Http2ProtocolOptions(_)) => Ok(Version::Http2),
        _ => Ok(Version::Http1),
    }
}

fn endpoints(message: &ClusterLoadAssignment) -> Result<EndpointsSpec, String> {
    let mut spec = EndpointsSpec::default();
    for locality in &message.endpoints {
        let zone: Arc<str> = locality.locality.as_ref().map_or("", |locality| locality.zone.as_str()).into();
        for message in &locality.lb_endpoints {
            match message.health_status() {
                HealthStatus::Healthy | HealthStatus::Unknown => spec.ready.push(endpoint(message, &zone)?),
                // They finish what they have and take nothing new.
                HealthStatus::Draining => {}
                _ => *spec.unready.entry(Arc::clone(&zone)).or_default() += 1,
            }
        }
    }
    Ok(spec)
}

fn endpoint(message: &LbEndpoint, zone: &Arc<str>) -> Result<EndpointSpec, String> {
    let Some(lb_endpoint::HostIdentifier::Endpoint(endpoint)) = &message.host_identifier else {
        return Err("endpoint.address is needed".to_owned());
    };
    let address = endpoint
        .address
        .as_ref()
        .and_then(socket_address)
        .ok_or("endpoint.address is no IP address and port")?;
    let metadata: EndpointMetadata = metadata::read(message.metadata.as_ref())
        .map_err(|error| format!("endpoint {address}: {error}"))?
        .unwrap_or_default();
    let identity = metadata
        .identity
        .map(|id| SpiffeId::from_str(&id).map_err(|error| format!("endpoint {address}: {error}")));
    let identity = identity.transpose()?.map(|id| id.to_string().into());
    let weight = message.load_balancing_weight.unwrap_or(1).max(1);
    Ok(EndpointSpec { address, identity, weight, zone: Arc::clone(zone) })
}

fn socket_address(message: &Address) -> Option<SocketAddr> {
    let Some(address::Address::SocketAddress(socket)) = &message.address else { return None };
    let Some(socket_address::PortSpecifier::PortValue(port)) = socket.port_specifier else { return None };
    Some(SocketAddr::new(socket.address.parse().ok()?, u16::try_from(port).ok()?))
}

fn duration(field: &str, message: Option<protobuf::Duration>) -> Result<Option<Duration>, String> {
    message.map(Duration::try_from).transpose().map_err(|error| format!("{field}: {error}"))
}

fn secret(message: SecretMessage) -> Result<String, String> {
    let source = match message.r#type {
        Some(secret::Type::TlsCertificate(certificate)) => certificate.certificate_chain,
        Some(secret::Type::ValidationContext(context)) => context.trusted_ca,
        _ => None,
    };
    match source.and_then(|DataSource { specifier }| specifier) {
        Some(data_source::Specifier::InlineBytes(pem)) => String::from_utf8(pem.into())
            .map_err(|_| "is not PEM: it holds bytes that are no text".to_owned()),
        Some(data_source::Specifier::InlineString(pem)) => Ok(pem),
        _ => Err("certificate_chain or trusted_ca with inline bytes is needed".to_owned()),
    }
}

#[cfg(test)]
mod tests;
