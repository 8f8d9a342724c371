//! The program `weft-cni`: the plugin where a container runtime calls it, the agent where it is told so.

use std::{
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};

use weft_runtime::{Shutdown, Tasks, logs};

use crate::{
    agent::Agent,
    config::{self, Settings, USAGE},
    plugin,
};

/// How long the agent may take to end after a first signal: to ask whether the mesh is uninstalled, and to answer what
/// was asked.
const GRACE: Duration = Duration::from_secs(25);

/// Runs it.
pub fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.split_first() {
        None if config::environment().command.is_some() => called(),
        Some((first, flags)) if first == "agent" => match config::settings(flags) {
            Ok(settings) => agent(&settings),
            Err(error) => misused(&error.to_string()),
        },
        None => misused("no arguments are given, and CNI_COMMAND is not set"),
        Some((first, _)) => misused(&format!("`{first}` is not understood here")),
    }
}

/// Answers the runtime.
fn called() -> ExitCode {
    let printed = plugin::answer(&config::environment(), io::stdin());
    let text = printed.text.map(|text| text.to_string()).unwrap_or_default();
    let written = io::stdout().write_all(text.as_bytes());
    if printed.success && written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn agent(settings: &Settings) -> ExitCode {
    match run(settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("weft-cni: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(settings: &Settings) -> Result<(), Box<dyn std::error::Error>> {
    logs::init("weft-cni", logs::Format::Json, &config::log_filter())?;
    let api_server = config::api_server()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (shutdown, watcher) = Shutdown::from_signals();
        let tasks = Tasks::new();
        tasks.spawn("signals", watcher.abort_after(GRACE));
        Agent::start(settings, api_server, shutdown).await?.run().await;
        Ok(())
    })
}

fn misused(why: &str) -> ExitCode {
    eprintln!("weft-cni: {why}\n{USAGE}");
    ExitCode::from(2)
}
