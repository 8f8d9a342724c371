//! `weft`: see [`weft_cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    weft_cli::command::main()
}
