mod golden;
mod histories;
mod pods;

use weft_api::Object;

use super::*;
use crate::{document, store::AnyObject};

/// Two services that have nothing to do with each other.
fn store() -> Store {
    let mut store = Store::default();
    for (name, address) in [("api", "10.0.0.1"), ("web", "10.0.0.2")] {
        put(&mut store, name, &format!("clusterIP: {address}\nports: [{{port: 80, appProtocol: http}}]"));
    }
    store
}

fn put(store: &mut Store, name: &str, spec: &str) {
    let spec = document::parse(spec).unwrap()[0].decode().unwrap();
    let metadata = weft_api::object::Metadata::named("default", name);
    store.apply(&AnyObject::Service(Arc::new(Object { metadata, spec })));
}

fn compiler() -> Compiler {
    Compiler::new("cluster.local".parse().unwrap(), "roots", b"secret", 1000)
}

const KINDS: [Kind; 3] = [Kind::Cluster, Kind::Endpoints, Kind::Routes];

fn resource(snapshot: &Snapshot, kind: Kind, name: &str) -> Arc<Resource> {
    snapshot.get(kind, name, "default").unwrap().clone()
}

#[test]
fn a_change_encodes_only_what_it_touches() {
    let mut compiler = compiler();
    let mut objects = store();
    let first = compiler.compile(&objects, 2000);
    assert_eq!(first.encoded, 2);
    put(&mut objects, "api", "clusterIP: 10.0.0.1\nports: [{port: 80, appProtocol: http2}]");
    let second = compiler.compile(&objects, 3000);
    assert_eq!((second.encoded, second.snapshot.generation()), (1, 3000));
    for kind in KINDS {
        let (before, after) = (
            resource(&first.snapshot, kind, "default/web:80"),
            resource(&second.snapshot, kind, "default/web:80"),
        );
        assert!(Arc::ptr_eq(&before, &after), "{kind:?} of the other service is the same value");
    }
    let version = |kind| resource(&second.snapshot, kind, "default/api:80").version.generation();
    assert_eq!(version(Kind::Cluster), Some(3000));
    assert_eq!(version(Kind::Endpoints), Some(2000), "the protocol is no matter of the endpoints");
    let changes: Vec<_> = second.snapshot.changes_since(2000).unwrap().collect();
    assert_eq!(changes.iter().filter(|(kind, _)| *kind != Kind::Cluster).count(), 0, "{changes:?}");
}

#[test]
fn the_same_objects_make_no_new_generation() {
    let mut compiler = compiler();
    let first = compiler.compile(&store(), 2000);
    let second = compiler.compile(&store(), 3000);
    assert!(Arc::ptr_eq(&first.snapshot, &second.snapshot));
    assert_eq!(second.encoded, 0);
}

#[test]
fn generations_ascend_though_the_clock_is_set_back() {
    let mut compiler = compiler();
    let mut objects = store();
    compiler.compile(&objects, 5000);
    put(&mut objects, "api", "ports: [{port: 81}]");
    let back = compiler.compile(&objects, 1);
    assert_eq!(back.snapshot.generation(), 5001);
    assert_eq!(resource(&back.snapshot, Kind::Cluster, "default/api:81").version.generation(), Some(5001));
}

#[test]
fn what_is_removed_leaves_with_all_its_names() {
    let mut compiler = compiler();
    let mut objects = store();
    let first = compiler.compile(&objects, 2000).snapshot;
    assert!(first.get(Kind::Listener, "10.0.0.1:80", "default").is_some());
    objects.services.remove(&ObjectName::new("default", "api"));
    let second = compiler.compile(&objects, 3000).snapshot;
    for name in ["10.0.0.1:80", "api.default.svc.cluster.local:80"] {
        assert!(second.get(Kind::Listener, name, "default").is_none());
        assert!(second.changes_since(2000).unwrap().any(|change| change == (Kind::Listener, name)), "{name}");
    }
}

#[test]
fn a_new_address_is_a_new_version_and_the_old_one_leads_nowhere() {
    let mut compiler = compiler();
    let mut objects = store();
    let first = compiler.compile(&objects, 2000).snapshot;
    put(&mut objects, "api", "clusterIP: 10.0.0.9\nports: [{port: 80}]");
    let second = compiler.compile(&objects, 3000).snapshot;
    let name = "api.default.svc.cluster.local:80";
    let (before, after) = (resource(&first, Kind::Listener, name), resource(&second, Kind::Listener, name));
    assert!(!before.version.same_content(&after.version));
    assert!(second.get(Kind::Listener, "10.0.0.1:80", "default").is_none());
    assert_eq!(
        second.get(Kind::Listener, "10.0.0.9:80", "default").map(|found| &found.name),
        Some(&name.to_owned())
    );
    let changed: Vec<_> = second.changes_since(2000).unwrap().map(|(_, name)| name).collect();
    assert!(changed.contains(&"10.0.0.1:80") && changed.contains(&"10.0.0.9:80"), "{changed:?}");
}

#[test]
fn an_address_that_two_services_claim_belongs_to_one_of_them() {
    let mut objects = store();
    put(&mut objects, "web", "clusterIP: 10.0.0.1\nports: [{port: 80}]");
    let compiled = compiler().compile(&objects, 2000);
    assert_eq!(compiled.findings.len(), 1);
    let aliases = |name: &str| {
        resource(&compiled.snapshot, Kind::Listener, &format!("{name}.default.svc.cluster.local:80"))
            .aliases
            .clone()
    };
    assert_eq!((aliases("api"), aliases("web")), (vec!["10.0.0.1:80".to_owned()], vec![]));
    let owner = compiled.snapshot.get(Kind::Listener, "10.0.0.1:80", "default").unwrap();
    assert_eq!(owner.name, "api.default.svc.cluster.local:80");
}

/// A route of callers in `shop` to the service `api`, whose requests may take so many seconds.
fn route_of_callers(store: &mut Store, seconds: u32) {
    let spec = format!(
        "parentRefs: [{{group: '', kind: Service, name: api, namespace: default}}]\n\
         rules: [{{timeouts: {{request: {seconds}s}}, backendRefs: [{{name: api, namespace: default, port: 80}}]}}]"
    );
    let spec = document::parse(&spec).unwrap()[0].decode().unwrap();
    let metadata = weft_api::object::Metadata::named("shop", "slow");
    store.apply(&AnyObject::HttpRoute(Arc::new(Object { metadata, spec })));
}

#[test]
fn a_route_of_callers_is_theirs_alone_and_its_changes_touch_nobody_else() {
    let (mut compiler, mut objects) = (compiler(), store());
    let seen = |snapshot: &Snapshot, kind, namespace: &str| {
        let name = match kind {
            Kind::Listener => "api.default.svc.cluster.local:80",
            _ => "default/api:80",
        };
        snapshot.get(kind, name, namespace).unwrap().clone()
    };
    let plain = compiler.compile(&objects, 2000).snapshot;
    route_of_callers(&mut objects, 1);
    let first = compiler.compile(&objects, 3000).snapshot;
    route_of_callers(&mut objects, 2);
    let second = compiler.compile(&objects, 4000).snapshot;
    for kind in [Kind::Cluster, Kind::Endpoints, Kind::Routes, Kind::Listener] {
        let untouched = seen(&plain, kind, "default");
        assert!(Arc::ptr_eq(&seen(&first, kind, "default"), &untouched), "{kind:?}");
        assert!(Arc::ptr_eq(&seen(&second, kind, "batch"), &untouched), "{kind:?}");
    }
    assert_ne!(seen(&first, Kind::Routes, "shop").body, seen(&plain, Kind::Routes, "shop").body);
    assert_ne!(seen(&second, Kind::Routes, "shop").body, seen(&first, Kind::Routes, "shop").body);
    // By the address it is the same.
    let by_address = second.get(Kind::Listener, "10.0.0.1:80", "shop").unwrap();
    assert!(Arc::ptr_eq(by_address, &seen(&second, Kind::Listener, "shop")));
    let changes: Vec<_> = second.changes_since(3000).unwrap().collect();
    assert_eq!(changes, [(Kind::Routes, "default/api:80"); 2], "that from before, and that from now on");
    assert_eq!(second.names(Kind::Cluster).filter(|name| *name == "default/api:80").count(), 1);
}
