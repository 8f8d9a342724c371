//! `weft-proxy`: the sidecar as a program of its own, and what else a pod of the mesh runs.

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use weft_proxy::{config, config::Source, log_adapter, redirect};
use weft_runtime::logs::{self, Format};

#[global_allocator]
static ALLOCATOR: weft_proxy::Allocator = weft_proxy::Allocator;

const USAGE: &str = "\
usage: weft-proxy --bootstrap FILE          the sidecar; FILE holds its bootstrap as JSON
       weft-proxy --bootstrap-env           the same, with the bootstrap in the variable WEFT_BOOTSTRAP
       weft-proxy init [FLAGS]                  leads the connections of a pod through its sidecar; --help lists FLAGS
       weft-proxy logs --file FILE ...      prints the lines of log files as JSON, and follows them";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["--bootstrap", path] => sidecar(&Source::File(PathBuf::from(path))),
        ["--bootstrap-env"] => sidecar(&Source::Environment),
        ["init", flags @ ..] => init(flags),
        ["logs", files @ ..] => match log_adapter::files(files) {
            Ok(files) => adapter(files),
            Err(error) => misused(&error.to_string()),
        },
        [] => misused("no arguments are given"),
        [first, ..] => misused(&format!("`{first}` is not understood here")),
    }
}

fn sidecar(source: &Source) -> ExitCode {
    start("weft-proxy", || weft_proxy::run(source).map_err(|error| error.to_string()))
}

fn adapter(files: Vec<PathBuf>) -> ExitCode {
    start("weft-logs", || log_adapter::run(files, &config::pod()).map_err(|error| error.to_string()))
}

/// Runs once, for people and for the events of a pod: it says what it did in plain words.
fn init(flags: &[&str]) -> ExitCode {
    match redirect::init(flags) {
        Ok(said) => match io::stdout().write_all(said.as_bytes()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        },
        Err(error) => {
            eprintln!("weft-proxy init: {error}");
            if error.is_usage() { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

/// Starts the log of `program`, and then `run`.
fn start(program: &str, run: impl FnOnce() -> Result<(), String>) -> ExitCode {
    if let Err(error) = logs::init(program, Format::Json, &config::log_filter()) {
        eprintln!("{program}: {error}");
        return ExitCode::from(2);
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{program}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn misused(why: &str) -> ExitCode {
    eprintln!("weft-proxy: {why}\n{USAGE}");
    ExitCode::from(2)
}
