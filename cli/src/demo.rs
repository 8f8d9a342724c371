//! `weft demo`: two services nobody may change, and what the mesh makes of them; played for real, and judged.

// The six phases, in order: what is done in each, and what must come out.
mod script;
// Where it is played: the processes, and the files that the mesh is described by.
mod stage;
// Those files.
mod files;
// Who watches: takes in events, looks around at each tick, and shows it.
mod audience;
// What people look at.
mod view;
// What there is to see at one moment.
mod picture;
// How far the story has come.
mod progress;
// One look at the mesh's own figures.
mod sighting;
// Who was at the other end of each hop, as the sidecars logged it.
mod access_log;
// The users.
mod load;
// Their latencies.
mod histogram;
// What must hold, and whether it does. Whoever plays the story elsewhere judges it by the same.
pub mod verdict;
// The story in words and numbers.
pub mod story;
// What must come out, computed.
pub mod arithmetic;

use std::{
    io::{IsTerminal, stdout},
    process::ExitCode,
    time::Duration,
};

use anyhow::Context;
use tokio::sync::mpsc;
use weft_runtime::{Shutdown, Tasks};

use self::{
    audience::Audience,
    load::Load,
    script::Script,
    stage::Stage,
    story::PHASES,
    view::{Shown, summary},
};

/// Events that may wait to be shown.
const EVENTS: usize = 256;
/// Below this a phase is too short for the breaker to trip, and to be probed, within it.
const SHORTEST: Duration = Duration::from_secs(24);

/// How to play.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// Lines of text, without control codes; also where stdout is not a terminal
    #[arg(long)]
    plain: bool,
    /// Stay up afterwards, until Ctrl-C
    #[arg(long)]
    keep: bool,
    /// Time under load, all phases together; at least 24s
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration)]
    duration: weft_api::Duration,
    /// Pages that users ask for in a second, 20 to 1000
    #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = clap::value_parser!(u32).range(20..=1000))]
    rate: u32,
}

/// How the performance ended.
enum End {
    Played(anyhow::Result<()>),
    Left(anyhow::Result<()>),
}

/// Plays the story. Exit code 0 if everything came out as computed.
pub(crate) async fn run(options: Options) -> anyhow::Result<ExitCode> {
    let (shutdown, signals) = Shutdown::from_signals();
    let tasks = Tasks::new();
    tasks.spawn("signals", signals);
    let shown = Shown::open(options.plain || !stdout().is_terminal())?;
    let (events, inbox) = mpsc::channel(EVENTS);
    let mut stage = Stage::open(events.clone()).await.context("the demo cannot start")?;
    let load = Load::start(stage.unmeshed_page(), options.rate, files::CANNED)?;
    let mut audience = Audience::new(shown, inbox, stage.scene());
    let per_second = u64::from(options.rate);
    let requests = per_second * options.duration.get().as_millis() as u64 / 1000 / PHASES.len() as u64;
    let mut script = Script::new(&mut stage, &load, events, per_second, requests);
    let end = tokio::select! {
        played = script.play() => End::Played(played),
        left = audience.watch(&load) => End::Left(left),
        () = shutdown.draining() => End::Left(Ok(())),
    };
    let progress = audience.leave();
    anstream::print!("{}", summary::table(&progress));
    let result = match end {
        End::Left(left) => left.map(|()| ExitCode::FAILURE),
        End::Played(Err(error)) => {
            stage.keep_logs();
            Err(error.context(format!("the story broke off; logs are in {}", stage.folder().display())))
        }
        End::Played(Ok(())) if progress.holds() => Ok(ExitCode::SUCCESS),
        End::Played(Ok(())) => {
            stage.keep_logs();
            anstream::println!("Logs are in {}.", stage.folder().display());
            Ok(ExitCode::FAILURE)
        }
    };
    if options.keep && result.is_ok() && !shutdown.is_draining() {
        anstream::print!("{}", stage.addresses());
        shutdown.draining().await;
    }
    drop(load);
    stage.close(&shutdown).await;
    result
}

fn duration(text: &str) -> Result<weft_api::Duration, String> {
    let duration: weft_api::Duration = text.parse().map_err(|error| format!("{error}"))?;
    let longest = Duration::from_hours(1);
    if (SHORTEST..=longest).contains(&duration.get()) {
        Ok(duration)
    } else {
        Err(format!("{duration} is not within {} s to 1 h", SHORTEST.as_secs()))
    }
}
