//! Measures pairs of proxies between two pods, Weft's and those of others, in turns. As root:
//! `cargo run --profile dist -p weft-bench --bin pair`, with the programs of Weft built by the same profile before.

use std::{fs, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use weft_bench::{
    rig,
    stage::{Places, Stage, allow_descriptors},
    table::{self, Tables},
};

/// Measures pairs of proxies between two pods, in turns
#[derive(Parser)]
struct Options {
    /// Rounds; odd, so that there is a median among them
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// How long each load of a round lasts, in milliseconds
    #[arg(long, default_value_t = 1500)]
    length_ms: u64,
    /// Measure this row of the table; may be given several times. Without it: all
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Folder of weft-proxy and weft-control-plane. Without it: where this program is
    #[arg(long, value_name = "FOLDER")]
    programs: Option<PathBuf>,
    /// Envoy. Without it: where bench/peers/install puts it
    #[arg(long, value_name = "PROGRAM")]
    envoy: Option<PathBuf>,
    /// Writes all rounds to a file, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pair: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<()> {
    ensure!(rustix::process::geteuid().is_root(), "only root may make network namespaces");
    allow_descriptors()?;
    let own = std::env::current_exe()?;
    let folder = options.programs.clone().or_else(|| own.parent().map(PathBuf::from));
    let weft = folder.context("this program is in no folder")?;
    let target = own.ancestors().nth(2).context("this program is not in a target folder")?;
    let envoy = options.envoy.clone().unwrap_or_else(|| target.join("bench-peers/envoy"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let stage = Stage::start(&Places { weft, envoy }, &options.only).await?;
        for (subject, why) in &stage.missing {
            eprintln!("NOT MEASURED: {}: {why}", subject.name);
        }
        let length = Duration::from_millis(options.length_ms);
        let measured = rig::measure(&stage, options.rounds, length).await?;
        print!("{}", Tables(&measured));
        for (subject, why) in &stage.missing {
            println!("Not measured: {}: {why}", subject.name);
        }
        if let Some(path) = &options.json {
            let text = serde_json::to_string_pretty(&table::json(&measured))?;
            fs::write(path, text).with_context(|| path.display().to_string())?;
        }
        Ok(())
    })
}
