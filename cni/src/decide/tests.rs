use serde_json::json;

use super::*;

fn pod(arguments: &Value) -> Value {
    json!({
        "metadata": {"uid": "1"},
        "spec": {"initContainers": [{"name": "weft-init", "args": arguments}, {"name": "weft-proxy"}]},
    })
}

fn question(uid: Option<&str>) -> Question {
    Question { namespace: "shop".to_owned(), pod: "api-0".to_owned(), uid: uid.map(str::to_owned) }
}

#[test]
fn a_pod_that_verifies_is_redirected_as_it_says() {
    let flags = ["--verify", "--skip-inbound-ports", "22"].map(str::to_owned).to_vec();
    assert_eq!(redirect(&pod(&json!(["init", "--verify", "--skip-inbound-ports", "22"]))), Some(flags));
}

#[test]
fn every_other_pod_is_left_alone() {
    let mut mirror = pod(&json!(["init", "--verify"]));
    mirror["metadata"]["annotations"] = json!({ANNOTATION_MIRROR: "f00"});
    let mut renamed = pod(&json!(["init", "--verify"]));
    renamed["spec"]["initContainers"][0]["name"] = json!("init");
    for left in [
        mirror,
        renamed,
        // It has NET_ADMIN and installs the redirect itself.
        pod(&json!(["init", "--skip-inbound-ports", "22"])),
        pod(&json!(["logs", "--verify"])),
        pod(&json!([])),
        pod(&json!(null)),
        pod(&json!(["init", 1, "--verify"])),
        json!({"spec": {"initContainers": null}}),
        json!({"spec": {"containers": [{"name": "weft-init", "args": ["init", "--verify"]}]}}),
        json!(null),
    ] {
        assert_eq!(redirect(&left), None, "{left}");
    }
}

#[test]
fn a_later_pod_of_the_same_name_is_another() {
    let own = pod(&json!([]));
    assert!(is_same(&own, &question(Some("1"))) && is_same(&own, &question(None)));
    assert!(!is_same(&own, &question(Some("2"))));
    let mirror = json!({"metadata": {"uid": "1", "annotations": {ANNOTATION_MIRROR: "f00"}}});
    assert!(is_same(&mirror, &question(Some("f00"))) && !is_same(&mirror, &question(Some("1"))));
}

#[test]
fn nothing_but_a_name_becomes_part_of_a_path() {
    for name in ["shop", "api-6d5f-x2x", "a.b", "0"] {
        assert!(is_name(name), "{name}");
    }
    let long = "a".repeat(254);
    for name in ["", ".", "..", "a/b", "a..b", "A", "a?b", "a%2e", "a b", "é", long.as_str()] {
        assert!(!is_name(name), "{name}");
    }
}
