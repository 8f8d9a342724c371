//! FaultInjectionPolicies: what applications meet that call a service which only seems to fail, and what else notices.

use http::{Method, StatusCode};
use weft_api::names::{HEADER_FALLBACK, HEADER_FAULT};
use weft_tests::{
    backend::{Backend, Reply},
    client::{Connection, Version, get, request, try_get, with_header},
    manifest,
    mesh::{CONTROL_PLANE, Mesh},
    patience::until,
    plan::{Plan, Service},
};

use crate::WEFT;

const KIND: &str = "FaultInjectionPolicy";
const SIDECAR: &str = "web-proxy";
const FILE: &str = "faults.yaml";
/// Everything that would notice a failure, and do something about it.
const RETRY: &str = "http: [500-599]\nattempts: 5\nbudget: { percent: 100, minPerSecond: 1000 }";
const BREAKER: &str = "target: { consecutive: 1, open: { base: 5m, max: 5m } }\n\
                       fallback: { causes: [Open, Failure], body: later }";

async fn injected(mesh: &Mesh, policy: &str, what: &str) -> u64 {
    let labels = [("policy", policy), ("what", what)];
    mesh.metrics(SIDECAR).await.count("weft_injected_faults_total", &labels)
}

/// The line of the caller's access log about `path`.
async fn line(mesh: &Mesh, path: &str) -> serde_json::Value {
    until("it is logged", async || mesh.access_log(SIDECAR).into_iter().find(|line| line["url.path"] == path))
        .await
}

#[tokio::test]
async fn an_answer_in_place_of_the_service_is_told_counted_and_logged_and_nobody_else_s() {
    let api = Backend::healthy("api").await;
    let rules = "- { name: calm, matches: [{ path: { value: /calm } }], backendRefs: [{ name: api, port: 80 }] }\n\
                 - backendRefs: [{ name: api, port: 80 }]";
    let plan = Plan::of(vec![Service::meshed("api", &[api.address()])])
        .with("route.yaml", manifest::route("api", rules))
        .with("retry.yaml", manifest::policy("RetryPolicy", "api", RETRY))
        .with("breaker.yaml", manifest::policy("CircuitBreakerPolicy", "api", BREAKER))
        .with(
            FILE,
            manifest::policy(KIND, "api", "abort: { percent: 100, httpStatus: 502 }")
                + &manifest::rule_policy(KIND, "api", "calm", "abort: { percent: 0, httpStatus: 502 }"),
        );
    let mesh = Mesh::start(WEFT, &plan).await;
    let entrance = mesh.entrance("api");
    for _ in 0..10 {
        let answer = get(entrance, "/storm").await;
        assert_eq!((answer.status, answer.header(HEADER_FAULT)), (StatusCode::BAD_GATEWAY, "fault_injected"));
        assert!(answer.header(HEADER_FALLBACK).is_empty() && answer.text().contains(KIND), "{answer:?}");
        assert_eq!(get(entrance, "/calm").await.status, StatusCode::OK, "its rule has a policy of its own");
    }
    assert_eq!(api.count(), 10, "the application saw what was answered in its place");
    assert_eq!(injected(&mesh, "default/api", "abort").await, 10);
    let metrics = mesh.metrics(SIDECAR).await;
    for (name, labels) in [
        ("weft_retries_total", &[("result", "sent")][..]),
        ("weft_breaker_trips_total", &[("scope", "target")]),
        ("weft_fallbacks_total", &[]),
    ] {
        assert_eq!(metrics.count(name, labels), 0, "{name}");
    }
    let labels = [("status", "502"), ("fault", "fault_injected")];
    assert_eq!(metrics.count("http_client_request_duration_seconds_count", &labels), 10);
    let line = line(&mesh, "/storm").await;
    let reason = "FaultInjectionPolicy default/api answers in place of the service";
    assert_eq!((&line["fault"], &line["reason"]), (&"fault_injected".into(), &reason.into()));
    assert!(line["tries"].is_null(), "{line}");
}

#[tokio::test]
async fn what_is_held_ends_with_its_deadline_or_with_its_caller() {
    let api = Backend::healthy("api").await;
    let rules = "- { matches: [{ path: { value: /short } }], timeouts: { request: 100ms }, backendRefs: [{ name: api, port: 80 }] }\n\
                 - backendRefs: [{ name: api, port: 80 }]";
    let plan = Plan::of(vec![Service::meshed("api", &[api.address()])])
        .with("route.yaml", manifest::route("api", rules))
        .with(FILE, manifest::policy(KIND, "api", "delay: { percent: 100, duration: 5m }"));
    let mesh = Mesh::start(WEFT, &plan).await;
    let entrance = mesh.entrance("api");
    let answer = get(entrance, "/short").await;
    assert_eq!(
        (answer.status, answer.header(HEADER_FAULT)),
        (StatusCode::GATEWAY_TIMEOUT, "deadline_exceeded")
    );
    let words = "held for 5m by FaultInjectionPolicy default/api";
    assert_eq!(line(&mesh, "/short").await["injected"], words);

    // Both hang up once their requests are held.
    let mut of_http2 = Connection::open(entrance, Version::Http2).await.expect("the sidecar listens");
    let held = async || {
        until("both are held", async || (injected(&mesh, "default/api", "delay").await == 3).then_some(()))
            .await;
    };
    tokio::select! {
        answer = try_get(entrance, "/leaves-1") => panic!("{answer:?}"),
        answer = of_http2.send(request(Method::GET, "/leaves-2")) => panic!("{answer:?}"),
        () = held() => {}
    }
    drop(of_http2);
    for path in ["/leaves-1", "/leaves-2"] {
        let line = line(&mesh, path).await;
        assert_eq!((&line["fault"], &line["injected"]), (&"client_cancelled".into(), &words.into()));
    }
    assert_eq!(api.count(), 0);

    // What is impossible is refused by its field, and what was in force stays; then another policy holds nothing any more.
    mesh.write(FILE, &manifest::policy(KIND, "api", "delay: { percent: 101, duration: 1ms }"));
    until("the problem is told", async || {
        let problems = get(mesh.admin(CONTROL_PLANE), "/problems").await.text();
        problems.contains("spec.delay.percent").then_some(())
    })
    .await;
    assert_eq!(get(entrance, "/short").await.status, StatusCode::GATEWAY_TIMEOUT);
    mesh.write(FILE, &manifest::policy(KIND, "api", "delay: { percent: 100, duration: 1ms }"));
    until("requests go on", async || (get(entrance, "/short").await.status == StatusCode::OK).then_some(()))
        .await;
}

#[tokio::test]
async fn a_call_of_grpc_is_answered_in_its_own_words() {
    let api = Backend::start("api", Version::Http2, Reply::Grpc).await;
    let mut plan = Plan::of(vec![Service::meshed("api", &[api.address()])]);
    plan.services[0].app_protocol = Some("grpc");
    let plan = plan
        .with("route.yaml", manifest::grpc_route("api", "- backendRefs: [{ name: api, port: 80 }]"))
        .with(FILE, manifest::policy(KIND, "api", "abort: { percent: 100, grpcStatus: DATA_LOSS }"));
    let mesh = Mesh::start(WEFT, &plan).await;
    let mut connection =
        Connection::open(mesh.entrance("api"), Version::Http2).await.expect("the sidecar listens");
    let call =
        with_header(request(Method::POST, "/greeter.Greeter/Hello"), "content-type", "application/grpc");
    let answer = connection.send(with_header(call, "te", "trailers")).await.expect("there is an answer");
    assert_eq!((answer.status, answer.header("grpc-status")), (StatusCode::OK, "15"), "{answer:?}");
    assert_eq!(answer.header(HEADER_FAULT), "fault_injected");
    assert_eq!((api.count(), injected(&mesh, "default/api", "abort").await), (0, 1));
}
