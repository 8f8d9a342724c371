//! What the injector is told at start: the only reader of files and of the environment for it.

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use weft_api::{
    bootstrap::{AccessLog, OutboundPolicy},
    names,
    ports::is_host_port,
    telemetry::Tracing,
    violation::Violation,
};
use weft_kubernetes::{Place, place::NotInPod};

use crate::quantity::Quantity;

/// Image of the sidecar where nothing else is said.
const IMAGE: &str = concat!("weft-proxy:", env!("CARGO_PKG_VERSION"));
/// Variable with the namespace that the injector runs in.
const VARIABLE_NAMESPACE: &str = "WEFT_NAMESPACE";

/// The configuration file: YAML or JSON. `docs/injection.md` shows it with all its defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Config {
    /// Where API servers connect (TLS). Default `0.0.0.0:8443`.
    pub listen: SocketAddr,
    /// Metrics and health; read-only. Default `0.0.0.0:4191`.
    pub admin: SocketAddr,
    /// Trust domain of the mesh. Default `cluster.local`.
    pub trust_domain: String,
    /// The control plane, as sidecars find it.
    pub control_plane: ControlPlane,
    /// Who redirects the connections of a pod to its sidecar.
    pub redirect: Redirect,
    /// Where the webhook's own certificate comes from.
    pub certificate: Certificate,
    /// What sidecars are made like where a pod says nothing else.
    pub proxy: Proxy,
}

/// The control plane, as sidecars find it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ControlPlane {
    /// `host:port`. Default: the Service `weft-control-plane` of the injector's namespace, port 15012.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Service account that it runs as, in the injector's namespace: the identity that sidecars expect.
    pub service_account: String,
}

/// Who redirects the connections of a pod to its sidecar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Redirect {
    /// An init container of the pod, with NET_ADMIN.
    #[default]
    Init,
    /// A CNI plugin of the node; an init container without capabilities checks that it did.
    Cni,
}

/// Where the webhook's own certificate comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Certificate {
    /// From whom.
    pub source: Source,
    /// For `files`: the folder with `tls.crt` and `tls.key`.
    pub directory: PathBuf,
    /// Service in front of the webhook: API servers expect its DNS name in the certificate.
    pub service: String,
    /// For `secret`: the Secret that all replicas share.
    pub secret: String,
    /// For `secret`: the MutatingWebhookConfiguration whose `caBundle` is kept up.
    pub webhook_configuration: String,
}

/// From whom the certificate comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The injector makes and rotates it, and keeps it in a Secret.
    #[default]
    Secret,
    /// Somebody else does, into files.
    Files,
}

/// What sidecars are made like where a pod says nothing else.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Proxy {
    /// Image; its entry point is `weft-proxy`.
    pub image: String,
    /// When it is pulled.
    pub image_pull_policy: PullPolicy,
    /// CPU that is set aside.
    pub cpu_request: Quantity,
    /// Memory that is set aside.
    pub memory_request: Quantity,
    /// CPU at most. Default: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_limit: Option<Quantity>,
    /// Memory at most. Default: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_limit: Option<Quantity>,
    /// What sidecars log.
    pub log_level: String,
    /// Which requests the access log tells of.
    pub access_log: AccessLog,
    /// Whom sidecars tell of requests, as spans of traces. Default: nobody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tracing: Option<Tracing>,
    /// What becomes of connections to what is not of the mesh.
    #[serde(skip_serializing_if = "OutboundPolicy::is_default")]
    pub outbound_policy: OutboundPolicy,
    /// Whether sidecars are init containers that run on (Kubernetes 1.29 and newer), or plain containers.
    pub native_sidecar: bool,
    /// Whether metrics and health are served on IPv6 addresses, too. Needs IPv6 on all nodes.
    pub ipv6: bool,
}

/// When an image is pulled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PullPolicy {
    /// Each time.
    Always,
    /// If the node does not have it.
    #[default]
    IfNotPresent,
    /// Not at all.
    Never,
}

/// What injecting needs to know about the mesh. Made by [`Config::installation`].
#[derive(Clone, Debug, PartialEq)]
pub struct Installation {
    /// Namespace of the mesh itself.
    pub namespace: String,
    /// Trust domain.
    pub trust_domain: String,
    /// `host:port` of the control plane.
    pub control_plane: String,
    /// SPIFFE id of the control plane.
    pub control_plane_identity: String,
    /// Who redirects.
    pub redirect: Redirect,
    /// What sidecars are made like.
    pub proxy: Proxy,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{path}: {source}; give the path of a configuration file", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The text is not a configuration.
    #[error("{path}: {reason}", path = path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Line, field, and what is wrong with it.
        reason: String,
    },
    /// This process runs in no pod.
    #[error("{0}, or set certificate.source to `files`")]
    NoApiServer(#[from] NotInPod),
    /// A field says something impossible.
    #[error(transparent)]
    Violation(#[from] Violation),
    /// The same, of a field that no other program reads.
    #[error("{field} is `{value}`: {reason}")]
    Field {
        /// Its path.
        field: &'static str,
        /// What stands there.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl Config {
    /// Reads a configuration file.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = fs::read_to_string(path)
            .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        Self::parse(path, &text)
    }

    /// Reads `text`, which stands in the file `path`. An empty text is one of defaults.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let options = serde_saphyr::options! { strict_booleans: true, with_snippet: false };
        let documents: Vec<Self> =
            serde_saphyr::from_str_multiple_with_options(text, options).map_err(|error| {
                let reason = error.render_with_formatter(&serde_saphyr::UserMessageFormatter);
                let line = error.location().map_or(1, |location| location.line());
                ConfigError::Invalid { path: path.to_owned(), reason: format!("line {line}: {reason}") }
            })?;
        Ok(documents.into_iter().next().unwrap_or_default())
    }

    /// What injecting needs to know, for a mesh that is installed in `namespace`.
    pub fn installation(&self, namespace: &str) -> Result<Installation, ConfigError> {
        let account = &self.control_plane.service_account;
        label("controlPlane.serviceAccount", account)?;
        label(VARIABLE_NAMESPACE, namespace)?;
        for part in self.trust_domain.split('.') {
            label("trustDomain", part)?;
        }
        let address = self.control_plane.address.clone().unwrap_or_else(|| {
            format!("{}.{namespace}.svc:{}", names::CONTROL_PLANE_ACCOUNT, names::XDS_PORT)
        });
        if !is_host_port(&address) {
            let reason = "write host:port".to_owned();
            return Err(ConfigError::Field { field: "controlPlane.address", value: address, reason });
        }
        if let Err(error) = weft_runtime::logs::check(&self.proxy.log_level) {
            let value = self.proxy.log_level.clone();
            return Err(ConfigError::Field { field: "proxy.logLevel", value, reason: error.to_string() });
        }
        if let Some(tracing) = &self.proxy.tracing {
            tracing.validate("proxy.tracing")?;
        }
        Ok(Installation {
            namespace: namespace.to_owned(),
            trust_domain: self.trust_domain.clone(),
            control_plane: address,
            control_plane_identity: format!("spiffe://{}/ns/{namespace}/sa/{account}", self.trust_domain),
            redirect: self.redirect,
            proxy: self.proxy.clone(),
        })
    }
}

impl Proxy {
    /// Where a sidecar serves metrics and health.
    pub fn admin(&self) -> SocketAddr {
        let any: IpAddr = if self.ipv6 { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
        SocketAddr::new(any, names::ADMIN_PORT)
    }
}

/// Refuses what is no label of RFC 1123: these texts become parts of names, and of a bootstrap in which `$(…)` means
/// something.
fn label(field: &'static str, value: &str) -> Result<(), ConfigError> {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if (1..=63).contains(&value.len()) && value.bytes().all(fits) {
        return Ok(());
    }
    let reason = "write 1 to 63 of a-z, 0-9 and -, in each part between dots".to_owned();
    Err(ConfigError::Field { field, value: value.to_owned(), reason })
}

/// Which events are logged: the variable `WEFT_LOG`, or `info`.
pub fn log_filter() -> String {
    variable(names::VARIABLE_LOG).unwrap_or_default()
}

/// The namespace that this process runs in: the variable `WEFT_NAMESPACE`, or `weft-system`.
pub fn namespace() -> String {
    variable(VARIABLE_NAMESPACE).unwrap_or_else(|| names::SYSTEM_NAMESPACE.to_owned())
}

/// The API server, as pods find it.
pub fn api_server() -> Result<Place, ConfigError> {
    Ok(Place::in_pod(variable)?)
}

fn variable(name: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "this module reads the environment for the others")]
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

impl Default for Config {
    fn default() -> Self {
        let any = |port| SocketAddr::from(([0, 0, 0, 0], port));
        Self {
            listen: any(names::WEBHOOK_PORT),
            admin: any(names::ADMIN_PORT),
            trust_domain: names::DEFAULT_TRUST_DOMAIN.to_owned(),
            control_plane: ControlPlane::default(),
            redirect: Redirect::default(),
            certificate: Certificate::default(),
            proxy: Proxy::default(),
        }
    }
}

impl Default for ControlPlane {
    fn default() -> Self {
        Self { address: None, service_account: names::CONTROL_PLANE_ACCOUNT.to_owned() }
    }
}

impl Default for Certificate {
    fn default() -> Self {
        Self {
            source: Source::default(),
            directory: PathBuf::from("/var/run/weft-injector"),
            service: "weft-injector".to_owned(),
            secret: "weft-injector-tls".to_owned(),
            webhook_configuration: "weft-injector".to_owned(),
        }
    }
}

impl Default for Proxy {
    fn default() -> Self {
        Self {
            image: IMAGE.to_owned(),
            image_pull_policy: PullPolicy::default(),
            cpu_request: Quantity::milli(10),
            memory_request: Quantity::mebi(16),
            cpu_limit: None,
            memory_limit: None,
            log_level: "info".to_owned(),
            access_log: AccessLog::default(),
            tracing: None,
            outbound_policy: OutboundPolicy::default(),
            native_sidecar: true,
            ipv6: false,
        }
    }
}

#[cfg(test)]
mod tests;
