//! Which kind of route has a port, by what is spoken there.

use serde_json::{Value, json};

use super::*;
use crate::{
    resolve::{Resolved, Resolver, resolve, tests::read},
    store::{AnyObject, Reason},
};

const GRPC: ObjectKind = ObjectKind::GrpcRoute;
const HTTP: ObjectKind = ObjectKind::HttpRoute;
const TLS: ObjectKind = ObjectKind::TlsRoute;
const TCP: ObjectKind = ObjectKind::TcpRoute;

fn service(ports: &Value) -> AnyObject {
    AnyObject::Service(read(json!({ "namespace": "shop", "name": "db" }), json!({ "ports": ports })))
}

/// A route, named like its kind, to all ports of the service.
fn route(kind: ObjectKind, namespace: &str) -> AnyObject {
    let metadata = json!({ "namespace": namespace, "name": kind.name() });
    let parents = json!([{ "group": "", "kind": "Service", "namespace": "shop", "name": "db" }]);
    let mut spec = json!({ "parentRefs": parents, "rules": [{ "backendRefs": [] }] });
    match kind {
        GRPC => AnyObject::GrpcRoute(read(metadata, spec)),
        HTTP => AnyObject::HttpRoute(read(metadata, spec)),
        TCP => AnyObject::TcpRoute(read(metadata, spec)),
        _ => {
            spec["hostnames"] = json!(["shop.example"]);
            AnyObject::TlsRoute(read(metadata, spec))
        }
    }
}

fn store(objects: &[AnyObject]) -> Store {
    let mut store = Store::default();
    for object in objects {
        store.apply(object);
    }
    store
}

fn kind_of(routes: &Routes) -> Option<ObjectKind> {
    match routes {
        Routes::Http(routes) => (!routes.is_empty()).then_some(HTTP),
        Routes::Grpc(_) => Some(GRPC),
        Routes::Tls(_) => Some(TLS),
        Routes::Tcp(_) => Some(TCP),
    }
}

/// The kind that has each port of the service.
fn holders(resolved: &Resolved) -> Vec<Option<ObjectKind>> {
    let ports = &resolved.services[&ObjectName::new("shop", "db")].ports;
    ports.iter().map(|port| kind_of(&port.routes)).collect()
}

/// The kinds of which routes are said to have any port.
fn attached(resolved: &Resolved) -> Vec<ObjectKind> {
    resolved.attached.iter().map(|(route, _)| route.kind).collect()
}

/// What is wrong, by kind of route.
fn told(resolved: &Resolved) -> BTreeMap<ObjectKind, Reason> {
    resolved.findings.iter().map(|finding| (finding.object.kind, finding.reason)).collect()
}

#[test]
fn a_kind_competes_for_a_port_only_where_it_has_an_effect() {
    use Reason::{Conflicted, Unheeded};
    type Row<'a> = (u16, Option<&'a str>, &'a [ObjectKind], Option<ObjectKind>, &'a [(ObjectKind, Reason)]);
    // A port and its `appProtocol`, the kinds that name it; the one that has it, and what the others are told.
    let table: [Row<'_>; 10] = [
        (9999, None, &[HTTP, TCP], Some(HTTP), &[(TCP, Conflicted)]),
        (5432, None, &[HTTP, TCP], Some(TCP), &[(HTTP, Unheeded)]),
        (5432, Some("http"), &[HTTP, TCP], Some(HTTP), &[(TCP, Conflicted)]),
        (9999, Some("tcp"), &[HTTP, TCP], Some(TCP), &[(HTTP, Unheeded)]),
        (9999, Some("example.com/own"), &[GRPC, TCP], Some(TCP), &[(GRPC, Unheeded)]),
        (9999, Some("tcp"), &[HTTP, TLS], Some(TLS), &[(HTTP, Unheeded)]),
        (
            9999,
            Some("tcp"),
            &[GRPC, HTTP, TLS, TCP],
            Some(TLS),
            &[(GRPC, Unheeded), (HTTP, Unheeded), (TCP, Conflicted)],
        ),
        (
            9999,
            Some("grpc"),
            &[GRPC, HTTP, TLS, TCP],
            Some(GRPC),
            &[(HTTP, Conflicted), (TLS, Conflicted), (TCP, Conflicted)],
        ),
        (5432, None, &[GRPC, HTTP], None, &[(GRPC, Unheeded), (HTTP, Unheeded)]),
        (9999, Some("http"), &[TCP], Some(TCP), &[]),
    ];
    for (port, protocol, kinds, holder, others) in table {
        let what = format!("{port} {protocol:?} {kinds:?}");
        let service = service(&json!([{ "port": port, "appProtocol": protocol }]));
        let objects: Vec<_> = kinds.iter().map(|kind| route(*kind, "shop")).chain([service]).collect();
        let resolved = resolve(&store(&objects));
        assert_eq!(holders(&resolved), [holder], "{what}");
        assert_eq!(attached(&resolved), holder.into_iter().collect::<Vec<_>>(), "{what}");
        assert_eq!(told(&resolved), others.iter().copied().collect(), "{what}");
    }
}

#[test]
fn routes_to_all_ports_share_them_by_what_is_spoken_there() {
    let ports = json!([{ "name": "http", "port": 80 }, { "name": "sql", "port": 5432 }]);
    let resolved = resolve(&store(&[service(&ports), route(HTTP, "shop"), route(TCP, "shop")]));
    assert_eq!(holders(&resolved), [Some(HTTP), Some(TCP)]);
    assert_eq!(attached(&resolved), [HTTP, TCP]);
    let [finding] = &*resolved.findings else { panic!("{:?}", resolved.findings) };
    assert_eq!((finding.object.kind, finding.reason), (TCP, Reason::Conflicted));
    assert!(finding.message.starts_with("names port 80 of Service shop/db"), "{}", finding.message);
}

#[test]
fn a_port_that_a_pod_calls_opaque_goes_to_the_routes_of_bytes_and_back() {
    let slice = AnyObject::EndpointSlice(read(
        json!({ "namespace": "shop", "name": "db", "labels": { "kubernetes.io/service-name": "db" } }),
        json!({
            "addressType": "IPv4",
            "ports": [{ "name": "any", "port": 9999 }],
            "endpoints": [{ "addresses": ["10.1.0.1"], "targetRef": { "kind": "Pod", "name": "db" } }],
        }),
    ));
    let pod = |annotations: Value| {
        let metadata = json!({ "namespace": "shop", "name": "db", "annotations": annotations });
        let status = json!({ "phase": "Running", "podIPs": [{ "ip": "10.1.0.1" }] });
        AnyObject::Pod(read(metadata, json!({ "spec": { "containers": [] }, "status": status })))
    };
    let service = service(&json!([{ "name": "any", "port": 9999 }]));
    let mut store = store(&[service, slice, route(HTTP, "shop"), route(TCP, "shop")]);
    let mut resolver = Resolver::default();
    for (annotations, holder, loser, reason) in [
        (json!({}), HTTP, TCP, Reason::Conflicted),
        (json!({ "weft.dev/opaque-ports": "9999" }), TCP, HTTP, Reason::Unheeded),
        (json!({}), HTTP, TCP, Reason::Conflicted),
    ] {
        store.apply(&pod(annotations));
        resolver.resolve(&store);
        let resolved = resolver.resolved();
        assert_eq!(holders(resolved), [Some(holder)]);
        assert_eq!(attached(resolved), [holder]);
        assert_eq!(told(resolved), BTreeMap::from([(loser, reason)]));
    }
}

#[test]
fn routes_of_callers_without_an_effect_do_not_take_the_place_of_those_of_the_service() {
    let of_callers = |kind: ObjectKind, protocol: &str| {
        let service = service(&json!([{ "port": 9999, "appProtocol": protocol }]));
        let resolved = resolve(&store(&[service, route(TCP, "shop"), route(kind, "users")]));
        assert_eq!(holders(&resolved), [Some(TCP)], "{protocol}");
        let port = &resolved.services[&ObjectName::new("shop", "db")].ports[0];
        port.consumers.get("users").and_then(kind_of)
    };
    assert_eq!(of_callers(HTTP, "http"), Some(HTTP));
    assert_eq!(of_callers(HTTP, "tcp"), None);
    assert_eq!(of_callers(TCP, "tcp"), Some(TCP));
}
