//! `frontend`: see [`weft_samples::frontend`].

use std::process::ExitCode;

use clap::Parser;
use weft_samples::{frontend, program::Sample};

/// Renders a page from what the feelgood API says
#[derive(Parser)]
struct Command {
    #[command(flatten)]
    options: frontend::Options,
}

fn main() -> ExitCode {
    Sample::Frontend(Command::parse().options).run()
}
