//! `weft`: see [`weft_cli`].

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: weft_proxy::Allocator = weft_proxy::Allocator;

fn main() -> ExitCode {
    weft_cli::command::main()
}
