//! What the person who runs the tests chooses: the one reader of the environment.

use std::path::PathBuf;

use anyhow::Context;

/// Whether tests that need root must run: `WEFT_ROOT_TESTS=1`. Otherwise they say that they were skipped.
pub fn root_tests() -> bool {
    #[expect(clippy::disallowed_methods, reason = "this module reads the environment for the others")]
    std::env::var("WEFT_ROOT_TESTS").is_ok_and(|value| value == "1")
}

/// Whether tests that need a cluster must run: `WEFT_CLUSTER_TESTS=1`. Otherwise they say that they were skipped.
pub fn cluster_tests() -> bool {
    #[expect(clippy::disallowed_methods, reason = "this module reads the environment for the others")]
    std::env::var("WEFT_CLUSTER_TESTS").is_ok_and(|value| value == "1")
}

/// How many pods a rolling restart replaces: `WEFT_RESTARTS`, `usual` otherwise.
pub fn restarts(usual: usize) -> usize {
    #[expect(clippy::disallowed_methods, reason = "this module reads the environment for the others")]
    let chosen = std::env::var("WEFT_RESTARTS");
    chosen.map_or(usual, |chosen| chosen.parse().unwrap_or_else(|error| panic!("WEFT_RESTARTS: {error}")))
}

/// The way to a cluster that is there already: `KUBECONFIG`. Without it the tests make one of their own.
pub fn kubeconfig() -> Option<PathBuf> {
    std::env::var_os("KUBECONFIG").filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// Where programs are looked for: `PATH`.
pub fn path() -> String {
    std::env::var_os("PATH").map(|path| path.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The Python of the clients that other people wrote: `WEFT_INTEROP_PYTHON`. Without it they say that they were skipped.
pub fn interop_python() -> Option<PathBuf> {
    std::env::var_os("WEFT_INTEROP_PYTHON").map(PathBuf::from)
}

/// Where cargo keeps the sources of other people's crates: `CARGO_HOME`, by default `.cargo` of the user.
pub fn cargo_home() -> anyhow::Result<PathBuf> {
    let chosen = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = chosen.or_else(|| Some(std::env::home_dir()?.join(".cargo")));
    home.context("neither CARGO_HOME nor HOME is set")
}
