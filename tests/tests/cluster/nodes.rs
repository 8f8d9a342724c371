//! The cluster itself: what tests take for granted of it.

use std::{collections::BTreeSet, time::Duration};

use serde_json::Value;
use weft_tests::cluster::eventually;

use crate::{
    bare_turn, cluster,
    place::{Place, metrics_of, until},
    skipped,
    users::Users,
};

/// How long pods may take to be there.
const PATIENCE: Duration = Duration::from_mins(2);

/// A StatefulSet of two, with a pod on each node where there are two, and its Services: with an address and without.
const API: &str = r#"
apiVersion: v1
kind: Namespace
metadata: {name: weft-test-nodes}
---
apiVersion: v1
kind: Service
metadata: {name: api, namespace: weft-test-nodes}
spec: {selector: {app: api}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: pods, namespace: weft-test-nodes}
spec: {clusterIP: None, selector: {app: api}, ports: [{port: 8080}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: api, namespace: weft-test-nodes}
spec:
  serviceName: pods
  replicas: 2
  selector: {matchLabels: {app: api}}
  template:
    metadata: {labels: {app: api}}
    spec:
      topologySpreadConstraints:
        - {maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: ScheduleAnyway, labelSelector: {matchLabels: {app: api}}}
      containers:
        - name: api
          image: localhost/weft/samples:0.1.0
          command: [/feelgood-api, --listen, "0.0.0.0:8080", --log, /logs/server.log]
          readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}
          volumeMounts: [{name: logs, mountPath: /logs}]
      volumes: [{name: logs, emptyDir: {}}]
"#;

/// Adds a node, if there is but one.
fn have_two() {
    if cluster().nodes().expect("the cluster tells its nodes").len() < 2 {
        let added = cluster().add_node(env!("CARGO_BIN_EXE_cluster").as_ref());
        added.unwrap_or_else(|error| panic!("{error:#}"));
    }
}

#[test]
fn pods_of_two_nodes_find_and_reach_each_other() {
    let Some(_turn) = bare_turn("nodes::pods_of_two_nodes_find_and_reach_each_other") else { return };
    let cluster = cluster();
    if cluster.is_given() {
        return skipped("nodes cannot be added to somebody else's cluster");
    }
    have_two();
    cluster.apply(API).unwrap();
    let own = ["--namespace", "weft-test-nodes"];
    let kubectl = |arguments: &[&str]| cluster.kubectl(&[&own, arguments].concat()).unwrap();
    kubectl(&["rollout", "status", "statefulset/api", "--timeout=120s"]);
    let nodes = kubectl(&["get", "pods", "-o", "jsonpath={.items[*].spec.nodeName}"]);
    let mut nodes: Vec<&str> = nodes.split_whitespace().collect();
    nodes.sort_unstable();
    nodes.dedup();
    assert_eq!(nodes.len(), 2, "both pods are on {nodes:?}");

    // From each pod by the other's name, and by the Service that both are behind: through two proxies and a cable.
    for (from, to) in
        [("api-0", "api-1.pods:8080"), ("api-1", "api-0.pods:8080"), ("api-0", "api"), ("api-1", "api")]
    {
        let url = format!("http://{to}/nothing");
        let told = eventually(&format!("{from} reaches {to}"), PATIENCE, || {
            let program = ["exec", from, "--", "/caller", &url, "--rate", "10", "--requests", "4"];
            let told = cluster.kubectl(&[&own[..], &program].concat())?;
            Ok(told.contains("\"404\":4").then_some(told))
        });
        assert!(!told.is_empty());
    }
    kubectl(&["delete", "namespace", "weft-test-nodes", "--wait=false"]);
}

#[test]
fn what_is_meshed_crosses_to_a_node_that_joined() {
    const REQUESTS: u64 = 200;
    let Some(_turn) = crate::turn("nodes::what_is_meshed_crosses_to_a_node_that_joined") else { return };
    if cluster().is_given() {
        return skipped("nodes cannot be added to somebody else's cluster");
    }
    let place = Place::meshed("weft-test-joined");
    place.annotate("weft.dev/default-policy=strict");
    place.serve_api(1);
    place.settled(&["deployment/api"]);
    let users = Users::meshed("weft-test-joined-users");
    have_two();
    // The second pod is for the node that has none.
    place.serve_api(2);
    place.settled(&["deployment/api"]);
    let nodes: BTreeSet<String> =
        place.pods("api").iter().map(|pod| pod["spec"]["nodeName"].to_string()).collect();
    assert_eq!(nodes.len(), 2, "{}", place.state());

    // The API takes nothing but mutual TLS. Users hear of the second pod a moment after it is ready, and the first pods
    // to answer are asked more.
    until("both nodes have served", || {
        let account = users.call("http://api.weft-test-joined/goodvibes", 100, REQUESTS, "message");
        assert_eq!(account.total.answered(200), REQUESTS, "{account:?}");
        let served = |pod: &Value| metrics_of(pod).count("http_server_request_duration_seconds_count", &[]);
        place.pods("api").iter().all(|pod| served(pod) > 0).then_some(())
    });
}

#[test]
fn the_api_server_can_be_killed_and_comes_back_with_all_that_it_knew() {
    let Some(_turn) = bare_turn("nodes::the_api_server_can_be_killed_and_comes_back_with_all_that_it_knew")
    else {
        return;
    };
    let cluster = cluster();
    if cluster.is_given() {
        return skipped("the API server of somebody else's cluster is not for tests to kill");
    }
    let before = cluster.kubectl(&["get", "namespace", "default", "-o", "jsonpath={.metadata.uid}"]).unwrap();
    cluster.kill_api_server().unwrap();
    let refused = cluster.kubectl(&["get", "namespaces"]).unwrap_err();
    assert!(format!("{refused:#}").contains("refused"), "{refused:#}");
    cluster.start_api_server().unwrap();
    let after = cluster.kubectl(&["get", "namespace", "default", "-o", "jsonpath={.metadata.uid}"]).unwrap();
    assert_eq!(before, after);
}
