use serde_json::{Value, json};
use weft_kubernetes::watch::Change;

use super::super::{item::Item, mirror::Mirror};
use crate::{
    resolve::resolve,
    status::{Fate, Report},
    store::ObjectKind,
};

const HTTP: ObjectKind = ObjectKind::HttpRoute;

fn object(name: &str, spec: &Value) -> Value {
    let metadata = json!({
        "name": name,
        "namespace": "shop",
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "generation": 2,
        "resourceVersion": "7",
    });
    json!({ "metadata": metadata, "spec": spec })
}

fn item(kind: ObjectKind, name: &str, spec: &Value) -> Item {
    Item::read(kind, object(name, spec))
}

fn service(name: &str) -> Item {
    let ports = json!([{ "name": "http", "port": 80 }, { "name": "admin", "port": 81 }]);
    item(ObjectKind::Service, name, &json!({ "clusterIP": "", "ports": ports }))
}

/// A Service as a parent, and what is said of it besides.
fn parent(name: &str, more: &Value) -> Value {
    let mut parent = json!({ "group": "", "kind": "Service", "name": name });
    parent.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    parent
}

fn route(kind: ObjectKind, name: &str, parents: &[Value], backends: &Value) -> Item {
    item(kind, name, &json!({ "parentRefs": parents, "rules": [{ "backendRefs": backends }] }))
}

fn to_api() -> Value {
    json!([{ "name": "api", "port": 80 }])
}

fn mirror(items: Vec<Item>) -> Mirror {
    let mut mirror = Mirror::default();
    for item in items {
        mirror.apply(item.key.kind, Change::Applied(item));
    }
    mirror
}

fn report(mirror: &Mirror, name: &str) -> Report {
    let resolved = resolve(mirror.store());
    let mut reports = mirror.reports(&resolved.findings, &resolved.attached).into_iter();
    reports.find(|report| report.object.name.name == name).unwrap()
}

/// Reasons of both conditions, for each parent.
fn said(mirror: &Mirror, name: &str) -> Vec<(&'static str, &'static str)> {
    let reasons = |fate: &Fate| {
        let resolved = fate.resolved.as_ref().map_or("", |resolved| resolved.reason);
        assert_eq!(fate.accepted.holds, fate.accepted.reason == "Accepted");
        (fate.accepted.reason, resolved)
    };
    report(mirror, name).fates.iter().map(reasons).collect()
}

/// What the first parent is told.
fn message(mirror: &Mirror, name: &str) -> String {
    report(mirror, name).fates[0].accepted.message.clone()
}

#[test]
fn each_parent_is_told_whether_the_route_has_a_port_there() {
    let none = json!({});
    let parents = [
        parent("api", &none),
        parent("api", &json!({ "port": 81 })),
        parent("api", &json!({ "sectionName": "http" })),
        parent("none", &none),
        parent("api", &json!({ "port": 82 })),
        parent("api", &json!({ "sectionName": "https" })),
        parent("headless", &none),
    ];
    let headless = json!({ "clusterIP": "None", "ports": [{ "port": 80 }] });
    let items = vec![
        service("api"),
        item(ObjectKind::Service, "headless", &headless),
        route(HTTP, "web", &parents, &to_api()),
    ];
    let mirror = mirror(items);
    let fine = ("Accepted", "ResolvedRefs");
    let lost = ("NoMatchingParent", "ResolvedRefs");
    let unfit = ("UnsupportedValue", "ResolvedRefs");
    assert_eq!(said(&mirror, "web"), [fine, fine, fine, lost, lost, lost, unfit]);
    assert_eq!(message(&mirror, "web"), "in force");
}

#[test]
fn a_route_of_requests_has_no_port_where_bytes_are_not_looked_at() {
    let ports = json!([{ "name": "http", "port": 80 }, { "name": "sql", "port": 5432 },
        { "name": "own", "port": 81, "appProtocol": "example.com/own" }]);
    let parents = [
        parent("db", &json!({})),
        parent("db", &json!({ "port": 80 })),
        parent("db", &json!({ "port": 5432 })),
        parent("db", &json!({ "port": 81 })),
    ];
    let mut mirror = mirror(vec![
        item(ObjectKind::Service, "db", &json!({ "clusterIP": "", "ports": ports })),
        route(HTTP, "web", &parents, &to_api()),
        service("api"),
    ]);
    let fine = ("Accepted", "ResolvedRefs");
    let unheard = ("UnsupportedProtocol", "ResolvedRefs");
    assert_eq!(said(&mirror, "web"), [fine, fine, unheard, unheard]);
    assert_eq!(
        report(&mirror, "web").fates[2].accepted.message,
        "spec.parentRefs[2] names port 5432 of Service shop/db, where bytes are not looked at, so no request is \
         found (give the port `appProtocol: http`, or call it opaque no more; bytes go by a TCPRoute)"
    );
    let spoken = json!([{ "name": "sql", "port": 5432, "appProtocol": "http" }]);
    let service = item(ObjectKind::Service, "db", &json!({ "clusterIP": "", "ports": spoken }));
    mirror.apply(ObjectKind::Service, Change::Applied(service));
    assert_eq!(said(&mirror, "web")[2], fine);
}

#[test]
fn a_route_of_requests_keeps_none_of_bytes_from_a_port_where_it_has_no_effect() {
    let all = [parent("db", &json!({}))];
    let db = |protocol: &str| {
        let ports =
            json!([{ "name": "http", "port": 80, "appProtocol": protocol }, { "name": "sql", "port": 5432 }]);
        item(ObjectKind::Service, "db", &json!({ "clusterIP": "", "ports": ports }))
    };
    let mut mirror = mirror(vec![
        db("http"),
        service("api"),
        route(HTTP, "web", &all, &to_api()),
        route(ObjectKind::TcpRoute, "bytes", &all, &to_api()),
    ]);
    let fine = ("Accepted", "ResolvedRefs");
    assert_eq!((said(&mirror, "web"), message(&mirror, "web").as_str()), (vec![fine], "in force"));
    assert_eq!(said(&mirror, "bytes"), [fine]);
    let remark = message(&mirror, "bytes");
    assert!(
        remark.starts_with("in force, but spec.parentRefs[0] names port 80 of Service shop/db"),
        "{remark}"
    );

    mirror.apply(ObjectKind::Service, Change::Applied(db("tcp")));
    assert_eq!(said(&mirror, "web"), [("UnsupportedProtocol", "ResolvedRefs")]);
    assert_eq!((said(&mirror, "bytes"), message(&mirror, "bytes").as_str()), (vec![fine], "in force"));
}

#[test]
fn parents_that_are_no_services_are_for_others_to_speak_of() {
    let gateway = json!({ "name": "edge" });
    let spoken = route(HTTP, "web", &[gateway.clone(), parent("api", &json!({ "port": 81 }))], &to_api());
    let mirror = mirror(vec![service("api"), spoken, route(HTTP, "edge", &[gateway], &to_api())]);
    let report = report(&mirror, "web");
    let targets: Vec<_> = report.fates.iter().map(|fate| (&*fate.target.name, fate.target.port)).collect();
    assert_eq!(targets, [("api", Some(81))]);
    assert_eq!(report.fates[0].target.namespace, None, "as the route says it");
    assert_eq!(said(&mirror, "web"), [("Accepted", "ResolvedRefs")]);
    assert_eq!(said(&mirror, "edge"), []);
}

#[test]
fn what_backends_lack_is_said_of_all_parents_and_the_route_goes_on() {
    let parents = [parent("api", &json!({ "port": 80 })), parent("api", &json!({ "port": 81 }))];
    let missing = json!([{ "name": "api", "port": 80 }, { "name": "none", "port": 80 }]);
    let of_another_kind = json!([{ "group": "example.com", "kind": "Bucket", "name": "b" }]);
    let mirror = mirror(vec![
        service("api"),
        route(HTTP, "missing", &parents, &missing),
        route(HTTP, "port", &parents, &json!([{ "name": "api", "port": 8080 }])),
        route(HTTP, "kind", &parents, &of_another_kind),
    ]);
    assert_eq!(said(&mirror, "missing"), [("Accepted", "BackendNotFound"); 2]);
    assert_eq!(said(&mirror, "port"), [("Accepted", "BackendNotFound"); 2]);
    assert_eq!(said(&mirror, "kind"), [("Accepted", "InvalidKind"); 2]);
    let resolved = report(&mirror, "missing").fates[0].resolved.clone().unwrap();
    assert!(!resolved.holds);
    assert!(
        resolved.message.starts_with("spec.rules[0].backendRefs[1].name names Service shop/none"),
        "{resolved:?}"
    );
}

#[test]
fn a_route_that_cannot_be_read_says_so_and_nothing_of_its_references() {
    let mut mirror =
        mirror(vec![service("api"), route(HTTP, "web", &[parent("api", &json!({}))], &to_api())]);
    let broken = json!({
        "parentRefs": [parent("api", &json!({}))],
        "rules": [{ "timeouts": { "request": "soon" }, "backendRefs": to_api() }],
    });
    mirror.apply(HTTP, Change::Applied(item(HTTP, "web", &broken)));
    assert_eq!(said(&mirror, "web"), [("UnsupportedValue", "")]);
    let said = message(&mirror, "web");
    assert!(said.contains("spec.rules[0].timeouts.request") && said.ends_with("stays"), "{said}");
}

#[test]
fn a_port_has_routes_of_one_kind_and_whoever_keeps_another_port_is_in_force() {
    let (both, first) = ([parent("api", &json!({}))], [parent("api", &json!({ "port": 80 }))]);
    let mirror = mirror(vec![
        service("api"),
        route(ObjectKind::GrpcRoute, "calls", &first, &to_api()),
        route(HTTP, "both", &both, &to_api()),
        route(HTTP, "first", &first, &to_api()),
        route(ObjectKind::TcpRoute, "bytes", &first, &to_api()),
    ]);
    assert_eq!(said(&mirror, "calls"), [("Accepted", "ResolvedRefs")]);
    assert_eq!(said(&mirror, "first"), [("Conflicted", "ResolvedRefs")]);
    assert_eq!(said(&mirror, "bytes"), [("Conflicted", "ResolvedRefs")]);
    assert_eq!(said(&mirror, "both"), [("Accepted", "ResolvedRefs")]);
    let remark = message(&mirror, "both");
    assert!(
        remark.starts_with("in force, but spec.parentRefs[0] names port 80 of Service shop/api"),
        "{remark}"
    );
}

#[test]
fn of_bytes_the_elder_has_the_port_and_of_names_the_elder_each() {
    let parents = [parent("api", &json!({ "port": 80 }))];
    let tls = |name: &str, hostnames: &[&str]| {
        let rules = json!([{ "backendRefs": to_api() }]);
        item(
            ObjectKind::TlsRoute,
            name,
            &json!({ "parentRefs": parents, "hostnames": hostnames, "rules": rules }),
        )
    };
    let names = mirror(vec![
        service("api"),
        tls("a", &["one.example", "two.example"]),
        tls("b", &["two.example", "three.example"]),
        tls("c", &["one.example"]),
    ]);
    assert_eq!(said(&names, "a"), [("Accepted", "ResolvedRefs")]);
    assert_eq!(said(&names, "b"), [("Accepted", "ResolvedRefs")]);
    assert!(message(&names, "b").contains("spec.hostnames[0] is `two.example`"), "{}", message(&names, "b"));
    assert_eq!(said(&names, "c"), [("Conflicted", "ResolvedRefs")]);

    let bytes = mirror(vec![
        service("api"),
        route(ObjectKind::TcpRoute, "a", &parents, &to_api()),
        route(ObjectKind::TcpRoute, "b", &parents, &to_api()),
    ]);
    assert_eq!(said(&bytes, "a"), [("Accepted", "ResolvedRefs")]);
    assert_eq!(said(&bytes, "b"), [("Conflicted", "ResolvedRefs")]);
}

#[test]
fn routes_of_callers_are_in_force_beside_those_of_the_service_and_conflict_with_their_own_alone() {
    let elsewhere = |kind: ObjectKind, namespace: &str, name: &str, parent: &str| {
        let parents = json!([{ "group": "", "kind": "Service", "namespace": "shop", "name": parent }]);
        let mut object = object(name, &json!({ "parentRefs": parents, "rules": [{ "backendRefs": [] }] }));
        object["metadata"]["namespace"] = namespace.into();
        Item::read(kind, object)
    };
    let mirror = mirror(vec![
        service("api"),
        route(ObjectKind::GrpcRoute, "own", &[parent("api", &json!({}))], &to_api()),
        elsewhere(HTTP, "users", "theirs", "api"),
        elsewhere(ObjectKind::GrpcRoute, "batch", "calls", "api"),
        elsewhere(HTTP, "batch", "loser", "api"),
        elsewhere(HTTP, "batch", "astray", "none"),
    ]);
    for (name, reason) in [
        ("own", "Accepted"),
        ("theirs", "Accepted"),
        ("calls", "Accepted"),
        ("loser", "Conflicted"),
        ("astray", "NoMatchingParent"),
    ] {
        assert_eq!(said(&mirror, name)[0].0, reason, "{name}");
    }
    assert_eq!(report(&mirror, "theirs").fates[0].target.namespace.as_deref(), Some("shop"));
}
