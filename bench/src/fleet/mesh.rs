//! The files of a mesh: services, where their endpoints are, and the workloads of the sidecars.

use std::{
    fmt::Write as _,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tempfile::TempDir;
use weft_api::names;
use weft_identity::token::{LocalIssuer, Workload};
use weft_tests::{port, process::Process};

/// The service that all sidecars call.
pub const SHARED: usize = 0;
/// Who the control plane of local mode is.
pub const CONTROL_PLANE: &str = "spiffe://cluster.local/ns/weft-system/sa/weft-control-plane";
/// The file with the roots that sidecars trust at first. The control plane writes it.
pub const BUNDLE: &str = "authority/bundle.pem";
/// A control plane reads no more than 4,096 files of a folder.
const SERVICES_MAX: usize = 4_000;
/// How long tokens are good for: longer than any measurement.
const TOKEN_LIFETIME: Duration = Duration::from_hours(1);

/// How much there is.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Streams of sidecars.
    pub sidecars: usize,
    /// Services.
    pub services: usize,
    /// Endpoints of each service.
    pub endpoints: usize,
}

/// The files, and where the control plane serves them.
pub struct Mesh {
    /// How much there is of it.
    pub size: Size,
    /// Where sidecars connect.
    pub xds: SocketAddr,
    /// Where it tells of itself.
    pub admin: SocketAddr,
    folder: TempDir,
    issuer: LocalIssuer,
}

impl Mesh {
    /// Writes everything.
    ///
    /// # Errors
    /// If a file cannot be written, or it would be too many.
    pub fn create(size: Size) -> Result<Self> {
        ensure!(size.services <= SERVICES_MAX, "at most {SERVICES_MAX} services: each has a file of its own");
        let issuer = LocalIssuer::create()?;
        let (folder, xds, admin) = (TempDir::new()?, port::free(), port::free());
        let mesh = Self { size, xds, admin, folder, issuer };
        fs::create_dir(mesh.objects())?;
        fs::write(mesh.path("tokens.pub"), mesh.issuer.public_key_pem())?;
        let config = json!({
            "listen": xds,
            "admin": admin,
            "source": { "directory": mesh.objects() },
            "authority": { "directory": mesh.path("authority") },
            "authentication": { "localIssuer": { "publicKey": mesh.path("tokens.pub") } },
        });
        fs::write(mesh.path("control-plane.json"), config.to_string())?;
        let workloads: Vec<_> = (0..size.sidecars).map(workload).collect();
        fs::write(mesh.objects().join("workloads.yaml"), workloads.join("---\n"))?;
        (0..size.services).try_for_each(|service| mesh.change(service, 0))?;
        Ok(mesh)
    }

    /// Starts the control plane of this program.
    ///
    /// # Errors
    /// If there is no such program.
    pub fn start(&self, program: &Path) -> Result<Process> {
        let program = program.to_str().filter(|_| program.exists());
        let program =
            program.context("there is no weft-control-plane beside this program: build it first")?;
        let (config, log) = (self.path("control-plane.json"), self.path("control-plane.log"));
        let config = config.to_str().context("folders for temporary files have plain names")?;
        Ok(Process::start("weft-control-plane", program, &["--config", config], &log, &log))
    }

    /// Moves all endpoints of a service, as in round `round`: where they are is new in each.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn change(&self, service: usize, round: u32) -> Result<()> {
        let Size { sidecars, endpoints, .. } = self.size;
        let mut text = format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{ name: s{service} }}\nspec: {{ ports: [{{ port: 80 }}] }}\n\
             ---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n\
             metadata: {{ name: s{service}-1, labels: {{ kubernetes.io/service-name: s{service} }} }}\n\
             addressType: IPv4\nports: [{{ port: 8080 }}]\nendpoints:\n"
        );
        for endpoint in 0..endpoints {
            let owner = (service * endpoints + endpoint) % sidecars;
            writeln!(
                text,
                "- {{ addresses: [127.{}.{}.{}], targetRef: {{ kind: Workload, name: w{owner} }} }}",
                1 + round % 100,
                service % 256,
                1 + endpoint % 250,
            )?;
        }
        // Renamed, so that nobody reads half of it.
        let (new, path) = (self.path("new.yaml"), self.objects().join(format!("s{service}.yaml")));
        fs::write(&new, text)?;
        Ok(fs::rename(new, path)?)
    }

    /// What a sidecar shows to the control plane.
    ///
    /// # Errors
    /// If the token cannot be signed.
    pub fn token(&self, sidecar: usize) -> Result<String> {
        let name = format!("w{sidecar}");
        let workload = Workload {
            namespace: "default".to_owned(),
            service_account: name.clone(),
            pod: name.clone(),
            pod_uid: name,
        };
        Ok(self.issuer.issue(&workload, names::TOKEN_AUDIENCE, TOKEN_LIFETIME, SystemTime::now())?)
    }

    fn objects(&self) -> PathBuf {
        self.path("objects")
    }

    /// A file of this mesh.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

fn workload(sidecar: usize) -> String {
    format!(
        "apiVersion: local.weft.dev/v1alpha1\nkind: Workload\nmetadata: {{ name: w{sidecar} }}\n\
         spec:\n  admin: 127.0.0.1:4191\n  inbound: [{{ port: 8080, app: '127.0.0.1:80' }}]\n"
    )
}
