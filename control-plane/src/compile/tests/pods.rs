//! Pods: what a change of one touches, and who may be told how it is entered.

use weft_api::kubernetes::LABEL_SERVICE_NAME;

use super::*;

/// A pod of the mesh with a port of its own.
fn pod(store: &mut Store, name: &str, address: &str, more: &str) {
    let text = format!(
        "spec: {{serviceAccountName: {name}, containers: [{{name: weft-proxy}}, {{name: app, ports: [{{containerPort: \
         8080}}]}}]}}\nstatus: {{phase: Running, podIPs: [{{ip: {address}}}], {more}}}"
    );
    let spec = document::parse(&text).unwrap()[0].decode_leniently().unwrap();
    let metadata = weft_api::object::Metadata::named("default", name);
    store.apply(&AnyObject::Pod(Arc::new(Object { metadata, spec })));
}

fn slice(store: &mut Store, service: &str, pods: &[(&str, &str)]) {
    let endpoints = pods
        .iter()
        .map(|(pod, address)| format!("{{addresses: [{address}], targetRef: {{kind: Pod, name: {pod}}}}}"));
    let endpoints = endpoints.collect::<Vec<_>>().join(", ");
    let text = format!("{{addressType: IPv4, ports: [{{port: 8080}}], endpoints: [{endpoints}]}}");
    let spec = document::parse(&text).unwrap()[0].decode().unwrap();
    let mut metadata = weft_api::object::Metadata::named("default", service);
    metadata.labels = [(LABEL_SERVICE_NAME.to_owned(), service.to_owned())].into();
    store.apply(&AnyObject::EndpointSlice(Arc::new(Object { metadata, spec })));
}

fn annotate(store: &mut Store, name: &str, key: &str, value: &str) {
    let pod = store.pods.get_mut(&ObjectName::new("default", name)).unwrap();
    Arc::make_mut(pod).metadata.annotations.insert(key.to_owned(), value.to_owned());
}

/// Two services over a pod each.
fn mesh() -> Store {
    let mut store = store();
    for (service, pod_name, address) in [("api", "api-1", "10.1.0.1"), ("web", "web-1", "10.1.0.2")] {
        pod(&mut store, pod_name, address, "");
        slice(&mut store, service, &[(pod_name, address)]);
    }
    store
}

fn changed(snapshot: &Snapshot, since: u64) -> Vec<(Kind, &str)> {
    snapshot.changes_since(since).unwrap().collect()
}

#[test]
fn what_says_nothing_new_of_a_pod_changes_nothing() {
    let (mut compiler, mut objects) = (compiler(), mesh());
    let first = compiler.compile(&objects, 2000);
    assert_eq!(first.encoded, 4, "two services and two pods");
    pod(&mut objects, "api-1", "10.1.0.1", "qosClass: Burstable, conditions: [{type: Ready}]");
    let second = compiler.compile(&objects, 3000);
    assert_eq!(second.encoded, 0);
    assert!(Arc::ptr_eq(&first.snapshot, &second.snapshot));
}

#[test]
fn a_change_of_a_pod_touches_what_depends_on_it_and_nothing_else() {
    let (mut compiler, mut objects) = (compiler(), mesh());
    compiler.compile(&objects, 2000);
    annotate(&mut objects, "api-1", names::ANNOTATION_DEFAULT_POLICY, "strict");
    let strict = compiler.compile(&objects, 3000);
    assert_eq!(strict.encoded, 1, "how it is entered is a matter of the pod alone");
    assert_eq!(changed(&strict.snapshot, 2000), [(Kind::Listener, "inbound")]);

    annotate(&mut objects, "api-1", names::ANNOTATION_SKIP_INBOUND_PORTS, "8080");
    let skipped = compiler.compile(&objects, 4000);
    assert_eq!(skipped.encoded, 2, "the pod, and the service before it");
    let names = changed(&skipped.snapshot, 3000);
    let theirs = |name: &str| name.contains("web") || name.contains("10.1.0.2");
    assert!(names.contains(&(Kind::Endpoints, "default/api:80")), "{names:?}");
    assert!(
        names.contains(&(Kind::Listener, "10.1.0.1:8080")),
        "it is not led through the sidecar: {names:?}"
    );
    assert!(!names.iter().any(|(_, name)| theirs(name)), "{names:?}");
    assert!(skipped.snapshot.get(Kind::Listener, "10.1.0.1:8080", "default").is_none());
}

#[test]
fn a_pod_that_ends_takes_its_address_along_and_another_may_have_it() {
    let (mut compiler, mut objects) = (compiler(), mesh());
    let first = compiler.compile(&objects, 2000).snapshot;
    let name = ObjectName::new("default", "api-1");
    assert!(first.get(Kind::Endpoints, "10.1.0.1:8080", "default").is_some());
    assert!(first.get(Kind::Endpoints, "10.1.0.1:9999", "default").is_none(), "nobody offers that port");
    let ended = Arc::make_mut(objects.pods.get_mut(&name).unwrap());
    ended.spec.status.phase = weft_api::kubernetes::Phase::Failed;
    let second = compiler.compile(&objects, 3000).snapshot;
    assert!(second.get(Kind::Endpoints, "10.1.0.1:8080", "default").is_none());
    assert!(second.inbound(&name, "api-1").is_none());
    pod(&mut objects, "api-2", "10.1.0.1", "");
    let third = compiler.compile(&objects, 4000).snapshot;
    let before = first.get(Kind::Endpoints, "10.1.0.1:8080", "default").unwrap();
    let after = third.get(Kind::Endpoints, "10.1.0.1:8080", "default").unwrap();
    assert!(!before.version.same_content(&after.version), "another identity answers there");
}

#[test]
fn only_the_service_account_of_a_pod_is_told_how_it_is_entered() {
    let snapshot = compiler().compile(&mesh(), 2000).snapshot;
    let name = ObjectName::new("default", "api-1");
    assert!(snapshot.inbound(&name, "api-1").is_some());
    assert!(snapshot.inbound(&name, "web-1").is_none());
    assert!(snapshot.inbound(&ObjectName::new("other", "api-1"), "api-1").is_none());
}

#[test]
fn a_namespace_speaks_for_the_pods_that_say_nothing() {
    let (mut compiler, mut objects) = (compiler().with_default_policy(Mtls::Strict), mesh());
    let inbound = |snapshot: &Snapshot, pod: &str| {
        snapshot.inbound(&ObjectName::new("default", pod), pod).unwrap().body.clone()
    };
    let strict = compiler.compile(&objects, 2000).snapshot;
    let mut metadata = weft_api::object::Metadata::named("", "default");
    metadata.annotations = [(names::ANNOTATION_DEFAULT_POLICY.to_owned(), "permissive".to_owned())].into();
    let namespace = Object { metadata, spec: weft_api::kubernetes::Namespace {} };
    objects.apply(&AnyObject::Namespace(Arc::new(namespace)));
    annotate(&mut objects, "web-1", names::ANNOTATION_DEFAULT_POLICY, "strict");
    let mixed = compiler.compile(&objects, 3000).snapshot;
    assert!(
        inbound(&mixed, "api-1").len() > inbound(&strict, "api-1").len(),
        "plaintext has chains of its own"
    );
    assert_eq!(inbound(&mixed, "web-1"), inbound(&strict, "web-1"));
}

#[test]
fn pods_alike_share_how_they_are_entered() {
    let (mut compiler, mut objects) = (compiler(), mesh());
    let first = compiler.compile(&objects, 2000).snapshot;
    let body = |snapshot: &Snapshot, pod: &str| {
        snapshot.inbound(&ObjectName::new("default", pod), pod).unwrap().body.clone()
    };
    assert_eq!(body(&first, "api-1").as_ptr(), body(&first, "web-1").as_ptr());
    drop(first);
    objects.pods.clear();
    compiler.compile(&objects, 3000);
    compiler.compile(&objects, 4000);
    assert!(compiler.entrances.is_empty(), "what no pod has is not kept");
}

fn authorize(store: &mut Store, name: &str, app: &str) {
    let selector = format!("{{matchLabels: {{app: {app}}}}}");
    let text = format!("{{targetRefs: [{{kind: Pod, selector: {selector}}}], settings: {{action: ALLOW}}}}");
    let document = document::parse(&text).unwrap().remove(0);
    let spec = weft_api::policy::Policy {
        target_refs: document.get("targetRefs").unwrap().decode().unwrap(),
        settings: document.get("settings").unwrap().decode().unwrap(),
    };
    let metadata = weft_api::object::Metadata::named("default", name);
    store.apply(&AnyObject::AuthorizationPolicy(Arc::new(Object { metadata, spec })));
}

#[test]
fn a_policy_touches_the_way_into_the_pods_that_it_selects_and_nothing_else() {
    let (mut compiler, mut objects) = (compiler(), mesh());
    let api = objects.pods.get_mut(&ObjectName::new("default", "api-1")).unwrap();
    Arc::make_mut(api).metadata.labels.insert("app".to_owned(), "api".to_owned());
    let first = compiler.compile(&objects, 2000);
    authorize(&mut objects, "guard", "api");
    let second = compiler.compile(&objects, 3000);
    assert_eq!(second.encoded, 1);
    assert_eq!(changed(&second.snapshot, 2000), [(Kind::Listener, "inbound")]);
    let inbound = |snapshot: &Snapshot, pod: &str| {
        let name = ObjectName::new("default", pod);
        snapshot.inbound(&name, pod).unwrap().version.to_string()
    };
    assert_ne!(inbound(&first.snapshot, "api-1"), inbound(&second.snapshot, "api-1"));
    assert_eq!(inbound(&first.snapshot, "web-1"), inbound(&second.snapshot, "web-1"));
    authorize(&mut objects, "mistyped", "apl");
    assert_eq!(compiler.compile(&objects, 4000).encoded, 0);
}

/// The address of a pod may be given to the next one before the first is known to be gone.
#[test]
fn what_stands_behind_an_address_that_becomes_another_pods_is_told() {
    let (mut compiler, mut objects) = (compiler(), mesh());
    pod(&mut objects, "web-1", "10.1.0.1", "");
    let shared = compiler.compile(&objects, 2000).snapshot;
    let body =
        |snapshot: &Snapshot| snapshot.get(Kind::Endpoints, "10.1.0.1:8080", "default").unwrap().body.clone();
    objects.pods.remove(&ObjectName::new("default", "web-1"));
    let alone = compiler.compile(&objects, 3000).snapshot;
    assert_ne!(body(&shared), body(&alone), "the identity is that of the pod that is left");
    let told = changed(&alone, 2000);
    assert!(told.contains(&(Kind::Endpoints, "10.1.0.1:8080")), "{told:?}");
}
