//! The control plane as proxies see it: over TLS, with tokens, certificates and changes.
#![allow(clippy::unwrap_used, reason = "a test may end where something unexpected happens")]

#[path = "push/mesh.rs"]
mod mesh;

use std::fs;

use prost::Message as _;
use tokio::time::timeout;
use tonic::Code;
use weft_identity::request::{Identity, KeyPair};
use weft_xds::{
    Kind,
    core::data_source::Specifier,
    listener::{FilterChain, Listener},
    tls::{Secret, secret},
};

use mesh::{CONTROL_PLANE, Machine, News, PATIENCE, Proxy, Running};

const API: &str = "default/api:80";

async fn proxy(machine: &Machine, running: &Running, workload: &str) -> Proxy {
    let mut proxy = Proxy::new();
    reopen(machine, running, &mut proxy, workload).await;
    proxy
}

async fn reopen(machine: &Machine, running: &Running, proxy: &mut Proxy, workload: &str) {
    let connection = machine.connect(running.xds, CONTROL_PLANE).await.unwrap();
    proxy.open(connection, Some(&machine.token(workload, workload))).await.unwrap();
}

fn one(kind: Kind, name: &str) -> News {
    News { kind, changed: vec![name.to_owned()], removed: Vec::new() }
}

fn removed(kind: Kind, name: &str) -> News {
    News { kind, changed: Vec::new(), removed: vec![name.to_owned()] }
}

#[tokio::test]
async fn only_the_right_server_and_a_good_token_will_do() {
    let (machine, stranger) = (Machine::new(), Machine::new());
    let running = machine.start();
    let other = CONTROL_PLANE.replace("weft-control-plane", "somebody");
    assert!(machine.connect(running.xds, &other).await.is_err(), "the server has another identity");
    stranger.start().stop().await;
    assert!(stranger.connect(running.xds, CONTROL_PLANE).await.is_err(), "other roots");
    for token in [None, Some("nonsense".to_owned()), Some(stranger.token("api", "api"))] {
        let connection = machine.connect(running.xds, CONTROL_PLANE).await.unwrap();
        let refused = Proxy::new().open(connection, token.as_deref()).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated, "{token:?}");
    }
    assert_eq!(running.get("/proxies").await, "[]");
    running.stop().await;
}

#[tokio::test]
async fn each_proxy_gets_its_own_way_in_and_its_own_certificate() {
    let machine = Machine::new();
    let running = machine.start();
    let mut frontend = proxy(&machine, &running, "frontend").await;
    assert_eq!(frontend.ask(Kind::Listener, "inbound").await, one(Kind::Listener, "inbound"));
    let held = &frontend.held[&(Kind::Listener, "inbound".to_owned())];
    let chains = Listener::decode(held.as_slice()).unwrap().filter_chains;
    let port = |chain: &FilterChain| chain.filter_chain_match.as_ref()?.destination_port;
    let ways: Vec<_> = chains.iter().map(|chain| (port(chain), chain.transport_socket.is_some())).collect();
    assert_eq!(ways, [(Some(15444), true), (Some(15444), false)], "permissive: mTLS and plaintext");

    let key = KeyPair::generate().unwrap();
    frontend.request_identity(&key.csr_pem().unwrap()).await;
    assert_eq!(frontend.next().await, one(Kind::Secret, "identity"));
    assert_eq!(identity(&frontend, &key).id().as_str(), "spiffe://cluster.local/ns/default/sa/frontend");

    // A renewal that is nonsense is answered, and the stream stays.
    frontend.request_identity("nonsense").await;
    assert_eq!(frontend.next().await.changed, Vec::<String>::new());
    let renewed = KeyPair::generate().unwrap();
    frontend.request_identity(&renewed.csr_pem().unwrap()).await;
    assert_eq!(frontend.next().await, one(Kind::Secret, "identity"));
    identity(&frontend, &renewed);

    // The name of a workload is not enough: the service account must be its own.
    let mut impostor = Proxy::new();
    let connection = machine.connect(running.xds, CONTROL_PLANE).await.unwrap();
    impostor.open(connection, Some(&machine.token("frontend", "api"))).await.unwrap();
    assert_eq!(impostor.ask(Kind::Listener, "inbound").await, removed(Kind::Listener, "inbound"));
    running.stop().await;
}

fn identity(proxy: &Proxy, key: &KeyPair) -> Identity {
    let held = &proxy.held[&(Kind::Secret, "identity".to_owned())];
    let Some(secret::Type::TlsCertificate(certificate)) = Secret::decode(held.as_slice()).unwrap().r#type
    else {
        panic!("no certificate")
    };
    let Some(Specifier::InlineBytes(chain)) = certificate.certificate_chain.unwrap().specifier else {
        panic!("no chain")
    };
    assert!(certificate.private_key.is_none());
    Identity::new(key, std::str::from_utf8(&chain).unwrap()).unwrap()
}

fn policy(consecutive: u32) -> String {
    format!(
        "apiVersion: policy.weft.dev/v1alpha1\nkind: CircuitBreakerPolicy\nmetadata: {{name: api}}\nspec:\n\
         \x20 targetRefs: [{{group: \"\", kind: Service, name: api}}]\n  endpoint: {{consecutive: {consecutive}}}\n"
    )
}

#[tokio::test]
async fn a_change_goes_to_those_whom_it_concerns_and_a_refusal_is_seen() {
    let machine = Machine::new();
    let running = machine.start();
    let mut frontend = proxy(&machine, &running, "frontend").await;
    for kind in [Kind::Routes, Kind::Endpoints, Kind::Cluster] {
        assert_eq!(frontend.ask(kind, API).await, one(kind, API));
    }
    // After a cluster its endpoints come again.
    assert_eq!(frontend.next().await.kind, Kind::Endpoints);
    assert_eq!(
        frontend.ask(Kind::Cluster, "default/none:80").await,
        removed(Kind::Cluster, "default/none:80")
    );
    let first = frontend.subscriber.held(Kind::Cluster, API).unwrap().clone();

    machine.write("policy.yaml", &policy(7));
    assert_eq!(frontend.next().await, one(Kind::Cluster, API));
    let second = frontend.subscriber.held(Kind::Cluster, API).unwrap().clone();
    assert!(first.is_older_than(&second));
    assert_eq!(frontend.next().await.kind, Kind::Endpoints);

    frontend.refuses.insert(API.to_owned());
    machine.write("policy.yaml", &policy(8));
    assert_eq!(frontend.next().await.changed, Vec::<String>::new());
    assert_eq!(frontend.subscriber.held(Kind::Cluster, API), Some(&second), "the last good one stays");
    let seen = until(&running, "/proxies", "because").await;
    assert!(
        seen.contains("\"default/api:80\": \"because\"") && seen.contains("\"workload\": \"frontend\""),
        "{seen}"
    );
    assert!(running.get("/metrics").await.contains("weft_xds_nacks_total{kind=\"Cluster\"} 1"));

    machine.write("policy.yaml", "a: [");
    let seen = until(&running, "/problems", "Syntax").await;
    assert!(seen.contains("policy.yaml") && seen.contains("\"line\": 1"), "{seen}");
    running.stop().await;
}

/// Looks until `text` is there: what a proxy sends has no answer of its own.
async fn until(running: &Running, path: &str, text: &str) -> String {
    let seen = async {
        loop {
            let seen = running.get(path).await;
            if seen.contains(text) {
                return seen;
            }
        }
    };
    timeout(PATIENCE, seen).await.expect("it is seen")
}

#[tokio::test]
async fn whoever_comes_back_is_told_only_what_is_new_also_by_a_control_plane_that_was_restarted() {
    let machine = Machine::new();
    let running = machine.start();
    let mut frontend = proxy(&machine, &running, "frontend").await;
    let key = KeyPair::generate().unwrap();
    frontend.request_identity(&key.csr_pem().unwrap()).await;
    assert_eq!(frontend.next().await, one(Kind::Secret, "identity"));
    for (kind, name) in [(Kind::Secret, "trust-bundle"), (Kind::Routes, API), (Kind::Listener, "inbound")] {
        assert_eq!(frontend.ask(kind, name).await, one(kind, name));
    }
    // Requests are answered in order: had there been anything to say about the old names, it would come first.
    reopen(&machine, &running, &mut frontend, "frontend").await;
    assert_eq!(frontend.ask(Kind::Routes, "default/x:1").await, removed(Kind::Routes, "default/x:1"));
    // What is absent is said again on every stream.
    frontend.subscriber.unsubscribe(Kind::Routes, "default/x:1");

    let before = fs::read(machine.path().join("ca/ca.crt")).unwrap();
    running.stop().await;
    let running = machine.start();
    assert_eq!(fs::read(machine.path().join("ca/ca.crt")).unwrap(), before, "the same authority");
    reopen(&machine, &running, &mut frontend, "frontend").await;
    assert_eq!(frontend.ask(Kind::Routes, "default/y:1").await, removed(Kind::Routes, "default/y:1"));
    let renewed = KeyPair::generate().unwrap();
    frontend.request_identity(&renewed.csr_pem().unwrap()).await;
    assert_eq!(frontend.next().await, one(Kind::Secret, "identity"));
    running.stop().await;
}

const LATER_SERVICE: &str = "
apiVersion: v1
kind: Service
metadata: {name: later}
spec: {ports: [{port: 80}]}
";

const ROUTE_OF_CALLERS: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: slow, namespace: shop}
spec:
  parentRefs: [{group: '', kind: Service, name: api, namespace: default}]
  rules: [{timeouts: {request: 9s}, backendRefs: [{name: api, namespace: default, port: 80}]}]
";

#[tokio::test]
async fn routes_of_callers_reach_the_proxies_of_their_namespace_alone() {
    let machine = Machine::new();
    let running = machine.start();
    let mut insider = proxy(&machine, &running, "frontend").await;
    let mut caller = Proxy::new();
    let connection = machine.connect(running.xds, CONTROL_PLANE).await.unwrap();
    caller.open(connection, Some(&machine.token_of("shop", "cart", "cart"))).await.unwrap();
    let routes = |proxy: &Proxy| proxy.held[&(Kind::Routes, API.to_owned())].clone();
    for proxy in [&mut insider, &mut caller] {
        assert_eq!(proxy.ask(Kind::Routes, API).await, one(Kind::Routes, API));
    }
    assert_eq!(routes(&insider), routes(&caller));
    let before = routes(&caller);
    let later = "default/later:80";
    assert_eq!(insider.ask(Kind::Routes, later).await, removed(Kind::Routes, later));

    machine.write("route.yaml", ROUTE_OF_CALLERS);
    assert_eq!(caller.next().await, one(Kind::Routes, API));
    let own = routes(&caller);
    assert_ne!(own, before);
    // The next that the other one hears of is something else.
    machine.write("later.yaml", LATER_SERVICE);
    assert_eq!(insider.next().await, one(Kind::Routes, later));
    assert_eq!(routes(&insider), before);

    // Those beside the Service are older, and come back as news.
    fs::remove_file(machine.path().join("objects/route.yaml")).unwrap();
    assert_eq!(caller.next().await, one(Kind::Routes, API));
    assert_eq!(routes(&caller), before);
    running.stop().await;
}
