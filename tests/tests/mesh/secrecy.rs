//! What is between two sidecars can be read by nobody.

use std::{
    io::{self, Write},
    net::Ipv4Addr,
};

use http::{Method, StatusCode};
use weft_tests::{
    backend::{Backend, Reply},
    capture::Capture,
    client::{Version, request, send, with_header},
    config,
    mesh::Mesh,
    plan::{Plan, Service, Way},
    relay::Relay,
};

use crate::WEFT;

/// Parts of a request and of its response, none of which may be read on the way.
const IN_PATH: &str = "a-path-that-nobody-reads";
const IN_HEADER: &str = "a-header-that-nobody-reads";
const IN_BODY: &str = "a-body-that-nobody-reads";
/// First bytes of a TLS handshake (RFC 8446, 5.1): type 22, version 3.1.
const HANDSHAKE: [u8; 3] = [22, 3, 1];

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// Sends all of the secrets through the mesh, and gets the body back.
async fn confide(mesh: &Mesh) {
    let secret = request(Method::POST, &format!("/{IN_PATH}"));
    let mut secret = with_header(secret, "x-secret", IN_HEADER);
    *secret.body_mut() = IN_BODY.into();
    let answer = send(mesh.entrance("api"), secret).await;
    assert_eq!((answer.status, answer.text().as_str()), (StatusCode::OK, IN_BODY));
}

#[tokio::test]
async fn a_relay_between_the_sidecars_reads_nothing() {
    let app = Backend::start("api", Version::Http1, Reply::Echo).await;
    let elsewhere = Ipv4Addr::new(127, 0, 0, 2);
    let service = Service::reached("api", &[app.address()], Way::SeenAt(elsewhere.into()));
    let mesh = Mesh::start(WEFT, &Plan::of(vec![service])).await;
    let inbound = mesh.inbound("api-0");
    let relay = Relay::start((elsewhere, inbound.port()).into(), inbound).await;
    confide(&mesh).await;

    let copy = relay.copy();
    assert_eq!(copy.get(..3), Some(HANDSHAKE.as_slice()), "what passed the relay is no TLS");
    for secret in [IN_PATH, IN_HEADER, IN_BODY, "HTTP/1.1"] {
        assert!(!holds(&copy, secret), "`{secret}` passed the relay in plain");
    }
    assert_eq!(app.count(), 1);
}

#[tokio::test]
async fn root_reads_nothing_between_the_sidecars() {
    if !config::root_tests() {
        // Past `eprintln!`, which the test harness keeps to itself where nothing fails.
        let told = writeln!(
            io::stderr(),
            "SKIPPED secrecy::root_reads_nothing_between_the_sidecars: WEFT_ROOT_TESTS=1 demands it, and root"
        );
        return told.expect("stderr takes a line");
    }
    let app = Backend::start("api", Version::Http1, Reply::Echo).await;
    let mesh = Mesh::start(WEFT, &Plan::of(vec![Service::meshed("api", &[app.address()])])).await;
    let capture = Capture::start().expect("root may read packets");
    confide(&mesh).await;
    let captured = capture.finish();

    let between = captured.of_port(mesh.inbound("api-0").port());
    assert!(!between.is_empty(), "nothing was captured between the sidecars");
    for secret in [IN_PATH, IN_HEADER, IN_BODY] {
        assert!(!between.holds(secret), "`{secret}` was read between the sidecars");
        // The same eyes see it where it is meant to be plain: between each application and its own sidecar.
        for plain in [mesh.entrance("api"), app.address()] {
            assert!(
                captured.of_port(plain.port()).holds(secret),
                "the capture does not see `{secret}` at {plain}"
            );
        }
    }
}
