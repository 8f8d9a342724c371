//! What is tried again: elsewhere, within the budget, and never what may have been done already.

use bytes::Bytes;
use http::{Method, StatusCode};
use weft_api::names::HEADER_ATTEMPT;
use weft_tests::{
    backend::{Backend, Reply},
    client::{Version, get, request, send},
    manifest,
    mesh::Mesh,
    plan::{Plan, Service},
    port,
};

use crate::WEFT;

/// Retries 503 once, and never runs out.
const GENEROUS: &str = "http: [503]\nattempts: 1\nbudget: { percent: 100, interval: 10s, minPerSecond: 100 }";
/// Breakers that never open, so that only retries are seen.
const NO_BREAKER: &str = "endpoint: { consecutive: 0, failurePercent: 0 }";
/// Kept for a retry: this much of a body, and no more.
const BODY_BYTES_MAX: usize = 64 * 1024;

fn policies(retry: &str) -> String {
    manifest::policy("RetryPolicy", "api", retry)
        + &manifest::policy("CircuitBreakerPolicy", "api", NO_BREAKER)
}

async fn mesh(service: Service, retry: &str) -> Mesh {
    Mesh::start(WEFT, &Plan::of(vec![service]).with("policies.yaml", policies(retry))).await
}

async fn retries(mesh: &Mesh, result: &str) -> u64 {
    let labels = [("destination", "default/api:80"), ("result", result)];
    mesh.metrics("web-proxy").await.count("weft_retries_total", &labels)
}

#[tokio::test]
async fn a_failed_try_is_repeated_elsewhere() {
    let ill = Backend::start("ill", Version::Http1, Reply::Status(503)).await;
    let well = Backend::healthy("well").await;
    let mesh = mesh(Service::meshed("api", &[ill.address(), well.address()]), GENEROUS).await;
    for index in 0..50 {
        let answer = get(mesh.entrance("api"), "/").await;
        assert_eq!((answer.status, answer.text().as_str()), (StatusCode::OK, "well"), "request {index}");
    }
    let seen = well.seen();
    let repeated = seen.iter().filter(|seen| seen.header(HEADER_ATTEMPT) == "1").count();
    let first = seen.iter().filter(|seen| seen.header(HEADER_ATTEMPT).is_empty()).count();
    assert!(ill.count() > 0, "nobody asked the endpoint that fails");
    assert_eq!((repeated, repeated + first), (ill.count(), 50));
    assert!(ill.seen().iter().all(|seen| seen.header(HEADER_ATTEMPT).is_empty()), "a repeated try went back");
    assert_eq!(retries(&mesh, "sent").await, ill.count() as u64);
}

#[tokio::test]
async fn retries_end_with_their_budget() {
    let ill = Backend::start("ill", Version::Http1, Reply::Status(503)).await;
    let policy = "http: [503]\nattempts: 1\nbudget: { percent: 20, interval: 1m, minPerSecond: 0 }";
    let mesh = mesh(Service::meshed("api", &[ill.address()]), policy).await;
    for _ in 0..50 {
        assert_eq!(get(mesh.entrance("api"), "/").await.status, StatusCode::SERVICE_UNAVAILABLE);
    }
    // A retry is granted while retries are at most a fifth of the requests: 10 of 50.
    assert_eq!(ill.count(), 60);
    assert_eq!((retries(&mesh, "sent").await, retries(&mesh, "over_budget").await), (10, 40));
}

#[tokio::test]
async fn what_may_have_been_done_is_not_done_twice() {
    let app = Backend::healthy("api").await;
    let mesh = mesh(Service::meshed("api", &[app.address()]), GENEROUS).await;
    app.first([Reply::Status(503)]);
    let answer = send(mesh.entrance("api"), request(Method::POST, "/")).await;
    assert_eq!((answer.status, app.count()), (StatusCode::SERVICE_UNAVAILABLE, 1));
    // The same answer to a request that may be repeated.
    app.first([Reply::Status(503)]);
    let answer = send(mesh.entrance("api"), request(Method::PUT, "/")).await;
    assert_eq!((answer.status, app.count()), (StatusCode::OK, 3));
}

#[tokio::test]
async fn what_was_never_sent_is_repeated_whatever_it_is() {
    let app = Backend::healthy("api").await;
    let nobody = port::free();
    let mesh = mesh(Service::direct("api", &[nobody, app.address()]), GENEROUS).await;
    for index in 0..20 {
        let answer = send(mesh.entrance("api"), request(Method::POST, "/")).await;
        assert_eq!(answer.status, StatusCode::OK, "request {index}: {}", answer.text());
    }
    assert_eq!(app.count(), 20);
    assert!(retries(&mesh, "sent").await > 0, "nobody asked the endpoint where nobody listens");
}

#[tokio::test]
async fn only_a_body_that_was_kept_whole_is_sent_again() {
    let app = Backend::healthy("api").await;
    let mesh = mesh(Service::meshed("api", &[app.address()]), GENEROUS).await;
    for (bytes, status, tries) in
        [(BODY_BYTES_MAX, StatusCode::OK, 2), (BODY_BYTES_MAX + 1, StatusCode::SERVICE_UNAVAILABLE, 1)]
    {
        let before = app.count();
        app.first([Reply::Status(503)]);
        let mut put = request(Method::PUT, "/");
        *put.body_mut() = Bytes::from(vec![b'x'; bytes]);
        let answer = send(mesh.entrance("api"), put).await;
        assert_eq!((answer.status, app.count() - before), (status, tries), "{bytes} bytes");
    }
}

/// Every service of the chain retries at the default budget, and the last one is down.
#[tokio::test]
async fn retries_do_not_multiply_along_a_chain() {
    let (first, second) = (Backend::healthy("first").await, Backend::healthy("second").await);
    let last = Backend::start("last", Version::Http1, Reply::Status(500)).await;
    let services = vec![
        Service::meshed("first", &[first.address()]).calling("second"),
        Service::meshed("second", &[second.address()]).calling("last"),
        Service::meshed("last", &[last.address()]),
    ];
    let policies = ["first", "second", "last"].map(|service| {
        manifest::policy("RetryPolicy", service, "http: [500]\nattempts: 1\nbudget: { minPerSecond: 0 }")
            + &manifest::policy("CircuitBreakerPolicy", service, NO_BREAKER)
    });
    let mesh = Mesh::start(WEFT, &Plan::of(services).with("policies.yaml", policies.concat())).await;
    first.always(Reply::Call(mesh.exit("first-0", "second")));
    second.always(Reply::Call(mesh.exit("second-0", "last")));
    let requests = 200;
    for _ in 0..requests {
        assert_eq!(get(mesh.entrance("first"), "/").await.status, StatusCode::INTERNAL_SERVER_ERROR);
    }
    // Only the hop before the failure retries: a fifth of the requests.
    assert_eq!((first.count(), second.count()), (requests, requests));
    assert_eq!(last.count(), requests * 12 / 10);
}

#[tokio::test]
async fn an_application_that_fails_by_itself_is_retried() {
    let (app, other) = (Backend::healthy("app").await, Backend::healthy("other").await);
    let services = vec![
        Service::meshed("app", &[app.address()]).calling("other"),
        Service::meshed("other", &[other.address()]),
    ];
    let mesh = Mesh::start(
        WEFT,
        &Plan::of(services).with("policies.yaml", {
            manifest::policy("RetryPolicy", "app", "http: [500]\nattempts: 1\nbudget: { percent: 100 }")
                + &manifest::policy("CircuitBreakerPolicy", "app", NO_BREAKER)
        }),
    )
    .await;
    app.first([Reply::Status(500)]);
    app.always(Reply::Call(mesh.exit("app-0", "other")));
    assert_eq!(get(mesh.entrance("app"), "/").await.status, StatusCode::OK);
    assert_eq!((app.count(), other.count()), (2, 1));
}
