//! HTTP/1.1 and HTTP/2 through both sidecars.

use std::time::Duration;

use http::{Method, StatusCode};
use tokio::time::timeout;
use weft_tests::{
    backend::{Backend, Reply},
    client::{Version, request, with_header},
    noise::Noise,
    pods::Family,
};

use crate::{HTTP1, HTTP2, calls_as, cluster, open, service};

/// Bodies in each direction.
const LARGE_BYTES: usize = 100 * 1000 * 1000;
/// A sidecar needs so much memory more for them at most: the windows and buffers of a few streams.
const LARGE_KIB: u64 = 24 * 1024;
/// Both ways through two sidecars that were not optimised, on a busy machine.
const LARGE_PATIENCE: Duration = Duration::from_mins(5);

#[tokio::test]
async fn root_requests_come_as_they_were_sent_and_from_whom() {
    let Some(cluster) = cluster("root_requests_come_as_they_were_sent_and_from_whom").await else { return };
    let old = Backend::at(cluster.listen("strict", HTTP1), "old", Version::Http1, Reply::Echo);
    let new = Backend::at(cluster.listen("strict", HTTP2), "new", Version::Http2, Reply::Echo);
    for family in Family::ALL {
        for (app, port, version) in [(&old, HTTP1, Version::Http1), (&new, HTTP2, Version::Http2)] {
            let before = app.count();
            let mut connection =
                open(&cluster, "client", service(&cluster, "strict", family, port), version).await;
            for number in 0..3 {
                let mut sent = request(Method::PUT, &format!("/path/{number}?a=%20b"));
                sent = with_header(sent, "x-of-the-caller", "kept");
                *sent.body_mut() = format!("body {number}").into();
                let answer = connection
                    .send(sent)
                    .await
                    .unwrap_or_else(|error| panic!("{family:?} {version:?}: {error:#}"));
                assert_eq!(
                    (answer.status, answer.text()),
                    (StatusCode::OK, format!("body {number}")),
                    "{answer:?}"
                );
                let seen = app.seen()[before + number].clone();
                assert_eq!((seen.method.as_str(), seen.path), ("PUT", format!("/path/{number}?a=%20b")));
                let shown = app.seen()[before + number].clone();
                assert_eq!(shown.header("x-of-the-caller"), "kept");
                let proven = shown.header("x-forwarded-client-cert");
                assert!(proven.contains(&calls_as("client")), "{family:?} {version:?}: {proven}");
            }
        }
    }
}

#[tokio::test]
async fn root_trailers_come_through() {
    let Some(cluster) = cluster("root_trailers_come_through").await else { return };
    let _app = Backend::at(cluster.listen("strict", HTTP2), "grpc", Version::Http2, Reply::Grpc);
    for family in Family::ALL {
        let to = service(&cluster, "strict", family, HTTP2);
        let mut sent = request(Method::POST, "/weft.test.Echo/Once");
        sent = with_header(with_header(sent, "content-type", "application/grpc"), "te", "trailers");
        *sent.body_mut() = "message".into();
        let answer = open(&cluster, "client", to, Version::Http2).await.send(sent).await;
        let answer = answer.unwrap_or_else(|error| panic!("{family:?}: {error:#}"));
        let trailers = answer.trailers.clone().unwrap_or_else(|| panic!("{family:?}: {answer:?}"));
        assert_eq!((trailers["grpc-status"].as_bytes(), answer.text().as_str()), (&b"0"[..], "message"));
    }
}

#[tokio::test]
async fn root_large_bodies_go_both_ways_to_the_byte() {
    let Some(cluster) = cluster("root_large_bodies_go_both_ways_to_the_byte").await else { return };
    let _old = Backend::at(cluster.listen("strict", HTTP1), "old", Version::Http1, Reply::Echo);
    let _new = Backend::at(cluster.listen("strict", HTTP2), "new", Version::Http2, Reply::Echo);
    let before = ["client", "strict"].map(|pod| cluster.census(pod).resident_kib);
    let body = Noise::seeded(1).bytes(LARGE_BYTES);
    for (family, port, version) in [(Family::V4, HTTP1, Version::Http1), (Family::V6, HTTP2, Version::Http2)]
    {
        let to = service(&cluster, "strict", family, port);
        let mut sent = request(Method::POST, "/large");
        *sent.body_mut() = body.clone().into();
        let mut connection = open(&cluster, "client", to, version).await;
        let answer = timeout(LARGE_PATIENCE, connection.send(sent)).await;
        let answer = answer.expect("it takes long").unwrap_or_else(|error| panic!("{version:?}: {error:#}"));
        assert_eq!((answer.status, answer.body.len()), (StatusCode::OK, LARGE_BYTES), "{version:?}");
        assert!(answer.body == body, "{version:?}: bytes have changed");
    }
    for (pod, before) in ["client", "strict"].into_iter().zip(before) {
        let peak = cluster.census(pod).peak_kib;
        assert!(peak < before + LARGE_KIB, "the sidecar of {pod} had {before} KiB, and then {peak} KiB");
    }
}
