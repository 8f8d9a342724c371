//! `weft run`: a mesh of this machine's processes, described by files in the kinds that Kubernetes has.

// Prints what happens, and maps it to an exit code.
pub(crate) mod report;
// The control plane and the sidecars: started, kept, changed with the files, ended.
pub(crate) mod mesh;
// Whether addresses are free before anything is started.
mod listeners;
// From a workload to what its sidecar is told.
mod plan;
// Keys, tokens and logs on disk.
pub(crate) mod state;

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use anyhow::Context;
use tokio::sync::mpsc;
use weft_control_plane::watch;
use weft_runtime::{Shutdown, Tasks};

use self::{
    mesh::{Logs, Mesh},
    state::State,
};

/// Events that may wait to be told.
const EVENTS: usize = 256;

/// How to run a local mesh.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// File, or folder of *.yaml, *.yml and *.json: services, endpoints, routes, policies, workloads
    #[arg(short, long = "file", value_name = "PATH")]
    file: PathBuf,
    /// Folder for keys, tokens and logs; default: a temporary one
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Where the control plane serves xDS
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:15012")]
    control_plane: SocketAddr,
    /// Where the control plane serves metrics, health, problems and proxies
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:15014")]
    control_plane_admin: SocketAddr,
}

/// Runs the mesh until a signal. Exit code 1 if it could not start, with what to do about it on stderr.
pub(crate) async fn run(options: Options) -> anyhow::Result<ExitCode> {
    if let Err(problems) = watch::check(&options.file) {
        report::problems(&problems);
        return Ok(ExitCode::FAILURE);
    }
    let state = State::open(options.state.as_deref())?;
    let settings = mesh::Settings {
        files: options.file,
        state,
        control_plane: options.control_plane,
        control_plane_admin: options.control_plane_admin,
        logs: Logs::Prefixed,
    };
    let (shutdown, signals) = Shutdown::from_signals();
    let (events, inbox) = mpsc::channel(EVENTS);
    let mesh = Mesh::new(settings, events).context("the mesh cannot start")?;
    let tasks = Tasks::new();
    tasks.spawn("signals", signals);
    let (ended, ()) = tokio::join!(mesh.run(&shutdown), report::tell(inbox));
    ended?;
    Ok(ExitCode::SUCCESS)
}
