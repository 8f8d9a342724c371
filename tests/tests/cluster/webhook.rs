//! The webhook: what happens without it, while its certificate is replaced, and with pods that are no everyday ones.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant, SystemTime},
};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde_json::{Value, json};
use weft_injector::certificate::Generations;

use crate::place::{Place, command, is_injected, kubectl, metrics_of, run, until};

/// How long pods may be refused once somebody starts the webhook again.
const BACK_WITHIN: Duration = Duration::from_secs(10);
/// Pods that are made while the certificate is replaced, each round.
const CHURN: usize = 20;
/// Far enough ahead for a new certificate to be due.
const LATER: Duration = Duration::from_hours(61 * 24);
/// The injector's pods.
const INJECTOR: &str = "app.kubernetes.io/name=weft-injector";
/// Where the webhook's certificates are kept.
const SECRET: &str = "weft-injector-tls";
/// What the webhook's certificate is for.
const NAME: &str = "weft-injector.weft-system.svc";

/// A pod that nobody schedules.
pub(crate) fn pod(name: &str, containers: usize) -> Value {
    let containers: Vec<Value> = (0..containers)
        .map(|number| json!({ "name": format!("c{number}"), "image": "localhost/weft/samples:0.1.0" }))
        .collect();
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": name },
        "spec": { "schedulerName": "nobody", "containers": containers },
    })
}

/// Scales the injector, and waits until its pods are there, or gone.
fn scale(replicas: u8) {
    let replicas = format!("--replicas={replicas}");
    kubectl(&["scale", "-n", crate::MESH, "deployment/weft-injector", &replicas]);
}

#[test]
fn without_the_webhook_pods_of_the_mesh_are_refused_and_no_others() {
    let Some(_turn) = crate::turn("webhook::without_the_webhook_pods_of_the_mesh_are_refused_and_no_others")
    else {
        return;
    };
    let (meshed, plain) = (Place::meshed("weft-test-refused"), Place::plain("weft-test-untouched"));
    let create =
        |place: &Place, name: &str| place.try_apply(&pod(name, 1).to_string(), &["create", "-f", "-"]);
    scale(0);
    until("the injector is gone", || {
        let pods = kubectl(&["get", "pods", "-n", crate::MESH, "-l", INJECTOR, "-o", "name"]);
        pods.trim().is_empty().then_some(())
    });
    let refused = create(&meshed, "refused").expect_err("a pod of the mesh was made without a sidecar");
    assert!(
        refused.contains("failed calling webhook") && refused.contains("namespace.injector.weft.dev"),
        "{refused}"
    );
    create(&plain, "untouched").expect("a pod that is not of the mesh");
    scale(2);
    let started = Instant::now();
    until("pods of the mesh are made again", || create(&meshed, "back").ok());
    let back = started.elapsed();
    assert!(is_injected(&meshed.get("pod/back")));
    assert!(back <= BACK_WITHIN, "it took {back:?}");
    println!("back after {back:?}");
}

#[test]
fn a_pod_of_a_thousand_containers_is_reviewed_at_once() {
    let Some(_turn) = crate::turn("webhook::a_pod_of_a_thousand_containers_is_reviewed_at_once") else {
        return;
    };
    let place = Place::meshed("weft-test-large");
    let large = pod("large", 1000).to_string();
    let told = place.try_apply(&large, &["create", "--dry-run=server", "-o", "json", "-f", "-"]);
    let made: Value = serde_json::from_str(&told.expect("the pod is taken")).expect("kubectl prints JSON");
    assert!(is_injected(&made));
    assert_eq!(made["spec"]["containers"].as_array().map(Vec::len), Some(1000));
}

#[test]
fn a_new_certificate_fails_no_pod_that_is_made_meanwhile() {
    let Some(_turn) = crate::turn("webhook::a_new_certificate_fails_no_pod_that_is_made_meanwhile") else {
        return;
    };
    let (secret, renewed) = renewed().unwrap_or_else(|| {
        // This cluster has seen this test before: its next certificate is of a later day than this.
        crate::uninstall();
        kubectl(&["delete", "secret", SECRET, "-n", crate::MESH]);
        crate::install();
        renewed().expect("an injector that begins has certificates of today")
    });
    let place = Place::meshed("weft-test-churn");
    place.apply(&churning(0).to_string());
    let before = shown();
    rotate(secret, &renewed);
    let (mut made, mut replicas) = (0, 0);
    // All replicas of the injector look for a new one every 15 s.
    until("every injector shows the new certificate", || {
        replicas = if replicas == 0 { CHURN } else { 0 };
        place.kubectl(&["scale", "replicaset/churn", &format!("--replicas={replicas}")]);
        until("the pods are as many as wanted", || (place.pods("churn").len() == replicas).then_some(()));
        for pod in place.pods("churn") {
            assert!(is_injected(&pod), "{pod}");
            made += 1;
        }
        let now = shown();
        (now.len() == before.len() && now.iter().all(|end| !before.contains(end))).then_some(())
    });
    let failed = place.kubectl(&["get", "events", "--field-selector=reason=FailedCreate", "-o", "name"]);
    assert_eq!(failed.trim(), "", "{}", place.state());
    assert!(made >= CHURN, "only {made} pods were made");
    println!("{made} pods were made while the certificate was replaced");
}

/// Pods that nobody schedules, so many at once.
fn churning(replicas: usize) -> Value {
    let mut template = pod("", 1);
    template["metadata"] = json!({ "labels": { "app": "churn" } });
    let selector = json!({ "matchLabels": { "app": "churn" } });
    let template = json!({ "metadata": template["metadata"], "spec": template["spec"] });
    json!({
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": { "name": "churn" },
        "spec": { "replicas": replicas, "selector": selector, "template": template },
    })
}

/// The Secret of the injector, and what an injector makes of it two months from now.
fn renewed() -> Option<(Value, Generations)> {
    let told = kubectl(&["get", "secret", SECRET, "-n", crate::MESH, "-o", "json"]);
    let secret: Value = serde_json::from_str(&told).expect("kubectl prints JSON");
    let kept: BTreeMap<String, Vec<u8>> = secret["data"]
        .as_object()
        .expect("a Secret has data")
        .iter()
        .map(|(name, value)| (name.clone(), decoded(value)))
        .collect();
    let kept =
        Generations::from_fields(|name| kept.get(name).map(Vec::as_slice)).expect("it is the injector's");
    let renewed = kept.renewed(NAME, SystemTime::now() + LATER).expect("certificates can be made");
    renewed.map(|renewed| (secret, renewed))
}

/// Writes them into the Secret, as an injector does.
fn rotate(mut secret: Value, renewed: &Generations) {
    let renewed = renewed.to_fields();
    secret["data"] = Value::Null;
    secret["stringData"] =
        renewed.into_iter().map(|(name, pem)| (name, json!(String::from_utf8_lossy(&pem)))).collect();
    let replaced = run(command("kubectl").args(["replace", "-f", "-"]), &secret.to_string());
    replaced.unwrap_or_else(|error| panic!("{error}"));
}

fn decoded(value: &Value) -> Vec<u8> {
    BASE64.decode(value.as_str().unwrap_or_default()).expect("a Secret holds Base64")
}

/// When the certificates end that the injector's pods show.
fn shown() -> Vec<u64> {
    let pods = kubectl(&["get", "pods", "-n", crate::MESH, "-l", INJECTOR, "-o", "json"]);
    let pods: Value = serde_json::from_str(&pods).expect("kubectl prints JSON");
    let pods = pods["items"].as_array().cloned().unwrap_or_default();
    pods.iter().map(|pod| metrics_of(pod).count("weft_injector_certificate_not_after_seconds", &[])).collect()
}
