//! The log adapter: follows the log files of an application and prints each of their lines as a JSON object.

mod follow;
mod line;

use std::{
    io::{self, Write},
    path::PathBuf,
    time::Duration,
};

use tokio::time::{Instant, MissedTickBehavior, interval};
use weft_runtime::{Shutdown, Tasks};

use self::follow::Follower;
use crate::config::Pod;

/// Files at most; each takes up to 128 KiB.
const FILES_MAX: usize = 16;
/// How often files are looked at.
const POLL: Duration = Duration::from_millis(250);
/// After a signal the files are followed until none of them has grown for so long: the application may still say why
/// it ends.
const QUIET: Duration = Duration::from_secs(1);

/// Not a list of files to follow.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidFiles {
    /// Something other than pairs of `--file FILE`.
    #[error("logs: `{0}` is not understood; give `--file FILE`, once or several times")]
    Argument(String),
    /// A flag at the end.
    #[error("logs: `--file` is followed by no file")]
    Missing,
    /// No file at all.
    #[error("logs: no file is given; give `--file FILE`, once or several times")]
    None,
    /// More than are followed.
    #[error("logs: {0} files are given; at most {FILES_MAX} are followed")]
    TooMany(usize),
}

/// The files that the arguments behind `logs` name.
pub fn files(arguments: &[&str]) -> Result<Vec<PathBuf>, InvalidFiles> {
    let mut files = Vec::new();
    for pair in arguments.chunks(2) {
        match pair {
            ["--file", file] if !file.is_empty() => files.push(PathBuf::from(file)),
            ["--file", ..] => return Err(InvalidFiles::Missing),
            [other, ..] => return Err(InvalidFiles::Argument((*other).to_owned())),
            [] => {}
        }
    }
    match files.len() {
        0 => Err(InvalidFiles::None),
        1..=FILES_MAX => Ok(files),
        many => Err(InvalidFiles::TooMany(many)),
    }
}

/// Follows `files` until a signal, and then to their ends. Prints to stdout.
///
/// # Errors
/// When nobody reads stdout any more, or no runtime can be had.
pub fn run(files: Vec<PathBuf>, pod: &Pod) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (shutdown, signals) = Shutdown::from_signals();
        let tasks = Tasks::new();
        tasks.spawn("signals", signals);
        follow(files, pod, &shutdown, &mut io::stdout()).await
    })
}

/// What [`run`] does, with whoever tells it to end and whoever reads.
async fn follow(files: Vec<PathBuf>, pod: &Pod, shutdown: &Shutdown, out: &mut impl Write) -> io::Result<()> {
    let mut followers: Vec<Follower> = files.into_iter().map(Follower::new).collect();
    let mut ticks = interval(POLL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut grown = Instant::now();
    let mut draining = false;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = shutdown.draining(), if !draining => {
                draining = true;
                grown = Instant::now();
            }
            () = shutdown.aborting() => break,
        }
        if print_news(&mut followers, pod, out)? {
            grown = Instant::now();
            // There may be more than one look reads.
            ticks.reset_immediately();
        }
        if draining && grown.elapsed() >= QUIET {
            break;
        }
    }
    for follower in &mut followers {
        follower.finish(|path, line| line::print(out, pod, path, line))?;
    }
    out.flush()
}

/// Whether there was anything new.
fn print_news(followers: &mut [Follower], pod: &Pod, out: &mut impl Write) -> io::Result<bool> {
    let mut any = false;
    for follower in followers {
        any |= follower.look(|path, line| line::print(out, pod, path, line))?;
    }
    if any {
        out.flush()?;
    }
    Ok(any)
}

#[cfg(test)]
mod tests;
