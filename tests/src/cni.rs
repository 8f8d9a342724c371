//! `weft-cni` as the integration tests call it: the program's own entry, and nothing else.

use std::process::ExitCode;

fn main() -> ExitCode {
    weft_cni::command::main()
}
