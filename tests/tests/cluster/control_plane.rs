//! What the control plane owes its cluster: it says on policies what became of them, keeps one authority for all of its
//! replicas, and loses nothing when the API server or all of itself goes away.

use std::{collections::BTreeSet, thread, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde_json::{Value, json};
use weft_samples::caller::Account;

use crate::{
    MESH, cluster,
    gateway::Kind,
    place::{Place, kubectl, metrics_of, try_kubectl, until},
    uninstall, upgrade,
};

/// The control plane's pods.
const CONTROL_PLANE: &str = "app.kubernetes.io/name=weft-control-plane";
/// Requests in a second: two processors also run a cluster.
const RATE: u32 = 200;
/// For how long there is no API server: longer than its clients wait before they try again.
const OUTAGE: Duration = Duration::from_secs(10);

const SERVICE: &str = "
apiVersion: v1
kind: Service
metadata: {name: api}
spec:
  selector: {app: api}
  ports: [{name: http, port: 80, targetPort: 8080}]
";

fn breaker(name: &str, targets: &[&str]) -> Value {
    let targets: Vec<Value> =
        targets.iter().map(|target| json!({ "group": "", "kind": "Service", "name": target })).collect();
    json!({
        "apiVersion": "policy.weft.dev/v1alpha1",
        "kind": "CircuitBreakerPolicy",
        "metadata": { "name": name },
        "spec": { "targetRefs": targets, "limits": { "maxRequests": 100 } },
    })
}

/// What the status of an object says for its current generation, by target or parent: status and reason of `Accepted`,
/// then of `ResolvedRefs`.
fn said(place: &Place, object: &str) -> Vec<(String, [String; 2], [String; 2])> {
    let object = place.get(object);
    let generation = &object["metadata"]["generation"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let of = |entry: &Value, kind: &str| {
        let conditions = entry["conditions"].as_array().cloned().unwrap_or_default();
        let current = |it: &&Value| it["type"] == kind && it["observedGeneration"] == *generation;
        let found = conditions.iter().find(current).cloned().unwrap_or_default();
        [text(&found["status"]), text(&found["reason"])]
    };
    let lists = [("ancestors", "ancestorRef"), ("parents", "parentRef")];
    let entries = lists.into_iter().flat_map(|(list, reference)| {
        let entries = object["status"][list].as_array().cloned().unwrap_or_default();
        entries.into_iter().map(move |entry| (text(&entry[reference]["name"]), entry))
    });
    let ours = entries.filter(|(_, entry)| entry["controllerName"] == "weft.dev/control-plane");
    ours.map(|(name, entry)| (name, of(&entry, "Accepted"), of(&entry, "ResolvedRefs"))).collect()
}

/// Waits until the status of an object says this, for each of its targets or parents.
fn until_said(place: &Place, object: &str, expected: &[(&str, [&str; 2], [&str; 2])]) {
    let own = |pair: &[&str; 2]| pair.map(str::to_owned);
    let expected: Vec<_> =
        expected.iter().map(|(name, one, other)| ((*name).to_owned(), own(one), own(other))).collect();
    until(&format!("the status of {object} says {expected:?}"), || {
        (said(place, object) == expected).then_some(())
    });
}

const ACCEPTED: [&str; 2] = ["True", "Accepted"];
const RESOLVED: [&str; 2] = ["True", "ResolvedRefs"];
const CONFLICTED: [&str; 2] = ["False", "Conflicted"];
const NOT_FOUND: [&str; 2] = ["False", "TargetNotFound"];

#[test]
fn policies_say_what_became_of_them() {
    let Some(_turn) = crate::turn("control_plane::policies_say_what_became_of_them") else { return };
    let place = Place::plain("weft-test-status");
    place.apply(SERVICE);
    place.apply(&breaker("elder", &["api"]).to_string());
    until_said(&place, "cbp/elder", &[("api", ACCEPTED, RESOLVED)]);

    // Of two that are made within a second, the first by name is the elder.
    place.apply(&breaker("younger", &["api", "later"]).to_string());
    let both = [("api", CONFLICTED, RESOLVED), ("later", NOT_FOUND, NOT_FOUND)];
    until_said(&place, "cbp/younger", &both);
    place.apply(&SERVICE.replace("name: api", "name: later"));
    until_said(&place, "cbp/younger", &[("api", CONFLICTED, RESOLVED), ("later", ACCEPTED, RESOLVED)]);
    let table = place.kubectl(&["get", "cbp"]);
    assert!(
        table.starts_with("NAME") && table.contains("ACCEPTED") && table.contains("Conflicted"),
        "{table}"
    );

    // The way is free, and the younger takes it.
    place.kubectl(&["delete", "cbp/elder"]);
    until_said(&place, "cbp/younger", &[("api", ACCEPTED, RESOLVED), ("later", ACCEPTED, RESOLVED)]);
    // A target that is named no more is spoken of no more.
    place.apply(&breaker("younger", &["later"]).to_string());
    until_said(&place, "cbp/younger", &[("later", ACCEPTED, RESOLVED)]);

    let version = || place.get("cbp/younger")["metadata"]["resourceVersion"].clone();
    let before = version();
    place.apply(&breaker("another", &["later"]).to_string());
    until_said(&place, "cbp/another", &[("later", CONFLICTED, RESOLVED)]);
    assert_eq!(before, version(), "what is the same was written again");
}

/// A route to `api` of all that calls these Services.
fn route(parents: &[&str]) -> Value {
    let parents: Vec<Value> =
        parents.iter().map(|parent| json!({ "group": "", "kind": "Service", "name": parent })).collect();
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": { "name": "web" },
        "spec": { "parentRefs": parents, "rules": [{ "backendRefs": [{ "name": "api", "port": 80 }] }] },
    })
}

#[test]
fn routes_say_what_became_of_them_beside_what_others_say() {
    let Some(_turn) = crate::turn("control_plane::routes_say_what_became_of_them_beside_what_others_say")
    else {
        return;
    };
    let kind = Kind::define("HTTPRoute");
    let place = Place::plain("weft-test-route-status");
    place.apply(&SERVICE.replace("name: api", "name: shop"));
    place.apply(&route(&["shop", "later"]).to_string());
    let no_backend = ["False", "BackendNotFound"];
    let no_parent = ["False", "NoMatchingParent"];
    until_said(&place, "httproute/web", &[("shop", ACCEPTED, no_backend), ("later", no_parent, no_backend)]);

    let theirs = json!({
        "parentRef": { "name": "edge" },
        "controllerName": "example.com/gateway",
        "conditions": [],
    });
    let mut status = place.get("httproute/web")["status"].clone();
    status["parents"].as_array_mut().expect("it was said").insert(0, theirs.clone());
    let patch = json!({ "status": status }).to_string();
    place.kubectl(&["patch", "httproute/web", "--subresource=status", "--type=merge", "-p", &patch]);
    place.apply(SERVICE);
    until_said(&place, "httproute/web", &[("shop", ACCEPTED, RESOLVED), ("later", no_parent, RESOLVED)]);
    assert_eq!(place.get("httproute/web")["status"]["parents"][0], theirs);

    // A parent that is named no more is spoken of no more.
    place.apply(&route(&["shop"]).to_string());
    until_said(&place, "httproute/web", &[("shop", ACCEPTED, RESOLVED)]);
    let version = || place.get("httproute/web")["metadata"]["resourceVersion"].clone();
    let before = version();
    // Whatever is written besides, in the same order, comes after all that is wrong about this one.
    let mut another = route(&["api"]);
    another["metadata"]["name"] = json!("zeta");
    place.apply(&another.to_string());
    until_said(&place, "httproute/zeta", &[("api", ACCEPTED, RESOLVED)]);
    assert_eq!(before, version(), "what is the same was written again");
    assert_eq!(place.get("httproute/web")["status"]["parents"][0], theirs);
    kind.remove();
}

#[test]
fn what_can_never_be_is_refused_when_it_is_applied() {
    let Some(_turn) = crate::turn("control_plane::what_can_never_be_is_refused_when_it_is_applied") else {
        return;
    };
    let place = Place::plain("weft-test-refusals");
    let spec = |field: &str, value: Value| {
        let mut policy = breaker("wrong", &["api"]);
        let mut at = &mut policy["spec"];
        for step in field.split('.') {
            at = &mut at[step];
        }
        *at = value;
        policy
    };
    let table = [
        (spec("limits.maxRequests", json!(0)), "spec.limits.maxRequests"),
        (spec("endpoint.open", json!({ "base": "2m", "max": "1m" })), "spec.endpoint.open.base"),
        (spec("endpoint.window", json!("1 hour")), "spec.endpoint.window"),
        (spec("failures.http", json!(["599-500"])), "spec.failures.http[0]"),
        (spec("targetRefs", json!([])), "spec.targetRefs"),
        (spec("mode", json!("Perhaps")), "spec.mode"),
    ];
    for (policy, field) in table {
        let error = place.try_apply(&policy.to_string(), &["apply", "-f", "-"]).unwrap_err();
        assert!(error.contains(field), "{field}: {error}");
    }
    let unknown = spec("limits.maxRequest", json!(5));
    let error =
        place.try_apply(&unknown.to_string(), &["create", "--validate=strict", "-f", "-"]).unwrap_err();
    assert!(error.contains("spec.limits.maxRequest"), "{error}");
}

const ROUTE: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: api}
spec:
  parentRefs: [{group: '', kind: Service, name: api}]
  rules: [{backendRefs: [{name: api, port: 80}]}]
";

#[test]
fn a_kind_that_comes_later_is_found_and_one_that_goes_is_done_without() {
    let Some(_turn) =
        crate::turn("control_plane::a_kind_that_comes_later_is_found_and_one_that_goes_is_done_without")
    else {
        return;
    };
    if cluster().is_given() {
        return crate::skipped("the kinds of somebody else's cluster are not for tests to remove");
    }
    Kind::define("HTTPRoute").remove();
    let place = Place::plain("weft-test-kinds");
    place.apply(SERVICE);
    let mut policy = breaker("routes", &["api"]);
    policy["spec"]["targetRefs"] =
        json!([{ "group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "api" }]);
    place.apply(&policy.to_string());
    until_said(&place, "cbp/routes", &[("api", NOT_FOUND, NOT_FOUND)]);

    let kind = Kind::define("HTTPRoute");
    place.apply(ROUTE);
    until_said(&place, "cbp/routes", &[("api", ACCEPTED, RESOLVED)]);
    kind.remove();
    until_said(&place, "cbp/routes", &[("api", NOT_FOUND, NOT_FOUND)]);
}

/// A pod of the mesh again, with a token for somebody else.
fn with_a_token_for_others(pod: &Value) -> Value {
    let mut spec = pod["spec"].clone();
    spec["nodeName"] = Value::Null;
    let volumes = spec["volumes"].as_array_mut().into_iter().flatten();
    let sources =
        volumes.filter_map(|volume| volume.pointer_mut("/projected/sources")?.as_array_mut()).flatten();
    let audiences = sources.filter_map(|source| source.pointer_mut("/serviceAccountToken/audience"));
    audiences.filter(|it| **it == "weft.dev").for_each(|it| *it = "somebody.else".into());
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": "stranger", "labels": { "weft.dev/inject": "disabled", "app": "stranger" } },
        "spec": spec,
    })
}

#[test]
fn a_token_for_somebody_else_opens_no_stream() {
    let Some(_turn) = crate::turn("control_plane::a_token_for_somebody_else_opens_no_stream") else { return };
    let place = stage("weft-test-tokens");
    let api = place.pods("api").remove(0);
    let refused = || -> u64 {
        let ended = "weft_xds_streams_ended_total";
        replicas().iter().map(|pod| metrics_of(pod).count(ended, &[("reason", "unauthenticated")])).sum()
    };
    let connected = |pod: &Value| metrics_of(pod).get("weft_xds_connected", &[]);
    assert_eq!(connected(&api), Some(1.0), "one with a token of its own is let in");
    let before = refused();
    place.apply(&with_a_token_for_others(&api).to_string());
    until("it is refused", || (refused() > before).then_some(()));
    assert_eq!(connected(&place.pod("stranger")), Some(0.0));
}

/// Somebody in the mesh who calls the API on their own: they need nobody who would be away meanwhile.
struct Asking<'a> {
    place: &'a Place,
    requests: u64,
}

impl<'a> Asking<'a> {
    /// Has so many requests made, and returns once they are under way.
    fn begin(place: &'a Place, requests: u64) -> Self {
        let url = format!("http://api.{}/goodvibes", place.name);
        let command: Vec<String> = ["/caller", &url, "--rate", &RATE.to_string(), "--requests"]
            .into_iter()
            .map(str::to_owned)
            .chain([requests.to_string(), "--marked".to_owned(), "message".to_owned()])
            .collect();
        let container =
            json!({ "name": "asking", "image": "localhost/weft/samples:0.1.0", "command": command });
        let job = json!({
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": { "name": "asking" },
            "spec": { "backoffLimit": 0, "template": {
                "metadata": { "labels": { "app": "asking" } },
                "spec": { "restartPolicy": "Never", "containers": [container] },
            } },
        });
        place.apply(&job.to_string());
        until("somebody asks", || {
            let served: u64 = place.pods("api").iter().map(served).sum();
            (served > u64::from(RATE)).then_some(())
        });
        Self { place, requests }
    }

    /// How it went, to the last request: none may be lost.
    fn end(self) -> Account {
        let Self { place, requests } = self;
        let completed = ["wait", "--for=condition=complete", "job/asking", "--timeout=180s"];
        place.try_kubectl(&completed).unwrap_or_else(|error| panic!("{error}\n{}", place.state()));
        let told = place.logs("job/asking", "asking");
        let account: Account = serde_json::from_str(&told).unwrap_or_else(|error| panic!("{error}: {told}"));
        assert_eq!(account.total.requests, requests);
        assert_eq!(account.total.answered(200), requests, "{:?} {:?}", account.total, account.failures);
        assert_eq!(account.total.marked, requests);
        account
    }
}

/// Requests that a pod's sidecar has let in from the mesh.
fn served(pod: &Value) -> u64 {
    let counted = "http_server_request_duration_seconds_count";
    metrics_of(pod).series(counted).map(|(_, count)| count as u64).sum()
}

/// An API in the mesh.
fn stage(name: &'static str) -> Place {
    let place = Place::meshed(name);
    place.serve_api(2);
    place.settled(&["deployment/api"]);
    place
}

/// Adds a pod to the API, and waits until callers have found it.
fn a_new_pod_is_found(place: &Place) {
    let names = || -> BTreeSet<String> {
        let pods = place.pods("api").into_iter();
        pods.filter_map(|pod| pod["metadata"]["name"].as_str().map(str::to_owned)).collect()
    };
    let before = names();
    place.kubectl(&["scale", "deployment/api", "--replicas=3"]);
    place.settled(&["deployment/api"]);
    until("the new pod is asked", || {
        let is_new =
            |pod: &&Value| pod["metadata"]["name"].as_str().is_some_and(|name| !before.contains(name));
        place.pods("api").iter().find(is_new).filter(|pod| served(pod) > 0).map(drop)
    });
}

/// The control plane's pods that are not being removed.
fn replicas() -> Vec<Value> {
    let text = kubectl(&["get", "pods", "-n", MESH, "-l", CONTROL_PLANE, "-o", "json"]);
    let list: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let pods = list["items"].as_array().cloned().unwrap_or_default();
    pods.into_iter().filter(|pod| pod["metadata"]["deletionTimestamp"].is_null()).collect()
}

/// Which processes they are: uid and restarts of each.
fn processes() -> Vec<Value> {
    let of =
        |pod: Value| json!([pod["metadata"]["uid"], pod["status"]["containerStatuses"][0]["restartCount"]]);
    replicas().into_iter().map(of).collect()
}

#[test]
fn an_api_server_that_was_away_has_cost_nothing() {
    const REQUESTS: u64 = 9_000;
    let Some(_turn) = crate::turn("control_plane::an_api_server_that_was_away_has_cost_nothing") else {
        return;
    };
    if cluster().is_given() {
        return crate::skipped("the API server of somebody else's cluster is not for tests to kill");
    }
    let place = stage("weft-test-outage");
    let asking = Asking::begin(&place, REQUESTS);
    let before = processes();
    cluster().kill_api_server().unwrap();
    thread::sleep(OUTAGE);
    cluster().start_api_server().unwrap();
    a_new_pod_is_found(&place);
    assert_eq!(before, processes(), "the control plane did not stay");
    place.apply(&breaker("after", &["api"]).to_string());
    until_said(&place, "cbp/after", &[("api", ACCEPTED, RESOLVED)]);
    asking.end();
}

#[test]
fn a_control_plane_that_was_away_has_cost_nothing() {
    const REQUESTS: u64 = 9_000;
    let Some(_turn) = crate::turn("control_plane::a_control_plane_that_was_away_has_cost_nothing") else {
        return;
    };
    let place = stage("weft-test-away");
    let asking = Asking::begin(&place, REQUESTS);
    let before = processes();
    assert_eq!(before.len(), 2);
    kubectl(&["delete", "pods", "-n", MESH, "-l", CONTROL_PLANE, "--force", "--grace-period=0"]);
    kubectl(&["rollout", "status", "-n", MESH, "deployment/weft-control-plane", "--timeout=120s"]);
    assert!(processes().iter().all(|process| !before.contains(process)), "they were not deleted");
    a_new_pod_is_found(&place);
    asking.end();
}

#[test]
fn replicas_that_begin_together_have_one_authority() {
    const REPLICAS: usize = 4;
    let Some(_turn) = crate::bare_turn("control_plane::replicas_that_begin_together_have_one_authority")
    else {
        return;
    };
    if cluster().is_given() {
        return crate::skipped("the authority of somebody else's mesh is not for tests to remove");
    }
    uninstall();
    kubectl(&["delete", "secret", "-n", MESH, "weft-identity", "--ignore-not-found"]);
    upgrade(&["--set", &format!("controlPlane.replicas={REPLICAS}")]);
    let roots = kubectl(&["get", "secret", "-n", MESH, "weft-identity", "-o", "jsonpath={.data.tls\\.crt}"]);
    let roots = String::from_utf8(BASE64.decode(roots).unwrap()).unwrap();
    let logs = kubectl(&["logs", "-n", MESH, "-l", CONTROL_PLANE, "--tail=-1", "--prefix"]);
    let made: Vec<&str> = logs.lines().filter(|line| line.contains("made a certificate authority")).collect();
    assert_eq!(made.len(), 1, "{made:?}");
    assert_eq!(logs.lines().filter(|line| line.contains("serving proxies")).count(), REPLICAS, "{logs}");

    // All that trust comes from is this one, also where somebody takes it away.
    let place = Place::meshed("weft-test-roots");
    let bundle = || {
        let found = try_kubectl(&["get", "configmap", "-n", place.name, "weft-trust-bundle", "-o", "json"]);
        found.ok().and_then(|text| serde_json::from_str::<Value>(&text).ok())
    };
    let is_right = || bundle().is_some_and(|bundle| bundle["data"]["ca.crt"] == roots.as_str()).then_some(());
    until("the roots are in a namespace of the mesh", is_right);
    place.kubectl(&["delete", "configmap", "weft-trust-bundle"]);
    until("they are there again", is_right);
    let other = json!({ "data": { "ca.crt": "other" } }).to_string();
    place.kubectl(&["patch", "configmap", "weft-trust-bundle", "--type=merge", "-p", &other]);
    until("they are the right ones again", is_right);
    upgrade(&[]);
}
