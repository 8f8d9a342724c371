//! `weft-proxy --bootstrap FILE`: the sidecar as a program of its own.

use std::{path::Path, process::ExitCode};

use weft_runtime::logs::{self, Format};

const USAGE: &str = "usage: weft-proxy --bootstrap FILE";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [flag, path] = arguments.as_slice() else { return usage() };
    if flag != "--bootstrap" {
        return usage();
    }
    let filter = weft_proxy::config::log_filter();
    if let Err(error) = logs::init("weft-proxy", Format::Json, &filter) {
        eprintln!("weft-proxy: {error}");
        return ExitCode::from(2);
    }
    match weft_proxy::run(Path::new(path)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("weft-proxy: {error}");
            ExitCode::FAILURE
        }
    }
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(2)
}
