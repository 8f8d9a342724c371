//! Whose pods get a sidecar, whose do not, and that people and kubelets do with them what they did before.

use std::time::Duration;

use serde_json::{Value, json};
use weft_samples::caller::Account;
use weft_tests::cluster::eventually;

use crate::{
    place::{Place, command, curl, is_injected, run, until},
    webhook,
};

/// A schedule is kept at the full minute.
const CRON_PATIENCE: Duration = Duration::from_mins(3);
/// Requests that each caller makes.
const REQUESTS: u64 = 20;

fn serving(name: &str) -> Value {
    json!({
        "name": name,
        "image": "localhost/weft/samples:0.1.0",
        "command": ["/feelgood-api", "--listen", "0.0.0.0:8080", "--failure-rate", "0"],
        "readinessProbe": { "tcpSocket": { "port": 8080 }, "periodSeconds": 1 },
    })
}

fn calling(name: &str) -> Value {
    json!({
        "name": name,
        "image": "localhost/weft/samples:0.1.0",
        "command": ["/caller", "http://api/goodvibes", "--requests", REQUESTS.to_string()],
    })
}

/// A workload that is named like its kind, and so are its pods, by their label `app`.
fn workload(api: &str, kind: &str, mut spec: Value, pod: &Value) -> Value {
    let name = kind.to_lowercase();
    let template = json!({ "metadata": { "labels": { "app": name } }, "spec": pod });
    match kind {
        "CronJob" => spec["jobTemplate"] = json!({ "spec": { "template": template } }),
        "Job" => spec["template"] = template,
        _ => {
            spec["selector"] = json!({ "matchLabels": { "app": name } });
            spec["template"] = template;
        }
    }
    json!({ "apiVersion": api, "kind": kind, "metadata": { "name": name }, "spec": spec })
}

/// One of each kind that owns pods, and a pod that nobody owns.
fn of_every_kind() -> Value {
    let serving = json!({ "containers": [serving("app")] });
    // Before the caller comes one who calls while the pod is still being made.
    let calling = json!({
        "restartPolicy": "Never",
        "initContainers": [calling("earlier")],
        "containers": [calling("app")],
    });
    let mut pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "pod", "labels": { "app": "pod" } } });
    pod["spec"] = serving.clone();
    json!({ "apiVersion": "v1", "kind": "List", "items": [
        workload("apps/v1", "Deployment", json!({}), &serving),
        workload("apps/v1", "StatefulSet", json!({ "serviceName": "none" }), &serving),
        workload("apps/v1", "DaemonSet", json!({}), &serving),
        workload("batch/v1", "Job", json!({}), &calling),
        workload("batch/v1", "CronJob", json!({ "schedule": "* * * * *" }), &calling),
        pod,
    ] })
}

/// A namespace of the mesh where pods take nothing but mutual TLS, with an API.
fn strict(name: &'static str) -> Place {
    let place = Place::meshed(name);
    place.annotate("weft.dev/default-policy=strict");
    place.serve_api(1);
    place.settled(&["deployment/api"]);
    place
}

#[test]
fn pods_of_every_kind_of_owner_are_of_the_mesh() {
    let Some(_turn) = crate::turn("workloads::pods_of_every_kind_of_owner_are_of_the_mesh") else { return };
    let place = strict("weft-test-owners");
    place.apply(&of_every_kind().to_string());
    place.settled(&["deployment/deployment", "statefulset/statefulset", "daemonset/daemonset"]);
    place.kubectl(&["wait", "pod/pod", "--for=condition=Ready", "--timeout=120s"]);
    // A sidecar does not keep a Job from its end.
    place.kubectl(&["wait", "job/job", "--for=condition=Complete", "--timeout=120s"]);
    let succeeded = |pod: &Value| pod["status"]["phase"] == "Succeeded";
    eventually("what is scheduled has run to its end", CRON_PATIENCE, || {
        Ok(place.pods("cronjob").iter().any(succeeded).then_some(()))
    });
    for owner in ["deployment", "statefulset", "daemonset", "job", "cronjob", "pod"] {
        let pods = place.pods(owner);
        assert!(!pods.is_empty() && pods.iter().all(is_injected), "{owner}: {pods:?}");
    }
    // All that they asked for was mutual TLS, or they had been refused; `kubectl logs` takes the application for itself.
    let job = place.kubectl(&["logs", "job/job"]);
    for told in [job, place.logs("job/job", "earlier")] {
        let account: Account = serde_json::from_str(&told).unwrap_or_else(|error| panic!("{error}: {told}"));
        assert_eq!(account.total.answered(200), REQUESTS, "{account:?}");
    }
}

#[test]
fn what_is_not_asked_for_stays_as_it_is() {
    let Some(_turn) = crate::turn("workloads::what_is_not_asked_for_stays_as_it_is") else { return };
    let (meshed, plain) = (Place::meshed("weft-test-chosen"), Place::plain("weft-test-unlabelled"));
    let made = |namespace: &str, pod: &Value| -> Value {
        let create = ["create", "--namespace", namespace, "--dry-run=server", "-o", "json", "-f", "-"];
        let told = run(command("kubectl").args(create), &pod.to_string());
        let told = told.unwrap_or_else(|error| panic!("{error}"));
        serde_json::from_str(&told).unwrap_or_else(|error| panic!("{error}: {told}"))
    };
    let pod = |choose: &dyn Fn(&mut Value)| {
        let mut pod = webhook::pod("chosen", 1);
        choose(&mut pod);
        pod
    };
    let as_it_is = pod(&|_| {});
    let asking = pod(&|pod| pod["metadata"]["labels"] = json!({ "weft.dev/inject": "enabled" }));
    let refusing = pod(&|pod| pod["metadata"]["labels"] = json!({ "weft.dev/inject": "disabled" }));
    let of_the_node = pod(&|pod| pod["spec"]["hostNetwork"] = json!(true));
    assert!(is_injected(&made(meshed.name, &as_it_is)));
    assert!(is_injected(&made(plain.name, &asking)));
    for (what, namespace, pod) in [
        ("opted out", meshed.name, &refusing),
        ("in the node's network", meshed.name, &of_the_node),
        ("in a namespace without the label", plain.name, &as_it_is),
        ("in kube-system", "kube-system", &asking),
        ("in the mesh's own namespace", crate::MESH, &asking),
    ] {
        let made = made(namespace, pod);
        assert!(made["spec"]["initContainers"].is_null(), "{what}: {made}");
        assert_eq!(made["spec"]["containers"].as_array().map(Vec::len), Some(1), "{what}");
    }
}

#[test]
fn people_use_pods_as_they_did() {
    let Some(_turn) = crate::turn("workloads::people_use_pods_as_they_did") else { return };
    let place = strict("weft-test-people");
    // The application's container is who they mean.
    assert!(place.exec("deployment/api", &["/feelgood-api", "--help"]).contains("--failure-rate"));
    let forward = place.forward("deployment/api", 8080);
    assert!(forward.get("/goodvibes").contains("message"));
    let service = place.forward("service/api", 80);
    assert!(service.get("/goodvibes").contains("message"));
    let told = place.kubectl(&["logs", "deployment/api", "-c", "weft-proxy"]);
    assert!(told.lines().all(|line| line.starts_with('{')) && told.contains("configuration"), "{told}");
}

#[test]
fn kubelets_probe_as_they_did() {
    let Some(_turn) = crate::turn("workloads::kubelets_probe_as_they_did") else { return };
    let place = strict("weft-test-probes");
    let probed = |name: &str, failing: &str| {
        let mut container = serving("app");
        container["command"][4] = json!(failing);
        container["startupProbe"] =
            json!({ "exec": { "command": ["/feelgood-api", "--help"] }, "periodSeconds": 1 });
        container["readinessProbe"] =
            json!({ "httpGet": { "path": "/goodvibes", "port": 8080 }, "periodSeconds": 1 });
        container["livenessProbe"] = json!({ "tcpSocket": { "port": 8080 }, "periodSeconds": 1 });
        json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": { "name": name, "labels": { "app": name } },
            "spec": { "containers": [container] },
        })
    };
    place.apply(&probed("well", "0").to_string());
    place.apply(&probed("sick", "1").to_string());
    place.kubectl(&["wait", "pod/well", "--for=condition=Ready", "--timeout=120s"]);
    // What the application answers is what the kubelet hears.
    let events = ["get", "events", "--field-selector=involvedObject.name=sick,reason=Unhealthy"];
    until("the kubelet hears that a pod is sick", || {
        place
            .kubectl(&events)
            .contains("Readiness probe failed: HTTP probe failed with statuscode: 500")
            .then_some(())
    });
    let sick = place.get("pod/sick");
    let conditions = sick["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let ready = conditions.iter().find(|condition| condition["type"] == "Ready");
    assert_eq!(ready.map(|it| &it["status"]), Some(&json!("False")), "{sick}");
    // Nobody else comes in without mutual TLS by that path's neighbours.
    let ip = place.pod("well")["status"]["podIP"].as_str().expect("it runs").to_owned();
    let refused = curl(&["-o", "/dev/null", "-w", "%{http_code}", &format!("http://{ip}:8080/stats")]);
    assert_eq!(refused, "403");
}
