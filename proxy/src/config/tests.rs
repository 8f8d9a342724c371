use std::time::SystemTime;

use serde_json::{Value, json};
use weft_identity::authority::Authority;

use super::*;

/// Reads a bootstrap that is good but for what `change` does to it.
fn read_with(change: impl FnOnce(&mut Value)) -> Result<Config, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::create("cluster.local".parse().unwrap(), SystemTime::now()).unwrap();
    let roots = folder.path().join("bundle.pem");
    fs::write(&roots, authority.certificate_pem()).unwrap();
    let mut bootstrap = json!({
        "workload": {"namespace": "default", "name": "a-0", "serviceAccount": "a"},
        "controlPlane": {
            "address": "127.0.0.1:15012",
            "identity": "spiffe://cluster.local/ns/weft-system/sa/weft-control-plane",
            "trustBundle": roots,
            "token": folder.path().join("token"),
        },
        "admin": "127.0.0.1:4191",
        "inbound": [{"listen": "127.0.0.1:1", "app": "127.0.0.1:2"}],
    });
    change(&mut bootstrap);
    let path = folder.path().join("bootstrap.json");
    fs::write(&path, bootstrap.to_string()).unwrap();
    Config::read(&Source::File(path))
}

#[test]
fn defaults_are_filled_in() {
    let config = read_with(|_| {}).unwrap();
    assert_eq!(config.trust_domain.as_str(), "cluster.local");
    assert_eq!(config.bootstrap.drain.get().as_secs(), 25);
    assert!(config.workers >= 1);
}

#[test]
fn mistakes_are_named() {
    type Change = fn(&mut Value);
    let mistakes: [(Change, &str); 11] = [
        (|b| b["trustDomain"] = "Cluster.Local".into(), "trustDomain"),
        (|b| b["controlPlane"]["identity"] = "control-plane".into(), "controlPlane.identity"),
        (|b| b["inbound"] = json!([]), "nothing to listen on"),
        (|b| b["transparent"] = json!({"inbound": 4140}), "transparent"),
        (|b| b["inbuond"] = json!([]), "inbuond"),
        (|b| b["admin"] = "4191".into(), "line"),
        (|b| b["tracing"] = json!({"endpoint": "collector"}), "tracing.endpoint"),
        (|b| b["tracing"] = json!({"endpoint": "c:4317", "ratio": 2}), "tracing.ratio"),
        (|b| b["tracing"] = json!({"endpoint": "c:4317", "identity": "c"}), "tracing.identity"),
        (|b| b["tracing"] = json!({"endpoint": "c:4317", "identity": "spiffe://A/b"}), "tracing.identity"),
        (|b| b["controlPlane"]["trustBundle"] = "/nowhere/bundle.pem".into(), "/nowhere/bundle.pem"),
    ];
    for (change, named) in mistakes {
        let error = read_with(change).unwrap_err().to_string();
        assert!(error.contains(named), "{named}: {error}");
    }
}

#[test]
fn a_sidecar_in_a_pod_has_no_listener_but_the_two_of_the_redirect() {
    let config = read_with(|bootstrap| {
        bootstrap.as_object_mut().unwrap().remove("inbound");
        bootstrap["transparent"] = json!({});
    });
    let transparent = config.unwrap().bootstrap.transparent.unwrap();
    assert_eq!((transparent.inbound, transparent.outbound), (4143, 4140));
}

#[test]
fn roots_that_are_none_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty.pem");
    fs::write(&empty, "").unwrap();
    let error = read_with(|bootstrap| bootstrap["controlPlane"]["trustBundle"] = json!(empty)).unwrap_err();
    assert!(matches!(error, ConfigError::Bundle { .. }), "{error}");
}

#[test]
fn an_absent_variable_says_what_to_set() {
    // No test sets this variable, since a process has only one of it.
    let error = Config::read(&Source::Environment).unwrap_err().to_string();
    assert!(error.contains("WEFT_BOOTSTRAP") && error.contains("--bootstrap FILE"), "{error}");
}
