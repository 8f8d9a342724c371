//! What the proxy is told at start: the one place that reads files, arguments and the environment.

use std::{
    fs, io,
    num::NonZero,
    path::{Path, PathBuf},
    str::FromStr,
};

use weft_api::{bootstrap::Bootstrap, names, violation::Violation};
use weft_identity::{
    SpiffeId, TrustDomain,
    bundle::{InvalidBundle, TrustBundle},
};

/// Where the bootstrap is. JSON either way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// In a file.
    File(PathBuf),
    /// In the variable `WEFT_BOOTSTRAP`.
    Environment,
}

/// Everything that a proxy is made of, checked.
#[derive(Debug)]
pub struct Config {
    /// As it was written.
    pub bootstrap: Bootstrap,
    /// The mesh.
    pub trust_domain: TrustDomain,
    /// Who the control plane must be.
    pub control_plane: SpiffeId,
    /// Roots to trust at first.
    pub bundle: TrustBundle,
    /// Who the collector of traces must be, if that is said.
    pub collector: Option<SpiffeId>,
    /// Worker threads.
    pub workers: usize,
}

/// The pod around a process. Outside of Kubernetes it has no names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pod {
    /// Its namespace.
    pub namespace: Option<String>,
    /// Its name.
    pub name: Option<String>,
}

/// Why a proxy cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file cannot be read.
    #[error("{path}: {source}", path = path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The variable is not set.
    #[error(
        "the variable {} is not set: give the bootstrap in it as JSON, or a file by --bootstrap FILE",
        names::VARIABLE_BOOTSTRAP
    )]
    Variable,
    /// The bootstrap is not one.
    #[error("{place}: {reason}")]
    Parse {
        /// Which file or variable.
        place: String,
        /// Line, column and field.
        reason: String,
    },
    /// A field says something impossible.
    #[error("bootstrap: {field}: {reason}")]
    Field {
        /// Its path.
        field: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The same, of a field that others read too.
    #[error("bootstrap: {0}")]
    Violation(#[from] Violation),
    /// The roots are none.
    #[error("{path}: {source}", path = path.display())]
    Bundle {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        source: InvalidBundle,
    },
}

impl Config {
    /// Reads the bootstrap and the files that it names.
    pub fn read(source: &Source) -> Result<Self, ConfigError> {
        match source {
            Source::File(path) => Self::parse(&path.display().to_string(), &read(path)?),
            Source::Environment => {
                let text = variable(names::VARIABLE_BOOTSTRAP).ok_or(ConfigError::Variable)?;
                Self::parse(names::VARIABLE_BOOTSTRAP, &text)
            }
        }
    }

    /// Reads the bootstrap `text`, which stands at `place`, and the files that it names.
    fn parse(place: &str, text: &str) -> Result<Self, ConfigError> {
        let bootstrap: Bootstrap = serde_json::from_str(text)
            .map_err(|error| ConfigError::Parse { place: place.to_owned(), reason: error.to_string() })?;
        Self::new(bootstrap)
    }

    fn new(bootstrap: Bootstrap) -> Result<Self, ConfigError> {
        let invalid = |field, reason: String| ConfigError::Field { field, reason };
        let trust_domain = TrustDomain::from_str(&bootstrap.trust_domain)
            .map_err(|error| invalid("trustDomain", error.to_string()))?;
        let control_plane = SpiffeId::from_str(&bootstrap.control_plane.identity)
            .map_err(|error| invalid("controlPlane.identity", error.to_string()))?;
        if bootstrap.inbound.is_empty() && bootstrap.outbound.is_empty() && bootstrap.transparent.is_none() {
            return Err(invalid(
                "inbound",
                "is empty, and so is outbound, and transparent is not there: there is nothing to listen on"
                    .to_owned(),
            ));
        }
        if let Some(ports) = &bootstrap.transparent
            && ports.inbound == ports.outbound
        {
            return Err(invalid("transparent", "inbound and outbound must be two ports".to_owned()));
        }
        let collector = match &bootstrap.tracing {
            Some(tracing) => {
                tracing.validate("tracing")?;
                let id = tracing.identity.as_deref().map(SpiffeId::from_str).transpose();
                id.map_err(|error| invalid("tracing.identity", error.to_string()))?
            }
            None => None,
        };
        let path = &bootstrap.control_plane.trust_bundle;
        let bundle = TrustBundle::from_pem(&read(path)?)
            .map_err(|source| ConfigError::Bundle { path: path.clone(), source })?;
        let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
        let workers = bootstrap.workers.unwrap_or(processors).max(1);
        Ok(Self { bootstrap, trust_domain, control_plane, bundle, collector, workers })
    }
}

/// What the process logs: `WEFT_LOG`, a level (`debug`) or directives (`info,weft_proxy=debug`). Empty = info.
pub fn log_filter() -> String {
    variable(names::VARIABLE_LOG).unwrap_or_default()
}

/// The pod that this process runs in, as its variables tell.
pub fn pod() -> Pod {
    Pod { namespace: variable(names::VARIABLE_POD_NAMESPACE), name: variable(names::VARIABLE_POD_NAME) }
}

#[expect(clippy::disallowed_methods, reason = "this is the module that reads the environment")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn read(path: &Path) -> Result<String, ConfigError> {
    fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests;
