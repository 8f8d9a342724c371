//! What the control plane and each sidecar are told at start: the files that whoever starts them writes.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use serde_json::json;
use weft_api::{
    bootstrap::{Bootstrap, ControlPlane, Inbound, Outbound, Workload},
    names,
    object::DEFAULT_NAMESPACE,
    workload::WorkloadSpec,
};
use weft_identity::token::{LocalIssuer, Workload as Claim};

use crate::plan::Plan;

/// Life of a token: longer than any test.
const TOKEN_LIFETIME: Duration = Duration::from_hours(1);

/// What all programs of a mesh are told alike.
pub(super) struct Told {
    issuer: LocalIssuer,
    plan: Plan,
}

impl Told {
    pub(super) fn new(plan: &Plan) -> Self {
        let issuer = LocalIssuer::create().expect("there is randomness for a key");
        Self { issuer, plan: plan.clone() }
    }

    /// Writes the control plane's configuration, and says where.
    pub(super) fn control_plane(&self, root: &Path, listen: SocketAddr, admin: SocketAddr) -> PathBuf {
        let state = root.join("state");
        let public_key = state.join("tokens.pub");
        write(&public_key, &self.issuer.public_key_pem());
        let authority = state.join("authority");
        fs::create_dir_all(&authority).unwrap_or_else(|error| panic!("{}: {error}", authority.display()));
        let config = json!({
            "listen": listen,
            "admin": admin,
            "source": { "directory": root.join("files") },
            "authority": { "directory": authority },
            "authentication": { "localIssuer": { "publicKey": public_key } },
            "certificateLifetime": self.plan.certificate_lifetime,
        });
        let path = state.join("control-plane.json");
        write(&path, &config.to_string());
        path
    }

    /// Writes what the sidecar of a workload is told, and says where.
    pub(super) fn sidecar(
        &self,
        root: &Path,
        control_plane: SocketAddr,
        name: &str,
        spec: &WorkloadSpec,
    ) -> PathBuf {
        let state = root.join("state");
        let account = spec.service_account.clone().unwrap_or_else(|| name.to_owned());
        let claim = Claim {
            namespace: DEFAULT_NAMESPACE.to_owned(),
            service_account: account.clone(),
            pod: name.to_owned(),
            pod_uid: name.to_owned(),
        };
        let issued = self.issuer.issue(&claim, names::TOKEN_AUDIENCE, TOKEN_LIFETIME, SystemTime::now());
        let token = state.join(format!("{name}.token"));
        write(&token, &issued.expect("the issuer's key can sign"));
        let inbound = spec.inbound.iter().map(|inbound| Inbound {
            listen: SocketAddr::new(inbound.address, inbound.port),
            app: inbound.app,
        });
        let outbound = spec.outbound.iter().map(|outbound| Outbound {
            listen: outbound.listen,
            target: format!("{}.{DEFAULT_NAMESPACE}.svc.cluster.local:{}", outbound.service, outbound.port),
        });
        let trust_domain = names::DEFAULT_TRUST_DOMAIN;
        let (system, control_plane_account) = (names::SYSTEM_NAMESPACE, names::CONTROL_PLANE_ACCOUNT);
        let bootstrap = Bootstrap {
            workload: Workload {
                namespace: DEFAULT_NAMESPACE.to_owned(),
                name: name.to_owned(),
                service_account: account,
                service: None,
                zone: spec.zone.clone(),
            },
            trust_domain: trust_domain.to_owned(),
            control_plane: ControlPlane {
                address: control_plane.to_string(),
                identity: format!("spiffe://{trust_domain}/ns/{system}/sa/{control_plane_account}"),
                trust_bundle: state.join("authority").join("bundle.pem"),
                token,
            },
            admin: spec.admin,
            inbound: inbound.collect(),
            outbound: outbound.collect(),
            transparent: None,
            workers: Some(1),
            memory_limit: spec.memory_limit,
            mesh_http: self.plan.mesh_http,
            access_log: spec.access_log,
            tracing: spec.tracing.clone(),
            drain: self.plan.drain,
        };
        let path = state.join(format!("{name}.json"));
        let text = serde_json::to_string(&bootstrap).expect("a bootstrap is JSON");
        write(&path, &text);
        path
    }
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}
