//! What the control plane is told in a cluster: by arguments, and by the variables that its pod has.

use std::net::SocketAddr;

use weft_api::{Duration, names};
use weft_identity::{TrustDomain, spiffe::InvalidTrustDomain};
use weft_kubernetes::{Place, place::NotInPod};

use super::{LIFETIMES, default_certificate_lifetime, default_trust_domain, variable};

/// Variables from the downward API: `metadata.name` and `metadata.namespace`.
const VARIABLE_POD_NAME: &str = "POD_NAME";
const VARIABLE_POD_NAMESPACE: &str = "POD_NAMESPACE";

/// What the control plane is told in a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InCluster {
    /// Where proxies connect (TLS). `0.0.0.0:15012`.
    pub listen: SocketAddr,
    /// Metrics, health, problems and proxies; read-only. `0.0.0.0:4191`.
    pub admin: SocketAddr,
    /// Trust domain of the mesh. Default `cluster.local`.
    pub trust_domain: String,
    /// How long a certificate is good for. Default 24 h. Range 1 m to 720 h.
    pub certificate_lifetime: Duration,
    /// Name of the pod that this is.
    pub pod: String,
    /// Namespace of the pod, which is that of the mesh.
    pub namespace: String,
    /// The API server.
    pub api_server: Place,
}

/// Why it does not know what to do.
#[derive(Debug, thiserror::Error)]
pub enum InClusterError {
    /// An argument that is not one.
    #[error("`{0}` is not an argument: known are --trust-domain NAME and --certificate-lifetime DURATION")]
    Argument(String),
    /// An argument without a value.
    #[error("{0} needs a value")]
    NoValue(String),
    /// No trust domain.
    #[error("--trust-domain is `{0}`: {1}")]
    TrustDomain(String, InvalidTrustDomain),
    /// No lifetime.
    #[error("--certificate-lifetime is `{0}`; it must be within 1m to 720h")]
    Lifetime(String),
    /// A variable is missing.
    #[error("the variable {0} is empty: set it from the downward API")]
    Variable(&'static str),
    /// This is no pod.
    #[error(transparent)]
    Place(#[from] NotInPod),
}

impl InCluster {
    /// By the arguments after `--kubernetes`, and the environment.
    pub fn load(arguments: impl Iterator<Item = String>) -> Result<Self, InClusterError> {
        Self::read(arguments, variable)
    }

    fn read(
        mut arguments: impl Iterator<Item = String>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, InClusterError> {
        let needed = |name: &'static str| variable(name).ok_or(InClusterError::Variable(name));
        let any = |port| SocketAddr::from(([0, 0, 0, 0], port));
        let mut read = Self {
            listen: any(names::XDS_PORT),
            admin: any(names::ADMIN_PORT),
            trust_domain: default_trust_domain(),
            certificate_lifetime: default_certificate_lifetime(),
            pod: needed(VARIABLE_POD_NAME)?,
            namespace: needed(VARIABLE_POD_NAMESPACE)?,
            api_server: Place::in_pod(&variable)?,
        };
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| InClusterError::NoValue(argument.clone()));
            match argument.as_str() {
                "--trust-domain" => read.trust_domain = trust_domain(value()?)?,
                "--certificate-lifetime" => read.certificate_lifetime = lifetime(value()?)?,
                _ => return Err(InClusterError::Argument(argument)),
            }
        }
        Ok(read)
    }
}

fn trust_domain(text: String) -> Result<String, InClusterError> {
    match text.parse::<TrustDomain>() {
        Ok(_) => Ok(text),
        Err(error) => Err(InClusterError::TrustDomain(text, error)),
    }
}

fn lifetime(text: String) -> Result<Duration, InClusterError> {
    let [shortest, longest] = LIFETIMES;
    let parsed = text.parse().ok().filter(|lifetime| (shortest..=longest).contains(lifetime));
    parsed.ok_or(InClusterError::Lifetime(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &[&str], missing: &str) -> Result<InCluster, String> {
        let variable = |name: &str| {
            let value = match name {
                "POD_NAME" => "weft-control-plane-1",
                "POD_NAMESPACE" => "mesh",
                "KUBERNETES_SERVICE_HOST" => "10.96.0.1",
                "KUBERNETES_SERVICE_PORT" => "443",
                _ => return None,
            };
            (name != missing).then(|| value.to_owned())
        };
        let arguments = arguments.iter().map(|text| (*text).to_owned());
        InCluster::read(arguments, variable).map_err(|error| error.to_string())
    }

    #[test]
    fn a_pod_knows_all_that_it_needs() {
        let config = read(&[], "").unwrap();
        assert_eq!((config.pod.as_str(), config.namespace.as_str()), ("weft-control-plane-1", "mesh"));
        assert_eq!((config.listen.port(), config.admin.port()), (15012, 4191));
        assert_eq!(
            (config.trust_domain.as_str(), config.certificate_lifetime.to_string()),
            ("cluster.local", "24h".to_owned())
        );
        let config = read(&["--trust-domain", "mesh.test", "--certificate-lifetime", "1h"], "").unwrap();
        assert_eq!(
            (config.trust_domain.as_str(), config.certificate_lifetime),
            ("mesh.test", Duration::from_secs(3600))
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (arguments, missing, says) in [
            (&["--trust-domain"][..], "", "--trust-domain needs a value"),
            (&["--trust-domain", "Mesh"], "", "--trust-domain is `Mesh`"),
            (
                &["--certificate-lifetime", "30s"],
                "",
                "--certificate-lifetime is `30s`; it must be within 1m to 720h",
            ),
            (&["--config"], "", "`--config` is not an argument"),
            (&[], "POD_NAMESPACE", "the variable POD_NAMESPACE is empty"),
            (&[], "KUBERNETES_SERVICE_HOST", "the variables KUBERNETES_SERVICE_HOST"),
        ] {
            let error = read(arguments, missing).unwrap_err();
            assert!(error.starts_with(says), "{error}");
        }
    }
}
