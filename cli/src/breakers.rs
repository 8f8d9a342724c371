//! `weft breakers`: every circuit breaker of a running mesh, as the sidecars tell of them.

// Again each second: a screen on a terminal, one line for each change anywhere else.
mod watch;
// The screen.
mod screen;
// What changed between two looks.
mod transition;
// One look as a table, and as JSON.
mod table;
mod document;
// One look at all sidecars.
mod look;
// Which sidecars to ask.
mod sidecars;
// The breakers of one sidecar, from its metrics.
mod breaker;

use std::{
    io::{self, Write},
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
};

use self::{document::Document, look::Look, sidecars::Sidecars};

/// What the exit codes mean, for the help.
pub(crate) const EXIT_CODES: &str = "\
Exit code 0 if all breakers are closed, 3 if one is open or half-open, 1 if a sidecar does not answer.
With --watch: 0 when Ctrl-C ends it.";

/// A breaker lets less than everything pass.
const FOUND: u8 = 3;
/// Not a command line that can be followed.
const USAGE: u8 = 2;

/// Which breakers to show, and how.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// File or folder that `weft run` was given; default: the current folder
    #[arg(short, long = "file", value_name = "PATH", conflicts_with = "proxy")]
    file: Option<PathBuf>,
    /// Where a sidecar serves its metrics; several may be given, and take the place of -f
    #[arg(long, value_name = "ADDRESS", num_args = 1..)]
    proxy: Vec<SocketAddr>,
    /// How to print them
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value = "table")]
    output: Output,
    /// Look again each second, until Ctrl-C; without a terminal, or as JSON: one line for each change
    #[arg(long)]
    watch: bool,
}

/// How breakers are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    /// What fits a terminal
    Table,
    /// Also reasons, outcomes and refused ejections
    Wide,
    /// Everything, for programs
    Json,
}

/// Shows the breakers. What could not be asked is told on stderr.
pub(crate) async fn run(options: Options) -> anyhow::Result<ExitCode> {
    let sidecars = match Sidecars::choose(options.file, &options.proxy) {
        Ok(sidecars) => sidecars,
        Err(error) => {
            anstream::eprintln!("weft: {error}");
            return Ok(if error.is_usage() { ExitCode::from(USAGE) } else { ExitCode::FAILURE });
        }
    };
    if options.watch {
        watch::watch(sidecars, options.output).await?;
        return Ok(ExitCode::SUCCESS);
    }
    let look = Look::at(sidecars.now()).await;
    let text = match options.output {
        Output::Table => table::table(&look, false),
        Output::Wide => table::table(&look, true),
        Output::Json => serde_json::to_string_pretty(&Document::of(&look))? + "\n",
    };
    print(&text)?;
    for missed in &look.unanswered {
        anstream::eprintln!("weft: {}", table::unanswered(missed));
    }
    Ok(exit_code(&look))
}

/// 1 goes before 3: where a sidecar is silent, nobody knows how its breakers are.
fn exit_code(look: &Look) -> ExitCode {
    if !look.unanswered.is_empty() {
        ExitCode::FAILURE
    } else if look.breakers.iter().any(|breaker| breaker.state.restricts()) {
        ExitCode::from(FOUND)
    } else {
        ExitCode::SUCCESS
    }
}

/// Prints to stdout, with colours only where they belong. False if nobody reads any more, which is no failure of ours.
fn print(text: &str) -> io::Result<bool> {
    let mut out = anstream::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        done => done.map(|()| true),
    }
}

#[cfg(test)]
mod tests;
