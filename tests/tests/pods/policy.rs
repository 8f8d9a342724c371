//! Who may come into a pod: the mesh, the kubelet, and where plaintext is taken everybody.

use std::net::SocketAddr;

use http::{Method, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use weft_api::names;
use weft_tests::{
    backend::{Backend, Reply},
    client::{Answer, Connection, Version, request},
    manifest,
    patience::{until, within},
    pods::{Cluster, Family},
};

use crate::{
    HTTP1, HTTP2, MYSQL, cluster,
    opaque::{GREETING, greeter},
    open, service,
};

/// A request of the kubelet, or of anybody on the node.
async fn from_node(
    cluster: &Cluster,
    to: SocketAddr,
    version: Version,
    method: Method,
    path: &str,
) -> anyhow::Result<Answer> {
    let stream = cluster.connect_from_node(to)?;
    Connection::over(stream, version).await?.send(request(method, path)).await
}

#[tokio::test]
async fn root_plaintext_is_refused_or_taken_as_the_pod_says() {
    let Some(cluster) = cluster("root_plaintext_is_refused_or_taken_as_the_pod_says").await else { return };
    let strict = Backend::at(cluster.listen("strict", HTTP1), "strict", Version::Http1, Reply::Status(200));
    let _open = Backend::at(cluster.listen("open", HTTP1), "open", Version::Http1, Reply::Status(200));
    for family in Family::ALL {
        for (name, status) in [("strict", StatusCode::FORBIDDEN), ("open", StatusCode::OK)] {
            let to = SocketAddr::new(cluster.address(name, family), HTTP1);
            let answer =
                open(&cluster, "bare", to, Version::Http1).await.send(request(Method::GET, "/")).await;
            let answer = answer.unwrap_or_else(|error| panic!("{name} {family:?}: {error:#}"));
            assert_eq!(answer.status, status, "{name} {family:?}: {answer:?}");
        }
        // The mesh comes in everywhere.
        for name in ["strict", "open"] {
            let to = service(&cluster, name, family, HTTP1);
            let answer =
                open(&cluster, "client", to, Version::Http1).await.send(request(Method::GET, "/")).await;
            assert_eq!(answer.unwrap_or_else(|error| panic!("{name}: {error:#}")).status, StatusCode::OK);
        }
    }
    assert_eq!(strict.count(), 2, "the application has seen nobody but the mesh");
}

/// The same for bytes that nobody looks at.
#[tokio::test]
async fn root_an_opaque_port_is_closed_to_plaintext_or_open_as_the_pod_says() {
    let test = "root_an_opaque_port_is_closed_to_plaintext_or_open_as_the_pod_says";
    let Some(cluster) = cluster(test).await else { return };
    let servers = ["strict", "open"].map(|pod| greeter(cluster.listen(pod, MYSQL), GREETING));
    for family in Family::ALL {
        for (name, heard) in [("strict", &b""[..]), ("open", GREETING)] {
            let to = SocketAddr::new(cluster.address(name, family), MYSQL);
            let mut stream = cluster.connect("bare", to).unwrap_or_else(|error| panic!("{to}: {error}"));
            // Who is refused may be so before it has said anything.
            let _ = stream.write_all(b"x").await;
            let mut greeting = Vec::new();
            let mut first = stream.take(GREETING.len() as u64);
            let read = within("the sidecar decides", first.read_to_end(&mut greeting)).await;
            assert_eq!(greeting, heard, "{name} {family:?}: {read:?}");
        }
    }
    drop(servers);
}

#[tokio::test]
async fn root_the_kubelet_may_ask_what_it_was_told_to_ask_and_nothing_else() {
    let test = "root_the_kubelet_may_ask_what_it_was_told_to_ask_and_nothing_else";
    let Some(cluster) = cluster(test).await else { return };
    let _old = Backend::at(cluster.listen("strict", HTTP1), "old", Version::Http1, Reply::Status(200));
    let _new = Backend::at(cluster.listen("strict", HTTP2), "new", Version::Http2, Reply::Grpc);
    let health = names::PATH_GRPC_HEALTH;
    let table = [
        (HTTP1, Version::Http1, Method::GET, "/live?full=1", StatusCode::OK),
        (HTTP1, Version::Http1, Method::GET, "/live", StatusCode::FORBIDDEN),
        (HTTP1, Version::Http1, Method::POST, "/live?full=1", StatusCode::FORBIDDEN),
        (HTTP1, Version::Http1, Method::GET, "/", StatusCode::FORBIDDEN),
        (HTTP2, Version::Http2, Method::POST, health, StatusCode::OK),
        (HTTP2, Version::Http2, Method::POST, "/grpc.health.v1.Health/Watch", StatusCode::FORBIDDEN),
    ];
    for family in Family::ALL {
        for (port, version, method, path, status) in &table {
            let to = SocketAddr::new(cluster.address("strict", family), *port);
            let answer = from_node(&cluster, to, *version, method.clone(), path).await;
            let answer = answer.unwrap_or_else(|error| panic!("{family:?} {method} {path}: {error:#}"));
            assert_eq!(answer.status, *status, "{family:?} {method} {path}: {answer:?}");
        }
    }
}

/// The port of MySQL is opaque: what is known of its connections is who makes them, from where, and to which port.
#[tokio::test]
async fn root_an_authorization_policy_decides_for_requests_and_for_opaque_connections_that_are_open() {
    let test = "root_an_authorization_policy_decides_for_requests_and_for_opaque_connections_that_are_open";
    let Some(cluster) = cluster(test).await else { return };
    let _http = Backend::at(cluster.listen("strict", HTTP1), "strict", Version::Http1, Reply::Status(200));
    let _mysql = greeter(cluster.listen("strict", MYSQL), GREETING);
    let policy = |spec: &str| {
        cluster
            .write("policy.yaml", &manifest::workload_policy("AuthorizationPolicy", "guard", "strict", spec));
    };
    let mysql = service(&cluster, "strict", Family::V4, MYSQL);
    let greeted = async || {
        // Who is denied may be so before this, or in the middle of it.
        let stream = cluster.connect("client", mysql).ok()?;
        let mut greeting = Vec::new();
        let mut first = stream.take(GREETING.len() as u64);
        let _ = within("the sidecar decides", first.read_to_end(&mut greeting)).await;
        (greeting == GREETING).then(|| first.into_inner())
    };
    let account = "serviceAccount: { name: client-account }";
    policy(&format!("action: ALLOW\nrules: [{{ sources: [{{ type: ServiceAccount, {account} }}] }}]"));
    let mut open_one = greeted().await.expect("the client is who is allowed");

    policy(&format!(
        "action: ALLOW\nrules:\n- sources: [{{ type: ServiceAccount, {account} }}]\n  \
         networkAttributes: {{ ports: [{HTTP1}] }}"
    ));
    let mut rest = Vec::new();
    let ended = within("the open connection ends", open_one.read_to_end(&mut rest)).await;
    assert!(rest.is_empty(), "{ended:?} {rest:?}");
    assert!(greeted().await.is_none(), "a new one comes about");
    let denied: Vec<_> = until("both are logged", async || {
        let lines = cluster.access_log("strict").into_iter().filter(|line| line["fault"] == "denied");
        Some(lines.collect::<Vec<_>>()).filter(|lines| lines.len() >= 2)
    })
    .await;
    for line in denied {
        assert_eq!(line["reason"], "no rule of AuthorizationPolicy default/guard allows it", "{line}");
        assert_eq!(line["network.transport"], "tcp");
    }
    // Requests of the same caller go on, and so do the kubelet's.
    let to = service(&cluster, "strict", Family::V4, HTTP1);
    let answer = open(&cluster, "client", to, Version::Http1).await.send(request(Method::GET, "/")).await;
    assert_eq!(answer.unwrap_or_else(|error| panic!("{error:#}")).status, StatusCode::OK);
    let pod = SocketAddr::new(cluster.address("strict", Family::V4), HTTP1);
    for (path, status) in [("/live?full=1", StatusCode::OK), ("/", StatusCode::FORBIDDEN)] {
        let answer = from_node(&cluster, pod, Version::Http1, Method::GET, path).await;
        assert_eq!(answer.unwrap_or_else(|error| panic!("{path}: {error:#}")).status, status, "{path}");
    }
}
