//! What plugin and agent are told: flags, and the only reader of the environment for both.

use std::{net::SocketAddr, path::PathBuf};

use weft_api::names;
use weft_kubernetes::{Place, place::NotInPod};

use crate::{call::Environment, decide, folders::Folders};

/// How it is called.
pub const USAGE: &str = "\
usage: weft-cni agent [flags]       the agent of a node
       (by a container runtime)     the CNI plugin: CNI_COMMAND and the other variables of CNI say what to do

  --bin-dir DIR                where the runtime looks for CNI plugins (/opt/cni/bin)
  --conf-dir DIR               where it looks for their configuration (/etc/cni/net.d)
  --run-dir DIR                where the agent listens (/run/weft-cni)
  --exclude-namespaces NAMES   namespaces whose pods are never asked about, separated by commas, besides kube-system,
                               kube-node-lease and the agent's own
  --admin ADDRESS              metrics and health (0.0.0.0:4191)
  --no-repair                  do not delete pods that were made before the plugin was there";

const BIN_DIR: &str = "--bin-dir";
const CONF_DIR: &str = "--conf-dir";
const RUN_DIR: &str = "--run-dir";
const EXCLUDE: &str = "--exclude-namespaces";
const ADMIN: &str = "--admin";
/// All flags that take a value.
const FLAGS: [&str; 5] = [BIN_DIR, CONF_DIR, RUN_DIR, EXCLUDE, ADMIN];

/// What the agent is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The program that becomes the plugin: this very one.
    pub program: PathBuf,
    /// Folders of the node, by the same paths in the agent's container.
    pub folders: Folders,
    /// Where it listens; the same path on the node.
    pub run_dir: PathBuf,
    /// Namespaces whose pods are never asked about.
    pub exclude_namespaces: Vec<String>,
    /// Metrics and health.
    pub admin: SocketAddr,
    /// Whether pods that came too early are deleted.
    pub repair: bool,
    /// Namespace that it runs in.
    pub namespace: String,
    /// Node that it runs on.
    pub node: String,
}

/// Why it is not started.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSetting {
    /// No such flag.
    #[error("`{0}` is not a flag of `weft-cni agent`")]
    Unknown(String),
    /// A flag without a value.
    #[error("{0} needs a value")]
    Missing(String),
    /// A folder that is not one.
    #[error("{flag}: `{value}` is no whole path: it must be the same on the node and in the container")]
    Path {
        /// Which flag.
        flag: String,
        /// What it says.
        value: String,
    },
    /// An address that is none.
    #[error("--admin: `{0}` is no address and port, such as 0.0.0.0:4191")]
    Address(String),
    /// A name that is none.
    #[error("{what}: `{value}` is no name of Kubernetes")]
    Name {
        /// Where it stands.
        what: &'static str,
        /// What stands there.
        value: String,
    },
}

/// Reads what follows `weft-cni agent`, and the variables of its pod.
pub fn settings(arguments: &[String]) -> Result<Settings, InvalidSetting> {
    Settings::default().read(arguments)
}

impl Settings {
    fn read(mut self, arguments: &[String]) -> Result<Self, InvalidSetting> {
        let mut rest = arguments.iter();
        while let Some(flag) = rest.next() {
            if flag == "--no-repair" {
                self.repair = false;
                continue;
            }
            if !FLAGS.contains(&flag.as_str()) {
                return Err(InvalidSetting::Unknown(flag.clone()));
            }
            let value = rest.next().ok_or_else(|| InvalidSetting::Missing(flag.clone()))?;
            let path = || {
                let path = PathBuf::from(value);
                let invalid = || InvalidSetting::Path { flag: flag.clone(), value: value.clone() };
                path.is_absolute().then_some(path).ok_or_else(invalid)
            };
            match flag.as_str() {
                BIN_DIR => self.folders.programs = path()?,
                CONF_DIR => self.folders.lists = path()?,
                RUN_DIR => self.run_dir = path()?,
                ADMIN => self.admin = value.parse().map_err(|_| InvalidSetting::Address(value.clone()))?,
                _ => self.exclude_namespaces.extend(value.split(',').map(str::to_owned)),
            }
        }
        self.complete()
    }

    /// Adds what is never asked about, and checks the names.
    fn complete(mut self) -> Result<Self, InvalidSetting> {
        self.exclude_namespaces.extend(names::SYSTEM_NAMESPACES.map(str::to_owned));
        self.exclude_namespaces.push(self.namespace.clone());
        self.exclude_namespaces.sort();
        self.exclude_namespaces.dedup();
        let excluded = self.exclude_namespaces.iter().map(|name| (EXCLUDE, name));
        let node = [(VARIABLE_NODE, &self.node)];
        for (what, value) in excluded.chain(node) {
            if !decide::is_name(value) {
                return Err(InvalidSetting::Name { what, value: value.clone() });
            }
        }
        Ok(self)
    }
}

impl Default for Settings {
    fn default() -> Self {
        let folders = Folders { programs: "/opt/cni/bin".into(), lists: "/etc/cni/net.d".into() };
        Self {
            program: "/proc/self/exe".into(),
            folders,
            run_dir: "/run/weft-cni".into(),
            exclude_namespaces: Vec::new(),
            admin: SocketAddr::from(([0, 0, 0, 0], names::ADMIN_PORT)),
            repair: true,
            namespace: variable(VARIABLE_NAMESPACE).unwrap_or_else(|| names::SYSTEM_NAMESPACE.to_owned()),
            node: variable(VARIABLE_NODE).unwrap_or_default(),
        }
    }
}

/// Variable with the namespace that the agent runs in.
const VARIABLE_NAMESPACE: &str = "WEFT_NAMESPACE";
/// Variable with the node that it runs on.
const VARIABLE_NODE: &str = "WEFT_NODE_NAME";

/// What a runtime says.
pub fn environment() -> Environment {
    Environment {
        command: variable("CNI_COMMAND"),
        network_namespace: variable("CNI_NETNS"),
        arguments: variable("CNI_ARGS"),
    }
}

/// The API server, as pods find it.
pub fn api_server() -> Result<Place, NotInPod> {
    Place::in_pod(variable)
}

/// Which events are logged: the variable `WEFT_LOG`, or `info`.
pub fn log_filter() -> String {
    variable(names::VARIABLE_LOG).unwrap_or_default()
}

fn variable(name: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "this module reads the environment for the others")]
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests;
