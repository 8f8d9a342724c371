//! What people type: verbs, flags, exit codes.

use std::{
    io,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::{Parser, Subcommand};
use weft_runtime::{
    Shutdown, Tasks,
    logs::{self, Format},
};
use weft_samples::program::Sample;

use crate::{breakers, demo, inject, lifeline, run};

/// How long the control plane may take to finish after a first signal.
const GRACE: Duration = Duration::from_secs(10);

/// A service mesh small enough to read
#[derive(Parser)]
#[command(name = "weft", version, arg_required_else_help = true, disable_help_subcommand = true)]
struct Weft {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Play a story in six phases: two flaky services, and what the mesh makes of them
    #[command(after_help = "Exit code 0 if everything came out as computed, 1 if not.")]
    Demo(demo::Options),
    /// Run a mesh of this machine's processes, described by files that are read again when they change
    Run(run::Options),
    /// Show the circuit breakers of a running mesh, those that are open first
    #[command(after_help = breakers::EXIT_CODES)]
    Breakers(breakers::Options),
    /// Put sidecars into the pods of Kubernetes manifests, as the webhook would
    #[command(after_help = inject::EXIT_CODES)]
    Inject(inject::Options),
    /// One sidecar
    #[command(hide = true)]
    Proxy {
        /// File with what the proxy is told at start
        #[arg(long, value_name = "FILE")]
        bootstrap: PathBuf,
        #[command(flatten)]
        child: Child,
    },
    /// The control plane
    #[command(hide = true)]
    ControlPlane {
        /// File with its configuration
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        #[command(flatten)]
        child: Child,
    },
    /// One of the two services of the story
    #[command(hide = true)]
    Sample {
        #[command(flatten)]
        child: Child,
        #[command(subcommand)]
        sample: Sample,
    },
}

/// What a process is told that another weft starts.
#[derive(clap::Args)]
struct Child {
    /// End when stdin closes
    #[arg(long)]
    with_parent: bool,
}

/// Does what the command line says. Exit code 0: fine; 1: failed; 2: not a command line that is understood; 3: found
/// what should not be.
pub fn main() -> ExitCode {
    match obey(Weft::parse().verb) {
        Ok(code) => code,
        Err(error) => {
            anstream::eprintln!("weft: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn obey(verb: Verb) -> anyhow::Result<ExitCode> {
    match verb {
        Verb::Demo(options) => block_on(demo::run(options))?,
        Verb::Run(options) => block_on(run::run(options))?,
        Verb::Breakers(options) => block_on(breakers::run(options))?,
        Verb::Inject(options) => inject::run(&options),
        Verb::Proxy { bootstrap, child } => {
            child.prepare()?;
            logs::init("weft-proxy", Format::Text, &weft_proxy::config::log_filter())?;
            weft_proxy::run(&weft_proxy::config::Source::File(bootstrap))?;
            Ok(ExitCode::SUCCESS)
        }
        Verb::ControlPlane { config, child } => {
            child.prepare()?;
            logs::init("weft-control-plane", Format::Text, &weft_control_plane::config::log_filter())?;
            block_on(control_plane(&config))?
        }
        Verb::Sample { sample, child } => {
            child.prepare()?;
            Ok(sample.run())
        }
    }
}

/// The control plane whose configuration is at `path`, until a signal.
async fn control_plane(path: &Path) -> anyhow::Result<ExitCode> {
    let config = weft_control_plane::Config::load(path)?;
    let (shutdown, signals) = Shutdown::from_signals();
    let tasks = Tasks::new();
    tasks.spawn("signals", signals.abort_after(GRACE));
    weft_control_plane::run(config, shutdown).await?;
    Ok(ExitCode::SUCCESS)
}

impl Child {
    fn prepare(&self) -> io::Result<()> {
        if self.with_parent { lifeline::hold() } else { Ok(()) }
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> io::Result<T> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(future))
}

#[cfg(test)]
mod tests;
