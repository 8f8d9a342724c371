//! What one control plane does for a thousand sidecars: `cargo run --profile dist -p weft-bench --bin fleet`, with
//! weft-control-plane and weft-proxy built by the same profile before.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context, Result};
use clap::Parser;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use weft_bench::fleet::{self, mesh::Size};

/// Measures one control plane with many sidecars
#[derive(Parser)]
struct Options {
    /// Sidecars
    #[arg(long, default_value_t = 1000)]
    sidecars: usize,
    /// Services
    #[arg(long, default_value_t = 1000)]
    services: usize,
    /// Endpoints of each service
    #[arg(long, default_value_t = 10)]
    endpoints: usize,
    /// Changes of endpoints that all sidecars use
    #[arg(long, default_value_t = 20)]
    changes: u32,
    /// How long it rests, and how long other endpoints come and go, in seconds
    #[arg(long, default_value_t = 10)]
    length_s: u64,
    /// Folder of weft-control-plane and weft-proxy. Without it: where this program is
    #[arg(long, value_name = "FOLDER")]
    programs: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fleet: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<()> {
    let most = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most })?;
    let own = std::env::current_exe()?;
    let folder = options.programs.clone().or_else(|| own.parent().map(PathBuf::from));
    let programs = folder.context("this program is in no folder")?;
    let size = Size { sidecars: options.sidecars, services: options.services, endpoints: options.endpoints };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let length = Duration::from_secs(options.length_s);
    let report = runtime.block_on(fleet::run(&programs, size, options.changes, length))?;

    let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
    let of_100 =
        |share: usize| report.known_after.get((report.known_after.len() * share / 100).saturating_sub(1));
    println!("one sidecar is ready after, ms         {:>10.1}", ms(report.sidecar.ready_in));
    println!("  memory at rest, MB                   {:>10.1}", report.sidecar.resident_kib as f64 / 1024.0);
    println!("all had joined after, ms               {:>10.0}", ms(report.joined_in));
    println!("  processor time for each, ms          {:>10.2}", ms(report.joining) / options.sidecars as f64);
    for share in [50, 99, 100] {
        let after = of_100(share).copied().unwrap_or_default();
        println!("a change is known to {share:>3} % after, ms   {:>10.1}", ms(after));
    }
    println!("of one core, at rest, %                {:>10.2}", report.rest_share * 100.0);
    println!("  while endpoints come and go, %       {:>10.2}", report.churn_share * 100.0);
    let per_core = options.sidecars as f64 / report.churn_share;
    println!("  sidecars per core by that            {per_core:>10.0}");
    println!("memory alone, MB                       {:>10.1}", report.alone_kib as f64 / 1024.0);
    println!("  with all, MB                         {:>10.1}", report.with_all_kib as f64 / 1024.0);
    Ok(())
}
