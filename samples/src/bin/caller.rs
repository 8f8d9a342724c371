//! `caller`: see [`weft_samples::caller`].

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::Parser;
use weft_samples::{caller, process};

/// Calls a service at a constant rate, and tells as JSON how it went
#[derive(Parser)]
struct Command {
    #[command(flatten)]
    options: caller::Options,
}

fn main() -> ExitCode {
    match run(&Command::parse().options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("caller: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &caller::Options) -> Result<(), caller::Error> {
    let account = process::block_on(caller::call(options))??;
    let mut told = serde_json::to_vec(&account).map_err(io::Error::from)?;
    told.push(b'\n');
    Ok(io::stdout().write_all(&told)?)
}
