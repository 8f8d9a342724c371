//! What is carried: both versions of HTTP on every side, bodies to the byte, and gRPC with its trailers.

use bytes::Bytes;
use http::{Method, StatusCode};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use weft_api::bootstrap::MeshHttp;
use weft_tests::{
    backend::{Backend, Gate, Reply},
    client::{Connection, Version, request, with_header},
    mesh::Mesh,
    patience::{until, within},
    plan::{Plan, Service},
};

use crate::WEFT;

/// Around the 64 KiB that are kept for a retry, and far beyond every window and buffer.
const SIZES: [usize; 6] = [0, 1, 64 * 1024 - 1, 64 * 1024, 64 * 1024 + 1, 10_000_000];

/// Bytes that repeat only after a prime number of them, so that none can be lost or doubled unseen.
fn body(bytes: usize) -> Bytes {
    (0..bytes).map(|at| (at % 251) as u8).collect()
}

/// Bodies of every size there and back, for each version that the caller and the application may speak.
async fn carries_everything(link: MeshHttp) {
    let old = Backend::start("old", Version::Http1, Reply::Echo).await;
    let new = Backend::start("new", Version::Http2, Reply::Echo).await;
    let mut plan =
        Plan::of(vec![Service::meshed("old", &[old.address()]), Service::meshed("new", &[new.address()])]);
    plan.services[1].app_protocol = Some("kubernetes.io/h2c");
    plan.mesh_http = link;
    let mesh = Mesh::start(WEFT, &plan).await;
    for (service, app, spoken) in
        [("old", &old, http::Version::HTTP_11), ("new", &new, http::Version::HTTP_2)]
    {
        for version in [Version::Http1, Version::Http2] {
            let opened = Connection::open(mesh.entrance(service), version).await;
            let mut connection = opened.expect("the sidecar listens");
            for size in SIZES {
                let what = format!("{size} bytes by {version:?} to {service} over {link:?}");
                let mut sent = request(Method::POST, "/echo");
                *sent.body_mut() = body(size);
                let answer = within(&what, connection.send(sent)).await;
                let answer = answer.unwrap_or_else(|error| panic!("{what}: {error:#}"));
                assert_eq!(answer.status, StatusCode::OK, "{what}: {}", answer.text());
                assert!(answer.body == body(size), "{what}: {} other bytes came back", answer.body.len());
            }
        }
        let seen = app.seen();
        assert_eq!(seen.len(), 2 * SIZES.len());
        assert!(seen.iter().all(|seen| seen.version == spoken), "{service} was not spoken to in {spoken:?}");
    }
}

#[tokio::test]
async fn every_body_arrives_over_an_http2_link() {
    carries_everything(MeshHttp::Http2).await;
}

#[tokio::test]
async fn every_body_arrives_over_an_http1_link() {
    carries_everything(MeshHttp::Http1).await;
}

#[tokio::test]
async fn grpc_keeps_its_trailers() {
    let app = Backend::start("greeter", Version::Http2, Reply::Grpc).await;
    let mut plan = Plan::of(vec![Service::meshed("greeter", &[app.address()])]);
    plan.services[0].app_protocol = Some("grpc");
    let mesh = Mesh::start(WEFT, &plan).await;
    let mut connection =
        Connection::open(mesh.entrance("greeter"), Version::Http2).await.expect("the sidecar listens");
    let call =
        with_header(request(Method::POST, "/greeter.Greeter/Hello"), "content-type", "application/grpc");
    let mut call = with_header(call, "te", "trailers");
    // A message of three bytes, uncompressed (gRPC over HTTP/2, Length-Prefixed-Message).
    let message = Bytes::from_static(b"\0\0\0\0\x03abc");
    *call.body_mut() = message.clone();
    let answer = within("the call is answered", connection.send(call)).await.expect("there is an answer");
    assert_eq!((answer.status, &answer.body), (StatusCode::OK, &message));
    let trailers = answer.trailers.expect("gRPC has trailers");
    assert_eq!(
        (&trailers["grpc-status"], &trailers["grpc-message"]),
        (&"0".parse().unwrap(), &"fine".parse().unwrap())
    );
    let [seen] = app.seen().try_into().expect("the application got one call");
    assert_eq!((seen.header("te"), seen.header("content-type")), ("trailers", "application/grpc"));
}

/// As by Envoy: most who close have gone, and nothing tells the others apart.
#[tokio::test]
async fn who_shuts_its_writing_side_behind_a_request_is_taken_for_gone() {
    let app = Backend::start("app", Version::Http1, Reply::Held(Gate::closed())).await;
    let mesh = Mesh::start(WEFT, &Plan::of(vec![Service::meshed("app", &[app.address()])])).await;
    let asking = async {
        let mut stream = TcpStream::connect(mesh.entrance("app")).await?;
        stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await?;
        until("the application is asked", async || (app.count() == 1).then_some(())).await;
        stream.shutdown().await?;
        stream.read_to_end(&mut Vec::new()).await
    };
    assert_eq!(within("the connection ends", asking).await.expect("it ends in order"), 0);
    for (sidecar, side) in [("web-proxy", "client"), ("app-0-proxy", "server")] {
        let name = format!("http_{side}_request_duration_seconds_count");
        let labels = [("status", "499"), ("fault", "client_cancelled")];
        until(&format!("{sidecar} tells of it"), async || {
            (mesh.metrics(sidecar).await.count(&name, &labels) == 1).then_some(())
        })
        .await;
    }
}
