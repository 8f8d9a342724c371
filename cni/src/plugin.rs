//! One call of the container runtime: a pod's network is there, and nothing of the pod runs yet.
//!
//! Whatever is not known for sure fails, so that no pod of the mesh starts without its redirect, and the kubelet tries
//! again. Namespaces that keep the cluster and the mesh alive are not asked about, so they start without an agent.

use std::{
    fs::File,
    io::{self, Read},
    os::{fd::AsFd, unix::fs::MetadataExt},
    path::Path,
    thread,
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde_json::{Value, json};
use weft_proxy::redirect::{self, InitError};

use crate::{
    call::{CallError, Command, Configuration, Environment, VERSIONS},
    question::{Answer, Question, ask},
};

/// Bytes of a configuration at most. What plugins made of one pod is a few kilobytes.
const CONFIGURATION_BYTES_MAX: u64 = 1024 * 1024;
/// Where the kernel shows the network namespace of a thread.
const OWN_NETWORK: &str = "/proc/thread-self/ns/net";

/// What is printed, and whether the call succeeded. Nothing is printed where CNI asks for nothing.
#[derive(Debug)]
pub struct Printed {
    /// JSON for standard output.
    pub text: Option<Value>,
    /// Whether all is well.
    pub success: bool,
}

/// Does what a runtime asks for by `environment` and `input`.
pub fn answer(environment: &Environment, input: impl Read) -> Printed {
    let mut version = String::new();
    match call(environment, input, &mut version) {
        Ok(text) => Printed { text, success: true },
        Err(error) => Printed { text: Some(error.to_json(&version)), success: false },
    }
}

/// `version` becomes the one that the runtime speaks, once that is known.
fn call(
    environment: &Environment,
    input: impl Read,
    version: &mut String,
) -> Result<Option<Value>, CallError> {
    let command = environment.command()?;
    let mut text = Vec::new();
    input.take(CONFIGURATION_BYTES_MAX).read_to_end(&mut text).map_err(CallError::Input)?;
    if command == Command::Version {
        let asked: Value = serde_json::from_slice(&text).unwrap_or_default();
        let asked = asked["cniVersion"].as_str().unwrap_or(VERSIONS[VERSIONS.len() - 1]);
        return Ok(Some(json!({"cniVersion": asked, "supportedVersions": VERSIONS})));
    }
    let configuration = Configuration::parse(&text)?;
    version.clone_from(&configuration.cni_version);
    match command {
        Command::Add => {
            let Some(result) = &configuration.prev_result else {
                return Err(CallError::Configuration(
                    "it must stand behind another plugin, which makes the network",
                ));
            };
            each_of_the_mesh(environment, &configuration, redirect::install_verified)?;
            Ok(Some(result.clone()))
        }
        Command::Check => {
            each_of_the_mesh(environment, &configuration, redirect::compare_verified)?;
            Ok(None)
        }
        // The rules end with the pod's network namespace; and a node without an agent must become ready, since the
        // agent is a pod.
        Command::Del | Command::Gc | Command::Status | Command::Version => Ok(None),
    }
}

/// Calls `act` in the pod's network with the arguments of its `weft-init`, if it is a pod of the mesh.
fn each_of_the_mesh(
    environment: &Environment,
    configuration: &Configuration,
    act: impl FnOnce(&[&str]) -> Result<(), InitError> + Send,
) -> Result<(), CallError> {
    let Some(pod) = environment.pod()? else { return Ok(()) };
    if configuration.exclude_namespaces.contains(&pod.namespace) {
        return Ok(());
    }
    if !configuration.socket.is_absolute() {
        return Err(CallError::Configuration("`socket` must be the whole path of the agent's socket"));
    }
    let arguments = match ask(&configuration.socket, &pod)? {
        Answer::Pass => return Ok(()),
        Answer::Failed(reason) => return Err(CallError::Unknown(reason)),
        Answer::Redirect(arguments) => arguments,
    };
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let path = environment.network_namespace()?;
    let done = within(path, || act(&arguments));
    let done = done.map_err(|source| CallError::Namespace { path: path.to_owned(), source })?;
    let Question { namespace, pod, .. } = pod;
    done.map_err(|source| CallError::Redirect { pod: format!("{namespace}/{pod}"), source })
}

/// Calls `act` in the network namespace at `path`, on a thread of its own, since a thread cannot come back.
fn within<T: Send>(path: &Path, act: impl FnOnce() -> T + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let inside = scope.spawn(|| {
            let namespace = File::open(path)?;
            let (own, other) = (std::fs::metadata(OWN_NETWORK)?, namespace.metadata()?);
            // It would lead all connections of the node to a sidecar that is not there.
            if (own.dev(), own.ino()) == (other.dev(), other.ino()) {
                return Err(io::Error::other("this is the network of the node itself"));
            }
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
            Ok(act())
        });
        inside
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the plugin panicked: this is a bug, report it")))
    })
}

#[cfg(test)]
mod tests;
