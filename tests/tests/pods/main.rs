//! Pods as network namespaces with the real redirect, real sidecars and a real control plane: every protocol that an
//! application speaks to another goes through both of their sidecars, by IPv4 and by IPv6, and comes out as it went in.
//!
//! All of it needs root, so each test passes as an empty shell, and says so, unless `WEFT_ROOT_TESTS=1` demands it.

// HTTP as applications speak it.
mod http;
// What of HTTP few speak, byte by byte.
mod corners;
// Everything else: opaque bytes, servers that speak first, the application's own TLS.
mod opaque;
// Where they are led by routes.
mod routes;
// What other people wrote: gRPC, Redis, a web server.
mod peers;
// Who means ill, or dies.
mod garbage;
mod watch;
// Who may come in.
mod policy;
// Ways that lead elsewhere than to a service: one's own pod, single pods, the world outside.
mod ways;

use std::{
    io::{self, Write},
    net::SocketAddr,
};

use serde_json::json;
use weft_api::names;
use weft_tests::{
    client::{Connection, Version},
    config,
    mesh::spiffe_id,
    pods::{Cluster, Family, PodPlan, ServicePlan},
};

/// The program under test.
const WEFT: &str = env!("CARGO_BIN_EXE_weft-under-test");

/// Ports of the applications: HTTP/1.1 told from its first bytes, HTTP/2 by `appProtocol`.
const HTTP1: u16 = 8080;
const HTTP2: u16 = 8081;
/// Servers speak first here, as everybody knows.
const MYSQL: u16 = 3306;
const REDIS: u16 = 6379;
const GRPC: u16 = 9090;
/// The application's own TLS, told from its first bytes.
const HTTPS: u16 = 8443;
/// Somebody opens tunnels here, by `appProtocol`.
const EGRESS: u16 = 3128;
/// Nobody says anything of this port.
const UNSAID: u16 = 7777;

/// A caller; three servers that take nobody but the mesh, anybody, and that are not of the mesh. `None` where tests must
/// do without root.
async fn cluster(test: &str) -> Option<Cluster> {
    if !may_run(test) {
        return None;
    }
    let probed = json!({
        "ports": [{ "name": "web", "containerPort": HTTP1 }],
        "livenessProbe": { "httpGet": { "path": "/live?full=1", "port": "web" } },
        "readinessProbe": { "grpc": { "port": HTTP2 } },
    });
    let pods = vec![
        PodPlan::meshed("client"),
        PodPlan::meshed("strict").annotated("weft.dev/default-policy", "strict").container(probed),
        PodPlan::meshed("open"),
        PodPlan::bare("bare"),
    ];
    let ports = [
        (HTTP1, ""),
        (HTTP2, "kubernetes.io/h2c"),
        (MYSQL, ""),
        (REDIS, ""),
        (GRPC, "grpc"),
        (HTTPS, ""),
        (EGRESS, names::PROTOCOL_CONNECT),
    ];
    let services =
        ["strict", "open", "bare"].map(|name| ServicePlan { name, pods: vec![name], ports: ports.to_vec() });
    Some(Cluster::start(WEFT, pods, services.to_vec()).await)
}

/// Whether a test that needs root may run; if not, that is said.
fn may_run(test: &str) -> bool {
    if config::root_tests() {
        return true;
    }
    // Past `eprintln!`, which the test harness keeps to itself where nothing fails.
    let told = writeln!(io::stderr(), "SKIPPED {test}: WEFT_ROOT_TESTS=1 demands it, and root");
    told.expect("stderr takes a line");
    false
}

/// A port of a service, by an address of a family.
fn service(cluster: &Cluster, name: &str, family: Family, port: u16) -> SocketAddr {
    SocketAddr::new(cluster.service(name, family), port)
}

/// An HTTP connection from a pod.
async fn open(cluster: &Cluster, pod: &str, to: SocketAddr, version: Version) -> Connection {
    let stream = cluster.connect(pod, to).unwrap_or_else(|error| panic!("{pod} to {to}: {error}"));
    let connection = Connection::over(stream, version).await;
    connection.unwrap_or_else(|error| panic!("{pod} to {to}: {error:#}"))
}

/// What the sidecar of a server says about the caller: the identity that was proven by mTLS.
fn calls_as(pod: &str) -> String {
    format!("URI={}", spiffe_id(&format!("{pod}-account")))
}
