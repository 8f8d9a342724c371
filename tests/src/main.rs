//! `weft` as the integration tests start it: the command line's own entry, and nothing else.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: weft_proxy::Allocator = weft_proxy::Allocator;

fn main() -> ExitCode {
    weft_cli::command::main()
}
