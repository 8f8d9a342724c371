//! What a proxy is told at start: the only contract between whoever starts it and the proxy.

use std::{net::SocketAddr, path::PathBuf};

use serde::{Deserialize, Serialize};

use crate::{Bytes, Duration, names, telemetry::Tracing};

/// Everything a proxy must know before it can ask the control plane for the rest. JSON or YAML.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Bootstrap {
    /// Who this proxy stands beside. For logs and labels; its identity comes from its token alone.
    pub workload: Workload,
    /// Trust domain of the mesh.
    #[serde(default = "default_trust_domain")]
    pub trust_domain: String,
    /// Where configuration and certificates come from.
    pub control_plane: ControlPlane,
    /// Metrics and health; read-only. Default `0.0.0.0:4191`.
    #[serde(default = "default_admin")]
    pub admin: SocketAddr,
    /// Listeners that lead into the local application.
    #[serde(default)]
    pub inbound: Vec<Inbound>,
    /// Listeners that lead to a named service (the ambassador).
    #[serde(default)]
    pub outbound: Vec<Outbound>,
    /// Takes the connections that the pod's redirect diverts, by their original destination. Absent: no redirect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transparent: Option<Transparent>,
    /// Single-threaded runtimes that carry requests. Default: one per available processor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workers: Option<usize>,
    /// Memory that the process may have, such as `64Mi`: near to it, it refuses what is new. Default: the limit of its
    /// control group, where it is alone in one that has a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_limit: Option<Bytes>,
    /// HTTP between this sidecar and others. Default: HTTP/2, one connection for all requests of a worker.
    #[serde(default)]
    pub mesh_http: MeshHttp,
    /// What the access log on stdout holds.
    #[serde(default)]
    pub access_log: AccessLog,
    /// Whom it tells of requests, as spans of traces. Absent: nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracing: Option<Tracing>,
    /// How long what is in flight may take to finish after SIGTERM. Default 25 s.
    #[serde(default = "default_drain")]
    pub drain: Duration,
}

/// The workload beside a proxy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Workload {
    /// Namespace.
    pub namespace: String,
    /// Name of the pod, or of the `Workload` in local mode.
    pub name: String,
    /// Service account.
    pub service_account: String,
    /// What it is called in traces. Default: its service account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The zone that it runs in, as endpoints say theirs: those of the same may come first. Absent or empty: nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
}

impl Workload {
    /// The zone that it runs in, if anybody knows.
    pub fn zone(&self) -> Option<&str> {
        self.zone.as_deref().filter(|zone| !zone.is_empty())
    }
}

/// How to reach and recognise the control plane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ControlPlane {
    /// `host:port` of the xDS server.
    pub address: String,
    /// SPIFFE id that its certificate must carry.
    pub identity: String,
    /// PEM file with the roots to trust until the first `trust-bundle` arrives.
    pub trust_bundle: PathBuf,
    /// File with the bearer token of this workload; read anew at each connection.
    pub token: PathBuf,
}

/// A port that leads into the application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Inbound {
    /// Where peers connect.
    pub listen: SocketAddr,
    /// Where the application listens.
    pub app: SocketAddr,
}

/// A port that leads to a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Outbound {
    /// Where the application connects.
    pub listen: SocketAddr,
    /// Name of the listener resource: `<service>.<namespace>.svc.cluster.local:<port>`.
    pub target: String,
}

/// Where redirected connections arrive: on all addresses of the pod, IPv4 and IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Transparent {
    /// Port for connections into the pod. Default 4143.
    #[serde(default = "default_inbound_port")]
    pub inbound: u16,
    /// Port for connections of the application. Default 4140.
    #[serde(default = "default_outbound_port")]
    pub outbound: u16,
    /// What becomes of the application's connections to what is not of the mesh.
    #[serde(default, skip_serializing_if = "OutboundPolicy::is_default")]
    pub outbound_policy: OutboundPolicy,
}

/// What becomes of connections to what is not of the mesh.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OutboundPolicy {
    /// They go where they were meant to go, in plaintext.
    #[default]
    AllowAny,
    /// They are refused, also while nobody knows yet whether it is of the mesh.
    RegistryOnly,
}

impl OutboundPolicy {
    /// Of this, sidecars need not be told.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for Transparent {
    fn default() -> Self {
        Self {
            inbound: names::INBOUND_PORT,
            outbound: names::OUTBOUND_PORT,
            outbound_policy: OutboundPolicy::default(),
        }
    }
}

/// HTTP between two sidecars.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum MeshHttp {
    /// HTTP/1.1 over a pool of connections.
    #[serde(rename = "http/1.1")]
    Http1,
    /// HTTP/2 over one connection.
    #[default]
    #[serde(rename = "http/2")]
    Http2,
}

/// Which requests the access log tells of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AccessLog {
    /// None.
    Off,
    /// Those that failed: status 500 and above, or answered by the proxy itself.
    #[default]
    Errors,
    /// Every request.
    All,
}

fn default_trust_domain() -> String {
    names::DEFAULT_TRUST_DOMAIN.to_owned()
}

fn default_admin() -> SocketAddr {
    SocketAddr::from(([0, 0, 0, 0], names::ADMIN_PORT))
}

fn default_inbound_port() -> u16 {
    names::INBOUND_PORT
}

fn default_outbound_port() -> u16 {
    names::OUTBOUND_PORT
}

fn default_drain() -> Duration {
    Duration::from_secs(25)
}
