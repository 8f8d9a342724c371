//! `feelgood-api`: see [`weft_samples::feelgood_api`].

use std::process::ExitCode;

use clap::Parser;
use weft_samples::{feelgood_api, program::Sample};

/// Answers good vibes, and fails about one request in three
#[derive(Parser)]
struct Command {
    #[command(flatten)]
    options: feelgood_api::Options,
}

fn main() -> ExitCode {
    Sample::FeelgoodApi(Command::parse().options).run()
}
