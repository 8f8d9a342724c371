use super::*;
use crate::object::Metadata;

fn container(json: &str) -> Container {
    serde_json::from_str(json).unwrap()
}

fn pod(json: &str) -> Pod {
    serde_json::from_str(json).unwrap()
}

#[test]
fn what_an_api_server_says_beyond_what_is_read_is_passed_over() {
    let pod = pod(r#"{
        "spec": {
            "containers": [{"name": "app", "image": "x", "terminationMessagePath": "/dev/termination-log",
                "livenessProbe": {"exec": {"command": ["true"]}, "periodSeconds": 10}}],
            "serviceAccountName": "api", "serviceAccount": "api", "tolerations": [{"key": "a"}]
        },
        "status": {"phase": "Running", "podIP": "10.0.0.1", "qosClass": "Burstable",
            "podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}, {"ip": ""}]}
    }"#);
    assert_eq!(pod.addresses().count(), 2);
    assert!(!pod.is_meshed());
    let object = Object { metadata: Metadata::named("shop", "api-1"), spec: pod };
    assert_eq!(object.service_account(), "api");
    let bare = Object { metadata: Metadata::named("shop", "api-1"), spec: Pod::default() };
    assert_eq!(bare.service_account(), "default");
}

#[test]
fn a_phase_of_tomorrow_is_unknown_and_has_not_ended() {
    for (phase, ended) in [("Running", false), ("Succeeded", true), ("Failed", true), ("Resting", false)] {
        assert_eq!(pod(&format!(r#"{{"status": {{"phase": "{phase}"}}}}"#)).has_ended(), ended, "{phase}");
    }
}

#[test]
fn the_sidecar_makes_a_pod_one_of_the_mesh_as_native_sidecar_or_container_and_nowhere_else() {
    let table = [
        (r#"{"initContainers": [{"name": "weft-proxy", "restartPolicy": "Always"}]}"#, true),
        (r#"{"containers": [{"name": "app"}, {"name": "weft-proxy"}]}"#, true),
        (r#"{"initContainers": [{"name": "weft-proxy"}]}"#, false),
        (r#"{"containers": [{"name": "weft-proxy"}], "hostNetwork": true}"#, false),
        (r#"{"initContainers": [{"name": "weft-init"}], "containers": [{"name": "app"}]}"#, false),
    ];
    for (spec, meshed) in table {
        assert_eq!(pod(&format!(r#"{{"spec": {spec}}}"#)).is_meshed(), meshed, "{spec}");
    }
}

#[test]
fn applications_are_what_runs_beside_the_mesh() {
    let pod = pod(r#"{"spec": {
        "initContainers": [
            {"name": "weft-init"}, {"name": "weft-proxy", "restartPolicy": "Always"}, {"name": "migrate"},
            {"name": "cache", "restartPolicy": "Always"}
        ],
        "containers": [{"name": "app"}, {"name": "weft-logs"}]
    }}"#);
    let names: Vec<_> = pod.applications().map(|container| container.name.as_str()).collect();
    assert_eq!(names, ["cache", "app"]);
}

#[test]
fn ports_go_by_number_by_name_and_by_a_number_in_quotes() {
    let app = container(
        r#"{"name": "app", "ports": [{"name": "http", "containerPort": 8080},
            {"name": "dns", "containerPort": 53, "protocol": "UDP"}]}"#,
    );
    let port = |json: &str| app.port(&serde_json::from_str(json).unwrap());
    let table = [
        ("8081", Some(8081)),
        ("\"8081\"", Some(8081)),
        ("\"http\"", Some(8080)),
        ("\"dns\"", None),
        ("\"x\"", None),
    ];
    for (written, number) in table {
        assert_eq!(port(written), number, "{written}");
    }
    for wrong in ["70000", "-1", "true", "null"] {
        assert!(serde_json::from_str::<PortRef>(wrong).is_err(), "{wrong}");
    }
}
