//! `Workload`: a process of this machine and its sidecar. It stands for a pod, in local mode only.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::{Bytes, Object, bootstrap::AccessLog, telemetry::Tracing, violation::Violation};

/// `spec` of a `Workload`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WorkloadSpec {
    /// Service account, and with the namespace its identity. Default: the name of the workload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account: Option<String>,
    /// Zone that it runs in, as `zone` of endpoints says theirs. Absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Ports by which the sidecar is entered.
    #[serde(default)]
    pub inbound: Vec<Inbound>,
    /// Listeners of the sidecar that lead to a service (the ambassador).
    #[serde(default)]
    pub outbound: Vec<Outbound>,
    /// Where the sidecar serves metrics and health.
    pub admin: SocketAddr,
    /// What the sidecar's access log holds.
    #[serde(default)]
    pub access_log: AccessLog,
    /// Memory that the sidecar may have, such as `64Mi`: near to it, it refuses what is new. Absent: as much as it needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_limit: Option<Bytes>,
    /// Whom the sidecar tells of requests, as spans of traces. Absent: nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracing: Option<Tracing>,
}

/// A port that leads into the process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Inbound {
    /// Port on which peers connect.
    pub port: u16,
    /// Address on which peers connect. Default 127.0.0.1.
    #[serde(default = "loopback")]
    pub address: IpAddr,
    /// Where the process itself listens.
    pub app: SocketAddr,
    /// Who may connect.
    #[serde(default)]
    pub mtls: Mtls,
    /// What the process speaks, such as `kubernetes.io/h2c`, or `weft.dev/connect` if it opens tunnels. Absent: HTTP/1.1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_protocol: Option<String>,
}

/// Who may connect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mtls {
    /// Peers of the mesh, by mTLS.
    #[default]
    Strict,
    /// Anyone: peers of the mesh by mTLS, others by plaintext.
    Permissive,
}

/// A listener that leads to a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Outbound {
    /// Where the process connects.
    pub listen: SocketAddr,
    /// Name of the service.
    pub service: String,
    /// Namespace of the service. Default: that of the workload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Port of the service.
    pub port: u16,
}

impl Object<WorkloadSpec> {
    /// Service account: the one that is named, or else that of the workload's own name.
    pub fn service_account(&self) -> &str {
        self.spec.service_account.as_deref().unwrap_or(&self.metadata.name)
    }
}

impl WorkloadSpec {
    /// Checks what the types cannot say. Errors name the field by its path below `spec`.
    pub fn validate(&self) -> Result<(), Violation> {
        let inbound =
            self.inbound.iter().enumerate().map(|(i, one)| (format!("inbound[{i}].port"), one.port));
        let apps =
            self.inbound.iter().enumerate().map(|(i, one)| (format!("inbound[{i}].app"), one.app.port()));
        let outbound = self
            .outbound
            .iter()
            .enumerate()
            .map(|(i, one)| (format!("outbound[{i}].listen"), one.listen.port()));
        let admin = [("admin".to_owned(), self.admin.port())];
        for (field, port) in inbound.chain(apps).chain(outbound).chain(admin) {
            // Others are told these ports before the process that would learn a chosen one exists.
            if port == 0 {
                return Err(Violation::new(field, "has port 0; give it a port of its own, 1 to 65535"));
            }
        }
        for (index, one) in self.inbound.iter().enumerate() {
            // A resource names a way in by its port alone.
            if self.inbound[..index].iter().any(|other| other.port == one.port) {
                let field = format!("inbound[{index}].port");
                return Err(Violation::new(field, format!("is {}, which an earlier entry has", one.port)));
            }
        }
        if self.inbound.is_empty() && self.outbound.is_empty() {
            let rule =
                "is empty, and so is outbound: its sidecar would have nothing to do; give it a way in or out";
            return Err(Violation::new("inbound", rule));
        }
        self.tracing.as_ref().map_or(Ok(()), |tracing| tracing.validate("tracing"))
    }
}

fn loopback() -> IpAddr {
    IpAddr::V4(Ipv4Addr::LOCALHOST)
}

#[cfg(test)]
mod tests;
