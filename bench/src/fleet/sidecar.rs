//! One real sidecar in the mesh: how soon it serves, and what it weighs however large the mesh is.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tokio::time::sleep;
use weft_tests::{census::Census, metrics, port, process::Process};

use super::{
    PATIENCE,
    mesh::{BUNDLE, CONTROL_PLANE, Mesh, SHARED},
};

/// Pause between two looks whether it is ready: what is measured is a hundred times as long, or more.
const LOOK: Duration = Duration::from_micros(100);
/// Before its memory is looked at, so that it has come to rest.
const REST: Duration = Duration::from_secs(2);

/// What it took.
#[derive(Debug)]
pub struct Sidecar {
    /// From its start until it had certificate and configuration, and said that it is ready.
    pub ready_in: Duration,
    /// Memory at rest, in KiB.
    pub resident_kib: u64,
}

impl Sidecar {
    /// Starts it as the sidecar of the first workload, with a way to [`SHARED`], and lets it end.
    ///
    /// # Errors
    /// If it does not get ready.
    pub async fn measure(mesh: &Mesh, program: &Path) -> Result<Self> {
        let (admin, listen) = (port::free(), port::free());
        let token = mesh.path("token");
        fs::write(&token, mesh.token(0)?)?;
        let bootstrap = json!({
            "workload": { "namespace": "default", "name": "w0", "serviceAccount": "w0" },
            "controlPlane": {
                "address": mesh.xds,
                "identity": CONTROL_PLANE,
                "trustBundle": mesh.path(BUNDLE),
                "token": token,
            },
            "admin": admin,
            "outbound": [{ "listen": listen, "target": format!("s{SHARED}.default.svc.cluster.local:80") }],
            "workers": 1,
        });
        let path = mesh.path("bootstrap.json");
        fs::write(&path, bootstrap.to_string())?;
        let log = mesh.path("sidecar.log");
        let [program, path] = [program, &path].map(|path| path.to_str().context("names of files are plain"));
        let began = Instant::now();
        let process = Process::start("weft-proxy", program?, &["--bootstrap", path?], &log, &log);
        while !metrics::is_ready(admin).await {
            ensure!(began.elapsed() < PATIENCE, "the sidecar does not get ready:\n{}", process.log());
            sleep(LOOK).await;
        }
        let ready_in = began.elapsed();
        sleep(REST).await;
        Ok(Self { ready_in, resident_kib: Census::of(process.pid()).resident_kib })
    }
}
