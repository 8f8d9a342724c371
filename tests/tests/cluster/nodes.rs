//! The cluster itself: what tests take for granted of it.

use std::{collections::BTreeSet, time::Duration};

use serde_json::Value;
use weft_tests::cluster::eventually;

use crate::{
    bare_turn, cluster,
    place::{Place, kubectl, metrics_of, try_kubectl, until},
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

/// Two pods that serve, of which each is in a zone of its own, and one that calls, in the same zone as the first.
const ZONED: [(&str, &str, &str); 3] =
    [("near", "here", "api"), ("far", "there", "api"), ("caller", "here", "none")];

/// A Deployment of one pod, which a zone has and a Service selects by what it serves.
const IN_ZONE: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: NAME}
spec:
  selector: {matchLabels: {app: NAME}}
  template:
    metadata: {labels: {app: NAME, serves: SERVES}}
    spec:
      nodeSelector: {topology.kubernetes.io/zone: ZONE}
      containers:
        - name: api
          image: localhost/weft/samples:0.1.0
          command: [/feelgood-api, --listen, "0.0.0.0:8080", --failure-rate, "0"]
          readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}
"#;

/// The Service of both, by turns: so one of them is left out by nothing but a preference.
const ZONED_API: &str = "
apiVersion: v1
kind: Service
metadata: {name: api}
spec: {selector: {serves: api}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: policy.weft.dev/v1alpha1
kind: LoadBalancerPolicy
metadata: {name: turns}
spec:
  targetRefs: [{group: '', kind: Service, name: api}]
  algorithm: RoundRobin
";

/// Nodes with zones. Dropped, they have none again.
struct Zones(Vec<String>);

impl Zones {
    /// Labels the first nodes with these zones.
    fn set(zones: &[&str]) -> Self {
        let nodes = cluster().nodes().expect("the cluster tells its nodes");
        assert!(nodes.len() >= zones.len(), "{nodes:?}");
        for (node, zone) in nodes.iter().zip(zones) {
            kubectl(&["label", "node", node, &format!("topology.kubernetes.io/zone={zone}"), "--overwrite"]);
        }
        Self(nodes)
    }
}

impl Drop for Zones {
    fn drop(&mut self) {
        for node in &self.0 {
            let _ = try_kubectl(&["label", "node", node, "topology.kubernetes.io/zone-"]);
        }
    }
}

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
fn a_sidecar_knows_its_zone_and_prefers_the_pod_there_until_it_is_gone() {
    const REQUESTS: u64 = 50;
    let Some(_turn) =
        crate::turn("nodes::a_sidecar_knows_its_zone_and_prefers_the_pod_there_until_it_is_gone")
    else {
        return;
    };
    if cluster().is_given() {
        return skipped("nodes of somebody else's cluster are not for tests to label");
    }
    have_two();
    let _zones = Zones::set(&["here", "there"]);
    let place = Place::meshed("weft-test-zones");
    place.apply(ZONED_API);
    for (name, zone, serves) in ZONED {
        let pod = IN_ZONE.replace("NAME", name).replace("ZONE", zone).replace("SERVES", serves);
        place.apply(&pod);
    }
    place.settled(&["deployment/near", "deployment/far", "deployment/caller"]);
    // How many of so many requests each of these pods has served; all of them must have been answered.
    let served = |pods: &[Value]| -> Option<Vec<u64>> {
        let count = |pod: &Value| metrics_of(pod).count("http_server_request_duration_seconds_count", &[]);
        let before: Vec<u64> = pods.iter().map(count).collect();
        let account = place.call("deployment/caller", "http://api/goodvibes", 100, REQUESTS, "message");
        let served = pods.iter().zip(before).map(|(pod, before)| count(pod) - before).collect();
        (account.total.answered(200) == REQUESTS).then_some(served)
    };
    let both = [place.pod("near"), place.pod("far")];
    until("without a preference both serve", || {
        served(&both).filter(|served| served.iter().all(|count| *count > 0))
    });
    place.kubectl(&["patch", "service", "api", "-p", r#"{"spec":{"trafficDistribution":"PreferSameZone"}}"#]);
    until("the pod of the caller's zone serves alone", || {
        served(&both).filter(|served| *served == [REQUESTS, 0])
    });
    place.kubectl(&["scale", "deployment/near", "--replicas=0"]);
    until("the other pod serves once there is none in the zone", || {
        served(&both[1..]).filter(|served| *served == [REQUESTS])
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
