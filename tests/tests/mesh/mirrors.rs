//! Copies of requests: who gets them, and that nobody else notices.

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use weft_tests::{
    backend::{Backend, Gate, Reply},
    client::{get, request, send},
    manifest,
    mesh::Mesh,
    patience::until,
    plan::{Plan, Service},
};

use crate::WEFT;

/// Where copies for `twin` are counted.
const COPIES: &str = "default/twin:80/mirror";

/// A mesh in which `shop` leads to `next`, and of whose requests `twin` gets copies.
struct Shop {
    mesh: Mesh,
    next: Backend,
    twin: Backend,
}

async fn shop() -> Shop {
    let (next, twin) = (Backend::healthy("next").await, Backend::healthy("twin").await);
    let services = vec![
        Service::meshed("shop", &[]),
        Service::meshed("next", &[next.address()]),
        Service::meshed("twin", &[twin.address()]),
    ];
    let rules = "
- matches: [{ path: { value: /none } }]
  filters: [{ type: RequestMirror, requestMirror: { backendRef: { name: twin, port: 80 }, percent: 0 } }]
  backendRefs: [{ name: next, port: 80 }]
- filters:
  - type: RequestHeaderModifier
    requestHeaderModifier: { set: [{ name: x-by, value: route }] }
  - type: URLRewrite
    urlRewrite: { path: { type: ReplacePrefixMatch, replacePrefixMatch: /to } }
  - type: RequestMirror
    requestMirror: { backendRef: { name: twin, port: 80 } }
  - type: RequestMirror
    requestMirror: { backendRef: { name: nobody, port: 80 } }
  backendRefs: [{ name: next, port: 80 }]
";
    let breaker = "endpoint: { consecutive: 0, failurePercent: 0 }\n\
                   target: { consecutive: 3, failurePercent: 0, open: { base: 5m, max: 5m } }";
    let plan = Plan::of(services)
        .with("route.yaml", manifest::route("shop", rules))
        .with("policies.yaml", manifest::policy("CircuitBreakerPolicy", "twin", breaker));
    Shop { mesh: Mesh::start(WEFT, &plan).await, next, twin }
}

fn upload(bytes: usize) -> Request<Bytes> {
    let mut request = request(Method::POST, "/upload?a=b");
    *request.body_mut() = vec![b'x'; bytes].into();
    request
}

async fn until_copies_ended(mesh: &Mesh, status: &str, count: u64) {
    let labels = [("destination", COPIES), ("status", status)];
    until("all copies have ended", async || {
        let metrics = mesh.metrics("web-proxy").await;
        let ended = metrics.count("http_client_request_duration_seconds_count", &labels);
        (ended == count).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_copy_is_the_request_as_it_went_on_and_its_answer_is_nobody_s() {
    let Shop { mesh, next, twin } = shop().await;
    // The answer comes only after the whole body.
    twin.always(Reply::Status(418));
    for bytes in [0, 1, 40_000] {
        let answer = send(mesh.entrance("shop"), upload(bytes)).await;
        assert_eq!((answer.status, answer.text().as_str()), (StatusCode::OK, "next"));
    }
    until_copies_ended(&mesh, "418", 3).await;
    for (original, copy) in next.seen().iter().zip(twin.seen()) {
        assert_eq!((copy.method, copy.path.as_str()), (original.method.clone(), "/to/upload?a=b"));
        for header in ["host", "x-by", "content-length"] {
            assert_eq!(copy.headers.get(header), original.headers.get(header), "{header}");
        }
    }
    assert_eq!(get(mesh.entrance("shop"), "/none").await.text(), "next");
    assert_eq!((next.count(), twin.count()), (4, 3));
}

#[tokio::test]
async fn whatever_becomes_of_copies_nobody_waits_or_learns_of_it() {
    let Shop { mesh, next, twin } = shop().await;
    let gate = Gate::closed();
    twin.always(Reply::Held(gate.clone()));
    assert_eq!(send(mesh.entrance("shop"), upload(10)).await.text(), "next");
    gate.open();
    until_copies_ended(&mesh, "200", 1).await;

    // Three failures in a row open the breaker of the service, and these are of copies.
    twin.always(Reply::Hangup);
    for sent in 1..=10 {
        assert_eq!(send(mesh.entrance("shop"), upload(sent)).await.text(), "next");
        // One after the other, so that it is plain which of them finds the breaker open.
        match sent {
            1..=3 => until_copies_ended(&mesh, "502", sent as u64).await,
            _ => until_copies_ended(&mesh, "503", sent as u64 - 3).await,
        }
    }
    assert_eq!((next.count(), twin.count()), (11, 4));
    // Who calls the service itself is not affected by what became of copies.
    twin.always(Reply::Status(200));
    assert_eq!(get(mesh.entrance("twin"), "/").await.text(), "twin");
}
