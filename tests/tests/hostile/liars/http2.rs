//! Frames of HTTP/2 that are wrong, or come at the wrong time.

use http::Method;
use tokio::net::TcpListener;
use weft_runtime::Tasks;
use weft_tests::{
    client::Version,
    liar::{Frame, Lie, Said, Then},
    mesh::Mesh,
    plan::{Plan, Service},
};

use super::{Case, Den, Told, ask, judge};
use crate::WEFT;

const MALFORMED: Told = Told::Fault(502, "upstream_malformed");
const RESET: Told = Told::Fault(502, "upstream_reset");
const REFUSED: Told = Told::Fault(503, "upstream_refused");

/// Error codes (RFC 9113, 7).
const NO_ERROR: u32 = 0;
const INTERNAL_ERROR: u32 = 2;
const REFUSED_STREAM: u32 = 7;

fn case(name: &'static str, frames: impl Into<Vec<Frame>>, then: Then, told: Told) -> Case {
    Case { name, method: Method::POST, lie: Lie { said: Said::Frames(frames.into()), then }, told }
}

#[tokio::test]
async fn streams_and_connections_that_end_before_an_answer_say_how() {
    let settings = Frame { kind: 4, flags: 0, stream: Some(3), payload: Vec::new() };
    let cases = [
        case("nothing", [], Then::Closes, RESET),
        case("a connection reset", [], Then::Resets, RESET),
        case("a stream refused", [Frame::reset(REFUSED_STREAM)], Then::Stays, REFUSED),
        case("a stream reset", [Frame::reset(INTERNAL_ERROR)], Then::Stays, RESET),
        case("the end", [Frame::go_away(0, NO_ERROR)], Then::Closes, REFUSED),
        case("headers of no sense", [Frame::bad_headers()], Then::Stays, MALFORMED),
        case("data before headers", [Frame::data(b"x")], Then::Stays, MALFORMED),
        case("headers on no stream", [Frame::headers("0").last().on(0)], Then::Stays, MALFORMED),
        case("settings on a stream", [settings], Then::Stays, MALFORMED),
        Case {
            name: "no frames",
            method: Method::POST,
            lie: Lie {
                said: Said::Bytes(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_vec()),
                then: Then::Stays,
            },
            told: MALFORMED,
        },
    ];
    Den::start(Version::Http2).await.tell(&cases).await;
}

#[tokio::test]
async fn bodies_of_another_length_never_look_whole() {
    let cases = [
        case(
            "less than its length",
            [Frame::headers("10"), Frame::data(b"hello").last()],
            Then::Stays,
            Told::Broken,
        ),
        case(
            "more than its length",
            [Frame::headers("3"), Frame::data(b"hello").last()],
            Then::Stays,
            Told::Broken,
        ),
        case(
            "half and a reset",
            [Frame::headers("10"), Frame::data(b"hello"), Frame::reset(INTERNAL_ERROR)],
            Then::Stays,
            Told::Broken,
        ),
        case("half and an end", [Frame::headers("10"), Frame::data(b"hello")], Then::Closes, Told::Broken),
    ];
    Den::start(Version::Http2).await.tell(&cases).await;
}

/// As an application that stops does with connections that it has not accepted: the request may go elsewhere.
#[tokio::test]
async fn who_ends_a_connection_before_the_first_frame_has_heard_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has free ports");
    let (address, tasks) = (listener.local_addr().expect("it is bound"), Tasks::new());
    tasks.spawn("mute", async move {
        while let Ok((stream, _)) = listener.accept().await {
            stream.set_zero_linger().expect("a socket takes it");
        }
    });
    let mut services = vec![Service::direct("direct", &[address]), Service::meshed("meshed", &[address])];
    for service in &mut services {
        service.app_protocol = Some("kubernetes.io/h2c");
    }
    let mesh = Mesh::start(WEFT, &Plan::of(services)).await;
    for service in ["direct", "meshed"] {
        let answer = ask(mesh.entrance(service), Version::Http2, &Method::POST, "/").await;
        judge(service, Told::Fault(503, "connect_failed"), answer);
    }
}
