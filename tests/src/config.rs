//! What the person who runs the tests chooses: the one reader of the environment.

use std::path::PathBuf;

use anyhow::Context;

/// Whether tests that need root must run: `WEFT_ROOT_TESTS=1`. Otherwise they say that they were skipped.
pub fn root_tests() -> bool {
    #[expect(clippy::disallowed_methods, reason = "this module reads the environment for the others")]
    std::env::var("WEFT_ROOT_TESTS").is_ok_and(|value| value == "1")
}

/// Where cargo keeps the sources of other people's crates: `CARGO_HOME`, by default `.cargo` of the user.
pub fn cargo_home() -> anyhow::Result<PathBuf> {
    let chosen = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = chosen.or_else(|| Some(std::env::home_dir()?.join(".cargo")));
    home.context("neither CARGO_HOME nor HOME is set")
}
