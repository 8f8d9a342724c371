//! How the plugin comes into the chain and out of it, and what the agent lets it know.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use serde_json::{Value, json};
use weft_tests::patience::until;

use crate::{DAEMON_SET, LIST, LIST_NAME, Node, pod_of_the_mesh, result};

/// No test of this file enters a network namespace: whoever tries has been told to redirect.
const NETNS: &str = "/nowhere/netns";

fn types(list: &Value) -> Vec<&str> {
    let plugins = list["plugins"].as_array().expect("it is a list of plugins");
    plugins.iter().map(|plugin| plugin["type"].as_str().expect("plugins have types")).collect()
}

fn original() -> Value {
    serde_json::from_str(LIST).expect("it is JSON")
}

#[tokio::test]
async fn an_agent_is_ready_once_the_plugin_is_installed_and_has_its_place() {
    let node = Node::ready().await;
    assert_eq!(types(&node.list(LIST_NAME)), ["bridge", "portmap", "weft-cni"]);
    let socket = node.folder.path().join("run/agent.sock");
    let excluded = json!(["kube-system", "mesh"]);
    assert_eq!(node.entry(), json!({"type": "weft-cni", "socket": socket, "excludeNamespaces": excluded}));
    let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!((mode(&node.plugin()), mode(&node.settings.run_dir)), (0o755, 0o700));
}

#[tokio::test]
async fn an_agent_waits_for_the_network_of_its_node() {
    let mut node = Node::with("readme.txt", "").await;
    node.start().await;
    let running = node.running.as_ref().expect("it was started");
    assert_eq!(running.readiness.waiting_for(), ["the plugin's place in the chain of the container runtime"]);
    fs::write(node.settings.folders.lists.join(LIST_NAME), LIST).expect("there is room for a file");
    node.is_ready().await;
    assert_eq!(types(&node.list(LIST_NAME)), ["bridge", "portmap", "weft-cni"]);
}

#[tokio::test]
async fn whoever_writes_the_list_anew_does_not_get_rid_of_the_plugin() {
    let node = Node::ready().await;
    fs::write(node.settings.folders.lists.join(LIST_NAME), LIST).expect("there is room for a file");
    until("the plugin is back", async || {
        (types(&node.list(LIST_NAME)) == ["bridge", "portmap", "weft-cni"]).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_agent_that_another_one_follows_leaves_the_plugin_where_it_is() {
    let mut node = Node::ready().await;
    node.stop().await;
    assert_eq!(types(&node.list(LIST_NAME)), ["bridge", "portmap", "weft-cni"]);
    // Nobody answers meanwhile: pods of the mesh wait, and so do all of whom that is not known; others do not.
    let called = node.call("ADD", "shop", "api-0", Path::new(NETNS)).await;
    let (code, said) = called.error();
    assert_eq!(code, 11);
    assert!(said.contains("agent.sock") && said.contains("DaemonSet weft-cni"), "{said}");
    for namespace in ["kube-system", "mesh"] {
        let called = node.call("ADD", namespace, "any", Path::new(NETNS)).await;
        assert_eq!((called.success, called.printed), (true, result()), "{namespace}");
    }
    assert!(node.call("DEL", "shop", "api-0", Path::new(NETNS)).await.success);
    node.start().await;
    node.is_ready().await;
    assert!(node.call("ADD", "shop", "api-0", Path::new(NETNS)).await.success);
}

#[tokio::test]
async fn an_agent_that_is_uninstalled_leaves_the_list_as_it_was() {
    for (status, object) in [
        (404, json!(null)),
        (200, json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}})),
        // Its account or its role is gone.
        (401, json!(null)),
        (403, json!(null)),
    ] {
        let mut node = Node::ready().await;
        node.api.answers(DAEMON_SET, status, object);
        node.stop().await;
        assert_eq!(node.list(LIST_NAME), original(), "{status}");
        let files = fs::read_dir(&node.settings.folders.lists).expect("it is there").count();
        assert_eq!(files, 1, "{status}: something is left behind");
    }
}

#[tokio::test]
async fn where_nobody_knows_whether_it_is_uninstalled_the_plugin_stays() {
    let mut node = Node::ready().await;
    node.api.answers(DAEMON_SET, 500, json!(null));
    node.stop().await;
    assert_eq!(types(&node.list(LIST_NAME)), ["bridge", "portmap", "weft-cni"]);
}

#[tokio::test]
async fn only_pods_that_leave_the_redirect_to_the_node_are_redirected() {
    let node = Node::ready().await;
    let path = |name: &str| format!("GET /api/v1/namespaces/shop/pods/{name}");
    for (name, pod) in [
        ("plain", json!({"metadata": {"uid": "uid-of-plain"}, "spec": {"containers": []}})),
        ("installs", pod_of_the_mesh("shop", "installs", &["--skip-inbound-ports", "22"])),
        ("verifies", pod_of_the_mesh("shop", "verifies", &["--verify", "--skip-inbound-ports", "22"])),
    ] {
        node.api.answers(&path(name), 200, pod);
    }
    // The last one is not known to the API server: its node runs it from a file.
    for name in ["plain", "installs", "static"] {
        let called = node.call("ADD", "shop", name, Path::new(NETNS)).await;
        assert_eq!((called.success, called.printed), (true, result()), "{name}");
    }
    let called = node.call("ADD", "shop", "verifies", Path::new(NETNS)).await;
    let (code, said) = called.error();
    assert_eq!(code, 5, "{said}");
    assert!(said.contains(NETNS), "{said}");
    assert_eq!(node.api.asked("GET /api/v1/namespaces/shop/pods/verifies").len(), 1);
}

#[tokio::test]
async fn what_the_api_server_does_not_say_lets_no_pod_start() {
    let node = Node::ready().await;
    let path = "GET /api/v1/namespaces/shop/pods/api-0";
    node.api.answers(path, 403, json!({"kind": "Status", "message": "pods is forbidden"}));
    let called = node.call("ADD", "shop", "api-0", Path::new(NETNS)).await;
    let (code, said) = called.error();
    assert_eq!(code, 11);
    assert!(said.contains("403") && said.contains("pods is forbidden"), "{said}");
    // A later pod of the same name may be of another kind.
    node.api.answers(path, 200, json!({"metadata": {"uid": "another"}, "spec": {}}));
    let called = node.call("ADD", "shop", "api-0", Path::new(NETNS)).await;
    assert_eq!(called.error().0, 11);
    // What is no name never becomes a path.
    let called = node.call("ADD", "shop", "../secrets/key", Path::new(NETNS)).await;
    assert_eq!(called.error().0, 11);
    assert!(node.api.asked("GET /api/v1/namespaces/shop/secrets").is_empty());
}

#[tokio::test]
async fn a_pod_that_was_made_before_the_plugin_had_its_place_is_made_anew() {
    let mut node = Node::with(LIST_NAME, LIST).await;
    let status = |state: Value| {
        json!({
            "phase": "Pending", "startTime": "2026-01-01T00:00:00Z",
            "initContainerStatuses": [{"name": "weft-init", "state": state}],
        })
    };
    let mut early = pod_of_the_mesh("shop", "early", &["--verify"]);
    early["status"] = status(json!({"terminated": {"exitCode": 1}}));
    let mut waits = pod_of_the_mesh("shop", "waits", &["--verify"]);
    waits["status"] = status(json!({"waiting": {"reason": "PodInitializing"}}));
    let mut later = early.clone();
    later["metadata"]["name"] = json!("later");
    later["status"]["startTime"] = json!("2999-01-01T00:00:00Z");
    node.api.answers("GET /api/v1/pods", 200, json!({"items": [early, waits, later]}));
    node.api.answers("DELETE /api/v1/namespaces/shop/pods/early", 200, json!({}));
    node.start().await;
    let deleted = until("a pod is deleted", async || node.api.asked("DELETE ").first().cloned()).await;
    assert_eq!(deleted.0, "DELETE /api/v1/namespaces/shop/pods/early");
    assert_eq!(deleted.1["preconditions"], json!({"uid": "uid-of-early"}));
    let asked = node.api.asked("GET /api/v1/pods?");
    let own = "GET /api/v1/pods?fieldSelector=spec.nodeName%3Dn1%2Cstatus.phase%3DPending";
    assert_eq!(asked[0].0, own, "it looks at the pods of its own node alone");
    node.stop().await;
    let deleted = node.api.asked("DELETE ");
    assert!(deleted.iter().all(|(line, _)| line.ends_with("/early")), "{deleted:?}");
}
