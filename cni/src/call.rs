//! A call as CNI defines it (containernetworking/cni, SPEC.md, versions 0.3.0 to 1.1.0): what it says, and how errors are
//! told.

use std::{
    io,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use serde_json::{Value, json};
use weft_proxy::redirect::InitError;

use crate::question::{AskError, Question};

/// Versions of CNI in which this plugin can be called. Before 0.3.0 there were no chains.
pub const VERSIONS: [&str; 5] = ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];
/// Type of this plugin in a chain, and the name of its program.
pub const PLUGIN: &str = "weft-cni";

/// What a runtime says by variables.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// `CNI_COMMAND`.
    pub command: Option<String>,
    /// `CNI_NETNS`.
    pub network_namespace: Option<String>,
    /// `CNI_ARGS`: `NAME=VALUE` separated by semicolons.
    pub arguments: Option<String>,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// A pod gets its network.
    Add,
    /// Is all of it as it was made?
    Check,
    /// A pod loses its network, or lost it already.
    Del,
    /// Can pods be given networks?
    Status,
    /// What does not belong to one of these pods can go.
    Gc,
    /// Which versions are spoken?
    Version,
}

/// This plugin's entry in a chain, with what runtimes add to it. They may add more than is read here.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Configuration {
    /// Version in which it is called.
    #[serde(default)]
    pub cni_version: String,
    /// Where the agent listens.
    #[serde(default)]
    pub socket: PathBuf,
    /// Namespaces whose pods are not asked about.
    #[serde(default)]
    pub exclude_namespaces: Vec<String>,
    /// What the plugins before made of the pod.
    #[serde(default)]
    pub prev_result: Option<Value>,
}

/// Why the call failed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Another version.
    #[error("weft-cni is called in version {0:?} of CNI, and can be in {versions}", versions = VERSIONS.join(", "))]
    Version(String),
    /// A variable is missing or says something impossible.
    #[error("{variable} {reason}")]
    Variable {
        /// Which.
        variable: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// Standard input cannot be read.
    #[error("the configuration cannot be read from standard input: {0}")]
    Input(io::Error),
    /// It is no configuration.
    #[error("the configuration on standard input is none: {0}")]
    Decode(String),
    /// It says something impossible.
    #[error("the entry of weft-cni in the chain of plugins is not usable: {0}")]
    Configuration(&'static str),
    /// The agent does not answer.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// The agent does not know.
    #[error("whether this pod is of the mesh is not known: {0}")]
    Unknown(String),
    /// The pod's network namespace cannot be entered.
    #[error("network namespace {path}: {source}", path = path.display())]
    Namespace {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The redirect cannot be installed, or is not there.
    #[error("pod {pod}: {source}")]
    Redirect {
        /// Namespace and name.
        pod: String,
        /// Why.
        source: InitError,
    },
}

impl CallError {
    /// Its number: below 100 as CNI defines it.
    pub fn code(&self) -> u32 {
        match self {
            Self::Version(_) => 1,
            Self::Variable { .. } => 4,
            Self::Input(_) | Self::Namespace { .. } => 5,
            Self::Decode(_) => 6,
            Self::Configuration(_) => 7,
            Self::Ask(_) | Self::Unknown(_) => 11,
            Self::Redirect { .. } => 100,
        }
    }

    /// As runtimes read it.
    pub fn to_json(&self, version: &str) -> Value {
        let version = if VERSIONS.contains(&version) { version } else { "1.0.0" };
        json!({"cniVersion": version, "code": self.code(), "msg": self.to_string(), "details": ""})
    }
}

impl Environment {
    /// What is to be done.
    pub fn command(&self) -> Result<Command, CallError> {
        match self.command.as_deref() {
            Some("ADD") => Ok(Command::Add),
            Some("CHECK") => Ok(Command::Check),
            Some("DEL") => Ok(Command::Del),
            Some("STATUS") => Ok(Command::Status),
            Some("GC") => Ok(Command::Gc),
            Some("VERSION") => Ok(Command::Version),
            Some(other) => Err(variable("CNI_COMMAND", format!("is {other:?}, which is no command"))),
            None => Err(variable("CNI_COMMAND", "is missing".to_owned())),
        }
    }

    /// Where the pod's network is.
    pub fn network_namespace(&self) -> Result<&Path, CallError> {
        let path = self.network_namespace.as_deref().filter(|path| !path.is_empty());
        path.map(Path::new).ok_or_else(|| variable("CNI_NETNS", "is missing".to_owned()))
    }

    /// Which pod it is; none if this is no container of Kubernetes.
    pub fn pod(&self) -> Result<Option<Question>, CallError> {
        let argument = |name: &str| {
            let pairs = self.arguments.as_deref().unwrap_or_default().split(';');
            let mut pairs = pairs.filter_map(|pair| pair.split_once('='));
            pairs.find(|(key, value)| *key == name && !value.is_empty()).map(|(_, value)| value.to_owned())
        };
        match (argument("K8S_POD_NAMESPACE"), argument("K8S_POD_NAME")) {
            (Some(namespace), Some(pod)) => {
                Ok(Some(Question { namespace, pod, uid: argument("K8S_POD_UID") }))
            }
            (None, None) => Ok(None),
            _ => {
                let reason = "names half a pod: K8S_POD_NAMESPACE and K8S_POD_NAME belong together";
                Err(variable("CNI_ARGS", reason.to_owned()))
            }
        }
    }
}

impl Configuration {
    /// Reads what stands on standard input.
    pub fn parse(text: &[u8]) -> Result<Self, CallError> {
        let own: Self = serde_json::from_slice(text).map_err(|error| CallError::Decode(error.to_string()))?;
        if VERSIONS.contains(&own.cni_version.as_str()) {
            Ok(own)
        } else {
            Err(CallError::Version(own.cni_version))
        }
    }
}

fn variable(variable: &'static str, reason: String) -> CallError {
    CallError::Variable { variable, reason }
}

#[cfg(test)]
mod tests;
