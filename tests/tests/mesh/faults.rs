//! What callers notice when endpoints fall silent, fail together, have too much to do, are slow, or come back.

// Endpoints that fail, and come back.
mod endpoints;
// A whole service that fails, and comes back.
mod target;
// What people do meanwhile: other policies, wrong ones, and such as only watch.
mod edits;

use weft_tests::mesh::Mesh;

/// The sidecar whose breakers are looked at.
const CALLER: &str = "web-proxy";
/// The service that fails.
const DESTINATION: (&str, &str) = ("destination", "default/api:80");

/// State of a breaker, as `weft_breaker_state` counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed,
    HalfOpen,
    Open,
}

async fn state(mesh: &Mesh, labels: &[(&str, &str)]) -> State {
    let metrics = mesh.metrics(CALLER).await;
    match metrics.get("weft_breaker_state", &[labels, &[DESTINATION]].concat()).map(|level| level as i64) {
        Some(0) => State::Closed,
        Some(1) => State::HalfOpen,
        Some(2) => State::Open,
        other => panic!("a breaker {labels:?} in the state {other:?}"),
    }
}

/// A counter of the breakers of the service.
async fn count(mesh: &Mesh, name: &str, labels: &[(&str, &str)]) -> u64 {
    mesh.metrics(CALLER).await.count(name, &[labels, &[DESTINATION]].concat())
}

/// For how long, in milliseconds, the breakers of the caller's sidecar opened, each time: as it logged it.
fn opened(mesh: &Mesh) -> Vec<u64> {
    let log = mesh.log(CALLER);
    let told = log.lines().filter(|line| line.contains("breaker opened"));
    let pause = |line: &str| line.split(' ').find_map(|field| field.strip_prefix("pause_ms=")?.parse().ok());
    told.map(|line| pause(line).unwrap_or_else(|| panic!("for how long: {line}"))).collect()
}
