use serde_json::{Value, json};

use super::*;
use crate::{resolve::resolve, status::Held};

const BREAKERS: ObjectKind = ObjectKind::CircuitBreakerPolicy;

/// What an API server says of an object.
fn object(name: &str, spec: &Value) -> Value {
    json!({
        "metadata": {
            "name": name,
            "namespace": "shop",
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "generation": 2,
            "resourceVersion": "7",
            "managedFields": [{ "manager": "kubectl" }],
        },
        "spec": spec,
    })
}

fn item(kind: ObjectKind, name: &str, spec: &Value) -> Item {
    Item::read(kind, object(name, spec))
}

fn service(name: &str) -> Item {
    // A field that this version does not know, as a later server has it.
    item(ObjectKind::Service, name, &json!({ "ports": [{ "port": 80 }], "novelty": { "a": 1 } }))
}

fn breaker(name: &str, target: &str) -> Item {
    item(BREAKERS, name, &breaker_spec(target, 1000))
}

fn breaker_spec(target: &str, requests: i64) -> Value {
    let target = json!({ "group": "", "kind": "Service", "name": target });
    json!({ "targetRefs": [target], "limits": { "maxRequests": requests } })
}

fn applied(mirror: &mut Mirror, item: Item) -> bool {
    mirror.apply(item.key.kind, Change::Applied(item))
}

fn mirror(items: Vec<Item>) -> Mirror {
    let mut mirror = Mirror::default();
    for item in items {
        applied(&mut mirror, item);
    }
    mirror
}

fn reports(mirror: &Mirror) -> Vec<Report> {
    let resolved = resolve(mirror.store());
    mirror.reports(&resolved.findings, &resolved.attached)
}

/// Name and reason of `Accepted`, for each target of each object.
fn outcomes(mirror: &Mirror) -> Vec<(String, &'static str)> {
    let reports = reports(mirror);
    let fates = reports.iter().flat_map(|report| {
        let name = &report.object.name.name;
        report.fates.iter().map(move |fate| (name.clone(), fate.accepted.reason))
    });
    fates.collect()
}

#[test]
fn what_comes_twice_or_says_the_same_makes_no_difference() {
    let mut mirror = Mirror::default();
    assert!(applied(&mut mirror, service("api")));
    assert!(!applied(&mut mirror, service("api")));
    let key = service("api").key;
    assert!(mirror.apply(key.kind, Change::Removed(service("api"))));
    assert!(!mirror.apply(key.kind, Change::Removed(service("api"))));
    assert!(mirror.store().services.is_empty());
}

#[test]
fn a_list_takes_out_of_force_what_it_leaves_out_and_nothing_of_other_kinds() {
    let broken = item(BREAKERS, "broken", &breaker_spec("api", -1));
    let mut mirror = mirror(vec![service("api"), service("cart"), breaker("one", "api"), broken]);
    assert!(mirror.apply(ObjectKind::Service, Change::Listed(vec![service("cart"), service("new")])));
    assert_eq!(mirror.store().names(ObjectKind::Service).len(), 2);
    assert_eq!(reports(&mirror).len(), 2);
    assert!(mirror.apply(BREAKERS, Change::Listed(vec![breaker("one", "api")])));
    assert_eq!(reports(&mirror).len(), 1, "one that never was in force is gone as well");
    assert!(mirror.apply(BREAKERS, Change::Absent));
    assert!(!mirror.apply(BREAKERS, Change::Absent));
    assert!(reports(&mirror).is_empty());
}

#[test]
fn what_breaks_keeps_its_last_good_form_and_says_so() {
    let mut mirror = mirror(vec![service("api"), breaker("one", "api"), breaker("two", "cart")]);
    assert!(applied(&mut mirror, item(BREAKERS, "one", &breaker_spec("api", -1))));
    assert_eq!(mirror.store().circuit_breakers.len(), 2, "it stays in force");
    let problems = mirror.problems(&[]);
    let [problem] = &problems[..] else { panic!("{problems:?}") };
    assert!(
        problem.to_string().starts_with("CircuitBreakerPolicy shop/one: spec.limits.maxRequests "),
        "{problem}"
    );
    let found = outcomes(&mirror);
    assert_eq!(found, [("one".to_owned(), "Invalid"), ("two".to_owned(), "TargetNotFound")]);
    let reports = reports(&mirror);
    let message = &reports[0].fates[0].accepted.message;
    assert!(message.contains("spec.limits.maxRequests") && message.ends_with("stays"), "{message}");
    assert_eq!((reports[0].version.as_str(), reports[0].generation), ("7", 2));
    // Mended.
    assert!(applied(&mut mirror, breaker("one", "api")));
    assert!(mirror.problems(&[]).is_empty());
    assert_eq!(outcomes(&mirror)[0].1, "Accepted");
}

#[test]
fn of_two_policies_for_one_target_the_older_is_accepted() {
    let mut younger = object("a", &breaker_spec("api", 10));
    younger["metadata"]["creationTimestamp"] = json!("2026-01-02T00:00:00Z");
    let mirror = mirror(vec![service("api"), breaker("b", "api"), Item::read(BREAKERS, younger)]);
    let found = outcomes(&mirror);
    assert_eq!(found, [("a".to_owned(), "Conflicted"), ("b".to_owned(), "Accepted")]);
}

#[test]
fn each_target_has_a_fate_of_its_own() {
    let names = ["api", "none", "api-2", "cart", "a", "b", "c", "d", "e", "f", "none-2"];
    let targets: Vec<_> =
        names.iter().map(|name| json!({ "group": "", "kind": "Service", "name": name })).collect();
    let policy = item(BREAKERS, "one", &json!({ "targetRefs": targets }));
    let services = names.iter().filter(|name| !name.starts_with("none")).map(|name| service(name));
    let mirror = mirror(services.chain([policy]).collect());
    let missing: Vec<_> = outcomes(&mirror).iter().map(|(_, outcome)| *outcome != "Accepted").collect();
    let expected: Vec<_> = names.iter().map(|name| name.starts_with("none")).collect();
    assert_eq!(missing, expected, "the findings of target 10 are not those of target 1");
}

#[test]
fn a_status_of_somebody_else_is_kept_and_one_of_nonsense_written_anew() {
    let mut policy = object("one", &breaker_spec("api", 10));
    policy["status"] = json!({ "ancestors": [{
        "ancestorRef": { "kind": "Service", "name": "api" },
        "controllerName": "example.com/other",
    }] });
    let held = |policy: Value| reports(&mirror(vec![Item::read(BREAKERS, policy)]))[0].held.clone();
    assert_eq!(held(policy.clone()).others[0], policy["status"]["ancestors"][0]);
    policy["status"] = json!({ "ancestors": "?" });
    assert_eq!(held(policy), Held::default());
}

#[test]
fn a_namespace_is_of_the_mesh_by_its_label_or_by_a_pod() {
    let named = |name: &str, label: &str| {
        let labels = json!({ "weft.dev/inject": label });
        Item::read(ObjectKind::Namespace, json!({ "metadata": { "name": name, "labels": labels } }))
    };
    let pod = |namespace: &str, label: &str, container: &str| {
        let metadata = json!({ "name": "p", "namespace": namespace, "labels": { "weft.dev/inject": label } });
        let containers = json!([{ "name": container, "image": "x" }]);
        Item::read(ObjectKind::Pod, json!({ "metadata": metadata, "spec": { "containers": containers } }))
    };
    let mirror = mirror(vec![
        named("enabled", "enabled"),
        named("disabled", "disabled"),
        named("injected", ""),
        named("asking", ""),
        named("plain", ""),
        pod("injected", "", "weft-proxy"),
        pod("asking", "enabled", "app"),
        pod("plain", "", "app"),
    ]);
    assert_eq!(mirror.meshed_namespaces(), ["asking", "enabled", "injected"].map(str::to_owned).into());
}

const AUTHORIZATIONS: ObjectKind = ObjectKind::AuthorizationPolicy;

fn pod(name: &str, sidecar: bool) -> Item {
    let mut pod =
        object(name, &json!({ "containers": [{ "name": if sidecar { "weft-proxy" } else { "app" } }] }));
    pod["metadata"]["labels"] = json!({ "app": name });
    Item::read(ObjectKind::Pod, pod)
}

fn authorization(name: &str, app: &str, more: &Value) -> Item {
    let selector = json!({ "matchLabels": { "app": app } });
    let mut spec = json!({ "targetRefs": [{ "kind": "Pod", "selector": selector }], "action": "ALLOW" });
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    item(AUTHORIZATIONS, name, &spec)
}

#[test]
fn what_selects_pods_is_told_for_its_namespace_whether_anybody_obeys_it() {
    let mirror = mirror(vec![
        pod("api", true),
        pod("bare", false),
        authorization("guarded", "api", &json!({})),
        authorization("in-vain", "bare", &json!({})),
        authorization("mistyped", "apl", &json!({})),
    ]);
    let reports = reports(&mirror);
    let fates: Vec<_> = reports.iter().flat_map(|report| &report.fates).collect();
    assert!(
        fates
            .iter()
            .all(|fate| (fate.target.kind.as_str(), fate.target.name.as_str()) == ("Namespace", "shop"))
    );
    let told: Vec<_> =
        fates.iter().map(|fate| (fate.accepted.reason, fate.accepted.message.as_str())).collect();
    let [("Accepted", "in force"), ("Accepted", bare), ("TargetNotFound", mistyped)] = told[..] else {
        panic!("{told:?}")
    };
    assert!(bare.contains("Pod shop/bare, which has no sidecar"), "{bare}");
    assert!(mistyped.contains("spec.targetRefs[0].selector selects no pod"), "{mistyped}");
}

#[test]
fn an_authorization_that_was_never_sound_lets_nobody_in_and_one_that_was_stays() {
    let broken = json!({ "rules": [{ "networkAttributes": { "ports": [0] } }] });
    let mut mirror = mirror(vec![pod("api", true)]);
    let guards = |mirror: &Mirror, app: &str| {
        let labels = [("app".to_owned(), app.to_owned())].into();
        let policies = mirror.store().authorizations.values();
        let guarding = policies.filter(|policy| policy.spec.target_refs[0].selector.selects(&labels));
        guarding.map(|policy| policy.spec.settings.rules.len()).collect::<Vec<_>>()
    };
    assert!(applied(&mut mirror, authorization("one", "api", &broken)));
    assert_eq!((guards(&mirror, "api"), guards(&mirror, "web")), (vec![0], vec![]));
    assert_eq!(outcomes(&mirror), [("one".to_owned(), "Invalid")]);

    applied(&mut mirror, authorization("one", "api", &json!({ "rules": [{}, {}] })));
    applied(&mut mirror, authorization("one", "api", &broken));
    assert_eq!(guards(&mirror, "api"), [2], "what was in force before stays");

    // Whom it was meant for cannot be read, or it was to act on nothing.
    let mut elsewhere = object("two", &broken);
    elsewhere["spec"]["targetRefs"] = json!([{ "kind": "Service", "name": "api" }]);
    applied(&mut mirror, Item::read(AUTHORIZATIONS, elsewhere));
    assert_eq!(guards(&mirror, "web"), [0]);
    let audit = json!({ "mode": "Audit", "rules": [{ "sources": [{ "type": "SPIFFE" }] }] });
    applied(&mut mirror, authorization("three", "web", &audit));
    assert_eq!(mirror.store().authorizations.len(), 2);
}
