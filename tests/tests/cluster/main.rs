//! The mesh on a real Kubernetes: API server, kubelets and pods, made by the harness or named by `KUBECONFIG`.
//!
//! All of it needs root and what `tests/cluster/install` installs, so each test passes as an empty shell, and says so,
//! unless `WEFT_CLUSTER_TESTS=1` demands it. There is one cluster, and tests take turns: what one does to the mesh is
//! seen by all.

// The cluster itself, whoever it is.
mod nodes;
// What the charts make, and how a release of them lives.
mod charts;
mod release;
// What tells sidecars what to do.
mod control_plane;
// Nodes that redirect.
mod cni;
// What the mesh does for people.
mod page;
mod scenario;
mod protocols;
mod policies;
mod upgrades;
mod webhook;
mod workloads;
// What these have in common: namespaces of their own, and pods that call and answer.
mod users;
mod peers;
mod gateway;
mod place;

use std::{
    io::{self, Write},
    sync::{Mutex, MutexGuard, PoisonError},
};

use weft_tests::{cluster::Cluster, config};

/// Namespace of the mesh's own pods.
pub(crate) const MESH: &str = "weft-system";
/// The chart.
const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/weft");
/// How long Helm waits until everything that it installed is ready.
const TIMEOUT: &str = "120s";

/// The cluster. It comes up when it is asked for first.
pub(crate) fn cluster() -> &'static Cluster {
    Cluster::shared(env!("CARGO_BIN_EXE_cluster"))
}

/// Whether tests of the cluster must run.
pub(crate) fn enabled() -> bool {
    config::cluster_tests()
}

/// The turn of `test` at the cluster, without the mesh or with it; `None` where tests must do without a cluster.
pub(crate) fn bare_turn(test: &str) -> Option<MutexGuard<'static, ()>> {
    static TURN: Mutex<()> = Mutex::new(());
    if enabled() {
        // A test that failed leaves the cluster as it was to the next, who makes what it needs.
        return Some(TURN.lock().unwrap_or_else(PoisonError::into_inner));
    }
    skipped(&format!("{test}: WEFT_CLUSTER_TESTS=1 demands it, and root"));
    None
}

/// The same with the mesh installed, by the chart's own values.
pub(crate) fn turn(test: &str) -> Option<MutexGuard<'static, ()>> {
    let turn = bare_turn(test)?;
    install();
    Some(turn)
}

/// Says that a test does not run, past `eprintln!`, which is kept where nothing fails.
pub(crate) fn skipped(reason: &str) {
    writeln!(io::stderr(), "SKIPPED {reason}").expect("stderr takes a line");
}

/// Runs helm. What it says where it fails is the error.
pub(crate) fn helm(arguments: &[&str]) -> Result<String, String> {
    cluster().helm(arguments).map_err(|error| format!("{error:#}"))
}

/// Installs the mesh, if it is not there, and waits until it is ready.
pub(crate) fn install() {
    if helm(&["status", "weft", "--namespace", MESH]).is_err_and(|error| error.contains("not found")) {
        upgrade(&[]);
    }
}

/// Installs or upgrades the mesh with these arguments more, and waits until it is ready.
pub(crate) fn upgrade(arguments: &[&str]) {
    let own = ["upgrade", "--install", "weft", CHART, "--namespace", MESH, "--create-namespace"];
    let all: Vec<&str> =
        own.iter().chain(&["--wait", "--timeout", TIMEOUT]).chain(arguments).copied().collect();
    if let Err(error) = helm(&all) {
        let pods = cluster().kubectl(&["describe", "pods", "--namespace", MESH]);
        panic!("{error}\n{}", pods.unwrap_or_else(|error| format!("{error:#}")));
    }
}

/// Removes the mesh, if it is there, and waits until it is gone.
pub(crate) fn uninstall() {
    let removed = helm(&["uninstall", "weft", "--namespace", MESH, "--ignore-not-found", "--wait"]);
    removed.unwrap_or_else(|error| panic!("{error}"));
}
