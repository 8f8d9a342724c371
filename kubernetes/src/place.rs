//! Where the API server is, and who this process is to it.

use std::path::{Path, PathBuf};

/// Where a pod finds the token of its service account, and the roots of the API server
/// (`kubernetes.io/docs/tasks/run-application/access-api-from-pod`).
const ACCOUNT_DIRECTORY: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Where the API server is, and who this process is to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// File with the roots to trust (PEM).
    pub roots: PathBuf,
    /// File with the token; read anew for each request, since it is rotated.
    pub token: PathBuf,
}

/// This process runs in no pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the variables KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT do not name the API server: run in a pod"
)]
pub struct NotInPod;

impl Place {
    /// As pods find it, by the variables of the environment that `variable` gives.
    pub fn in_pod(variable: impl Fn(&str) -> Option<String>) -> Result<Self, NotInPod> {
        let port = variable("KUBERNETES_SERVICE_PORT").and_then(|port| port.parse().ok());
        let (host, port) = variable("KUBERNETES_SERVICE_HOST").zip(port).ok_or(NotInPod)?;
        let file = |name| Path::new(ACCOUNT_DIRECTORY).join(name);
        Ok(Self { host, port, roots: file("ca.crt"), token: file("token") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_knows_the_api_server_by_two_variables() {
        let both = |name: &str| match name {
            "KUBERNETES_SERVICE_HOST" => Some("10.96.0.1".to_owned()),
            "KUBERNETES_SERVICE_PORT" => Some("443".to_owned()),
            _ => None,
        };
        let place = Place::in_pod(both).unwrap();
        assert_eq!((place.host.as_str(), place.port), ("10.96.0.1", 443));
        assert!(place.token.ends_with("serviceaccount/token"));
        assert_eq!(Place::in_pod(|name| both(name).filter(|value| value != "443")), Err(NotInPod));
    }
}
