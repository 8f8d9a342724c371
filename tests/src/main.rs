//! `weft` as the integration tests start it: the command line's own entry, and nothing else.

use std::process::ExitCode;

fn main() -> ExitCode {
    weft_cli::command::main()
}
