//! `weft-cni`: see [`weft_cni`].

use std::process::ExitCode;

fn main() -> ExitCode {
    weft_cni::command::main()
}
