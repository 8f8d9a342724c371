//! Other people's programs in pods: see `tests/peers`.

use std::{fs, path::Path, sync::OnceLock};

use serde_json::Value;
use weft_tests::peers::{self, PYTHON, SCRIPTS};

use crate::{cluster, place::Place};

/// Starts these of `peers.yaml` in a namespace, and waits for them.
pub(crate) fn start(place: &Place, names: &[&str]) {
    give_image();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/peers.yaml");
    let all = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let wanted: Vec<&str> = all
        .split("\n---\n")
        .filter(|object| names.iter().any(|name| object.contains(&format!("\n  name: {name}\n"))))
        .collect();
    place.apply(&wanted.join("\n---\n"));
    for name in names {
        place.settled(&[&format!("deployment/{name}")]);
    }
}

/// What the gRPC client tells of all kinds of calls to `target`.
pub(crate) fn grpc(place: &Place, target: &str) -> Value {
    try_grpc(place, target).unwrap_or_else(|error| panic!("{error}\n{}", place.state()))
}

/// The same, or how the first call failed that should not.
pub(crate) fn try_grpc(place: &Place, target: &str) -> Result<Value, String> {
    let script = format!("{SCRIPTS}/grpc_client.py");
    let told = place.try_exec("deployment/client", &[PYTHON, &script, target])?;
    serde_json::from_str(&told).map_err(|error| format!("{error}: {told}"))
}

/// Gives the image to all nodes, once.
fn give_image() {
    static GIVEN: OnceLock<()> = OnceLock::new();
    GIVEN.get_or_init(|| {
        let given = peers::archive().and_then(|archive| cluster().give_image(&archive.path));
        given.unwrap_or_else(|error| panic!("the image of other people's programs: {error:#}"));
    });
}
