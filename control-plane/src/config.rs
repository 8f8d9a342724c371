//! What the control plane is told at start. The only reader of the environment.

mod in_cluster;

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use weft_api::{Duration, names};
use weft_identity::TrustDomain;

use crate::document::{self, Cause, Mistake, Node, Value};

pub use in_cluster::{InCluster, InClusterError};

/// How long certificates may be good for: at least, and at most.
const LIFETIMES: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(720 * 3600)];

/// The configuration file: YAML or JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Config {
    /// Where proxies connect (TLS). Default `127.0.0.1:15012`.
    #[serde(default = "default_listen")]
    pub listen: SocketAddr,
    /// Metrics, health, problems and proxies; read-only. Default `127.0.0.1:15014`.
    #[serde(default = "default_admin")]
    pub admin: SocketAddr,
    /// Trust domain of the mesh. Default `cluster.local`.
    #[serde(default = "default_trust_domain")]
    pub trust_domain: String,
    /// Where objects come from.
    pub source: Source,
    /// Who signs certificates.
    pub authority: Authority,
    /// How proxies prove who they are.
    pub authentication: Authentication,
    /// How long a certificate is good for. Default 24 h. Range 1 m to 720 h.
    #[serde(default = "default_certificate_lifetime")]
    pub certificate_lifetime: Duration,
}

/// Where objects come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Source {
    /// A folder of YAML and JSON files, or a single file.
    pub directory: PathBuf,
}

/// Who signs certificates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Authority {
    /// Folder with `ca.crt` and `ca.key`, which are made at the first start, and `bundle.pem`, which proxies trust.
    pub directory: PathBuf,
}

/// How proxies prove who they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Authentication {
    /// By tokens that a key of this machine signed.
    pub local_issuer: LocalIssuer,
}

/// The issuer of local tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LocalIssuer {
    /// PEM file with the public key.
    pub public_key: PathBuf,
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
    /// The text is not YAML.
    #[error("{path}:{line}: {message}", path = path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: u32,
        /// What is wrong there.
        message: String,
    },
    /// A field is wrong.
    #[error("{path}:{line}: {message}", path = path.display(), line = mistake.line, message = describe(mistake))]
    Field {
        /// The file.
        path: PathBuf,
        /// The field, and what is wrong with it.
        mistake: Mistake,
    },
}

impl Config {
    /// Reads and checks a configuration file.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = fs::read_to_string(path)
            .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        Self::parse(path, &text)
    }

    /// Reads and checks `text`, which stands in the file `path`.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let documents = document::parse(text).map_err(|error| ConfigError::Syntax {
            path: path.to_owned(),
            line: error.line,
            message: error.message,
        })?;
        let empty = Node { line: 1, value: Value::Mapping(Vec::new()) };
        let node = documents.first().unwrap_or(&empty);
        let wrong = |mistake| ConfigError::Field { path: path.to_owned(), mistake };
        let config: Self = node.decode().map_err(wrong)?;
        let at = |field: &str, message: String| {
            let cause = Cause::Value(message);
            wrong(Mistake { line: node.line_of(field), field: field.to_owned(), cause })
        };
        if let Err(error) = config.trust_domain.parse::<TrustDomain>() {
            return Err(at("trustDomain", format!("is `{}`: {error}", config.trust_domain)));
        }
        let [shortest, longest] = LIFETIMES;
        if !(shortest..=longest).contains(&config.certificate_lifetime) {
            let message = format!("is {}; it must be within 1m to 720h", config.certificate_lifetime);
            return Err(at("certificateLifetime", message));
        }
        Ok(config)
    }
}

/// Which events are logged, in the syntax of `RUST_LOG`: the variable `WEFT_LOG`, or `info`.
pub fn log_filter() -> String {
    variable(names::VARIABLE_LOG).unwrap_or_else(|| "info".to_owned())
}

fn variable(name: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "this module reads the environment for the others")]
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn describe(mistake: &Mistake) -> String {
    let text = mistake.to_string();
    // The line stands in front already, behind the file.
    text.split_once(": ").map_or(text.clone(), |(_, rest)| rest.to_owned())
}

fn default_listen() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], names::XDS_PORT))
}

fn default_admin() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 15014))
}

fn default_trust_domain() -> String {
    names::DEFAULT_TRUST_DOMAIN.to_owned()
}

fn default_certificate_lifetime() -> Duration {
    Duration::from_secs(24 * 3600)
}

#[cfg(test)]
mod tests;
