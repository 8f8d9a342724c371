//! Puts sidecars to work, so that those that were built with counters write their profile: see `bench/profile`. As root.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context, Result, ensure};
use weft_bench::{
    stage::{Places, allow_descriptors},
    training::train,
};

/// How long each load of the tables lasts.
const LENGTH: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("train: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let weft = std::env::args_os().nth(1).map(PathBuf::from);
    let weft = weft.context("usage: train FOLDER, which holds weft-proxy and weft-control-plane")?;
    ensure!(rustix::process::geteuid().is_root(), "only root may make network namespaces");
    allow_descriptors()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // Nobody but Weft is put to work.
    runtime.block_on(train(&Places { weft, envoy: PathBuf::new() }, LENGTH))
}
