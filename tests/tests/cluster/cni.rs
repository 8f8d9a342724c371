//! CNI mode on real nodes: the container runtime calls the plugin, the kubelet runs the agent, and the API server enforces
//! the Pod Security Standard "restricted" where the mesh is.
#![allow(clippy::unwrap_used, reason = "a test may end where something unexpected happens")]

use std::{collections::BTreeMap, fs, time::Duration};

use serde_json::Value;
use weft_proxy::redirect;
use weft_tests::cluster::eventually;

use crate::{MESH, bare_turn, cluster, skipped, uninstall, upgrade};

/// How long pods may take to be there.
const PATIENCE: Duration = Duration::from_mins(2);

/// The same pod in a restricted namespace of the mesh and in one that has nothing to do with it.
const PODS: &str = r#"
apiVersion: v1
kind: List
items:
  - apiVersion: v1
    kind: Namespace
    metadata:
      name: weft-test-restricted
      labels: {weft.dev/inject: enabled, pod-security.kubernetes.io/enforce: restricted}
  - apiVersion: v1
    kind: Namespace
    metadata: {name: weft-test-outside}
  - apiVersion: v1
    kind: Pod
    metadata: {name: api, namespace: weft-test-restricted, annotations: {weft.dev/skip-inbound-ports: "9000"}}
    spec: &api
      automountServiceAccountToken: false
      securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
      containers:
        - name: api
          image: localhost/weft/samples:0.1.0
          command: [/feelgood-api, --listen, "0.0.0.0:8080", --log, /logs/server.log]
          securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
          volumeMounts: [{name: logs, mountPath: /logs}]
      volumes: [{name: logs, emptyDir: {}}]
  - apiVersion: v1
    kind: Pod
    metadata: {name: api, namespace: weft-test-outside}
    spec: *api
"#;

/// The lists of plugins of each node, by their names.
fn lists() -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    for node in cluster().nodes().unwrap() {
        let folder = cluster().node_path(&node, "/etc/cni/net.d").unwrap();
        for file in fs::read_dir(&folder).unwrap() {
            let path = file.unwrap().path();
            let list = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            found.insert(format!("{node}: {}", path.file_name().unwrap().display()), list);
        }
    }
    found
}

#[test]
fn restricted_namespaces_have_sidecars_and_nodes_are_left_as_they_were() {
    let Some(_turn) = bare_turn("cni::restricted_namespaces_have_sidecars_and_nodes_are_left_as_they_were")
    else {
        return;
    };
    if cluster().is_given() {
        return skipped("the mesh of somebody else's cluster is not for tests to remove");
    }
    uninstall();
    let before = lists();
    upgrade(&["--set", "redirect=cni"]);
    for (name, list) in lists() {
        assert_eq!(list["plugins"].as_array().unwrap().last().unwrap()["type"], "weft-cni", "{name}");
    }

    cluster().apply(PODS).unwrap();
    for namespace in ["weft-test-restricted", "weft-test-outside"] {
        let wait = ["wait", "pod/api", "--for=condition=Ready", "--timeout=120s", "--namespace", namespace];
        cluster().kubectl(&wait).unwrap();
    }
    let said = cluster().kubectl(&["logs", "--namespace", "weft-test-restricted", "api", "-c", "weft-init"]);
    let said = said.unwrap();
    assert!(said.contains("the redirect is in force: its rules cannot be read without NET_ADMIN"), "{said}");
    // Root sees the rules themselves, with the port that the pod's annotation names.
    let rules = |namespace: &str, flags: &[&str]| {
        cluster().within_pod(namespace, "api", || redirect::compare_verified(flags)).unwrap()
    };
    rules("weft-test-restricted", &["--verify", "--skip-inbound-ports", "9000"]).unwrap();
    let outside = rules("weft-test-outside", &["--verify"]).unwrap_err().to_string();
    assert!(outside.contains("there is no table inet weft"), "{outside}");

    uninstall();
    // Helm does not wait for pods of a DaemonSet.
    let agents = ["get", "pods", "--namespace", MESH, "-l", "app.kubernetes.io/name=weft-cni", "-o", "name"];
    eventually("the agents end", PATIENCE, || {
        Ok(cluster().kubectl(&agents)?.trim().is_empty().then_some(()))
    });
    assert_eq!(lists(), before);
    cluster().kubectl(&["delete", "namespace", "weft-test-restricted", "weft-test-outside"]).unwrap();
}
