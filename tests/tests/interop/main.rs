//! Clients of xDS that other people wrote, against the control plane: what they do stands in `tests/interop`.
//!
//! They run where `WEFT_INTEROP_PYTHON` names a Python that has what `tests/interop/requirements.txt` lists; elsewhere
//! these tests are empty shells. `.ci/run` sets both up.

use std::{path::Path, process::Command};

use weft_tests::config;

/// The program under test.
const WEFT: &str = env!("CARGO_BIN_EXE_weft-under-test");

/// Plays the story of a script, whose client says who it is by `how`.
fn play(script: &str, how: &str) {
    let Some(python) = config::interop_python() else {
        return eprintln!("skipped: WEFT_INTEROP_PYTHON is not set");
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("interop").join(script);
    let played = Command::new(&python).arg(script).args([how, WEFT, "control-plane"]).output();
    let played = played.unwrap_or_else(|error| panic!("{}: {error}", python.display()));
    let said = [played.stdout, played.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
    assert!(played.status.success() && said[0].ends_with("passed\n"), "{}\n{}", said[0], said[1]);
}

#[test]
fn grpc_with_a_token_is_routed_balanced_and_told_of_changes() {
    play("grpc_client.py", "token");
}

#[test]
fn grpc_with_a_certificate_is_routed_balanced_and_told_of_changes() {
    play("grpc_client.py", "certificate");
}

#[test]
fn envoy_with_a_token_serves_changes_and_refuses() {
    play("envoy_client.py", "token");
}

#[test]
fn envoy_with_a_certificate_serves_changes_and_refuses() {
    play("envoy_client.py", "certificate");
}
