//! What happens when an application keeps failing, or has too much to do.

use std::net::SocketAddr;

use http::{StatusCode, header::RETRY_AFTER};
use tokio::sync::oneshot;
use weft_api::names::{HEADER_FALLBACK, HEADER_FAULT};
use weft_runtime::Tasks;
use weft_tests::{
    backend::{Backend, Gate, Reply},
    client::{Answer, Version, get, try_get},
    manifest,
    mesh::Mesh,
    patience::{until, within},
    plan::{Plan, Service},
};

use crate::WEFT;

const DESTINATION: (&str, &str) = ("destination", "default/api:80");

/// State of a breaker.
#[derive(Debug, PartialEq, Eq)]
enum State {
    Closed,
    HalfOpen,
    Open,
}

/// One service, its applications, and a policy on it.
async fn mesh(apps: &[&Backend], policy: &str) -> Mesh {
    let addresses: Vec<_> = apps.iter().map(|app| app.address()).collect();
    let plan = Plan::of(vec![Service::meshed("api", &addresses)]);
    let policy = manifest::policy("CircuitBreakerPolicy", "api", policy);
    Mesh::start(WEFT, &plan.with("policies.yaml", policy)).await
}

async fn state(mesh: &Mesh, labels: &[(&str, &str)]) -> State {
    let metrics = mesh.metrics("web-proxy").await;
    let labels = [labels, &[DESTINATION]].concat();
    match metrics.get("weft_breaker_state", &labels).map(|level| level as i64) {
        Some(0) => State::Closed,
        Some(1) => State::HalfOpen,
        Some(2) => State::Open,
        other => panic!("a breaker {labels:?} in the state {other:?}"),
    }
}

async fn trips(mesh: &Mesh, scope: &str) -> u64 {
    let metrics = mesh.metrics("web-proxy").await;
    metrics.count("weft_breaker_trips_total", &[DESTINATION, ("scope", scope)])
}

#[tokio::test]
async fn an_endpoint_that_fails_is_passed_over_until_it_is_well() {
    let ill = Backend::start("ill", Version::Http1, Reply::Status(500)).await;
    let well = Backend::healthy("well").await;
    let mesh = mesh(
        &[&ill, &well],
        "endpoint:\n  consecutive: 5\n  failurePercent: 0\n  open: { base: 4s, max: 4s, jitter: 0 }\n  slowStart: 0s",
    )
    .await;
    let (entrance, address) = (mesh.entrance("api"), mesh.inbound("api-0").to_string());
    let endpoint = [("scope", "endpoint"), ("endpoint", address.as_str())];
    while ill.count() < 5 {
        get(entrance, "/").await;
    }
    until("the endpoint is ejected", async || (state(&mesh, &endpoint).await == State::Open).then_some(()))
        .await;
    for _ in 0..30 {
        assert_eq!(get(entrance, "/").await.text(), "well");
    }
    assert_eq!(trips(&mesh, "endpoint").await, 1, "it was out for less than the 4 s that the policy says");
    assert_eq!(ill.count(), 5, "an ejected endpoint was asked");

    ill.always(Reply::Status(200));
    until("the endpoint is readmitted", async || {
        assert_eq!(get(entrance, "/").await.status, StatusCode::OK);
        (ill.count() > 5).then_some(())
    })
    .await;
    until("its breaker is closed", async || (state(&mesh, &endpoint).await == State::Closed).then_some(()))
        .await;
}

/// Opens after five failures in a row, and closes after one success.
const TARGET: &str = "
endpoint: { consecutive: 0, failurePercent: 0 }
target:
  consecutive: 5
  failurePercent: 0
  open: { base: 3s, max: 3s, jitter: 0 }
  halfOpen: { probes: 1, successes: 1 }
";

#[tokio::test]
async fn an_open_breaker_spares_the_application_and_says_when_to_come_back() {
    let app = Backend::start("api", Version::Http1, Reply::Status(500)).await;
    let mesh = mesh(&[&app], TARGET).await;
    let entrance = mesh.entrance("api");
    for _ in 0..5 {
        assert_eq!(get(entrance, "/").await.status, StatusCode::INTERNAL_SERVER_ERROR);
    }
    for _ in 0..10 {
        let answer = get(entrance, "/").await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.header(HEADER_FAULT), "breaker_open");
        let retry_after: u32 = answer.header(RETRY_AFTER.as_str()).parse().expect("whole seconds");
        assert!((1..=3).contains(&retry_after), "come back in {retry_after} s");
    }
    assert_eq!(app.count(), 5, "a refused request reached the application");
    assert_eq!((state(&mesh, &[("scope", "target")]).await, trips(&mesh, "target").await), (State::Open, 1));

    app.always(Reply::Status(200));
    until("the breaker lets requests pass", async || {
        (get(entrance, "/").await.status == StatusCode::OK).then_some(())
    })
    .await;
    assert_eq!(state(&mesh, &[("scope", "target")]).await, State::Closed);
    assert_eq!(get(entrance, "/").await.status, StatusCode::OK);
}

#[tokio::test]
async fn callers_get_the_canned_answer_instead_of_an_error() {
    let app = Backend::start("api", Version::Http1, Reply::Status(500)).await;
    let canned = "fallback:\n  causes: [Open, Failure]\n  status: 203\n  headers: [{ name: X-Canned, value: 'yes' }]\n  body: canned";
    let mesh = mesh(&[&app], &format!("{TARGET}{canned}")).await;
    for index in 0..8 {
        let answer = get(mesh.entrance("api"), "/").await;
        let cause = if index < 5 { "failure" } else { "open" };
        assert_eq!(answer.header(HEADER_FALLBACK), cause, "request {index}");
        assert_eq!((answer.status.as_u16(), answer.text().as_str()), (203, "canned"), "request {index}");
        assert_eq!(answer.header("x-canned"), "yes", "request {index}");
    }
    // A canned answer is no success of the application: the breaker opened all the same.
    assert_eq!(app.count(), 5);
    let metrics = mesh.metrics("web-proxy").await;
    let fallbacks = |cause| metrics.count("weft_fallbacks_total", &[DESTINATION, ("cause", cause)]);
    assert_eq!((fallbacks("failure"), fallbacks("open")), (5, 3));
}

#[tokio::test]
async fn a_fallback_for_an_open_breaker_does_not_hide_failures_before() {
    let app = Backend::start("api", Version::Http1, Reply::Status(500)).await;
    let mesh = mesh(&[&app], &format!("{TARGET}fallback: {{ body: canned }}")).await;
    for index in 0..8 {
        let answer = get(mesh.entrance("api"), "/").await;
        let expected = if index < 5 { (500, "") } else { (200, "open") };
        assert_eq!((answer.status.as_u16(), answer.header(HEADER_FALLBACK)), expected, "request {index}");
    }
}

#[tokio::test]
async fn the_breaker_of_a_rule_leaves_other_rules_alone() {
    let app = Backend::start("api", Version::Http1, Reply::Status(500)).await;
    let rules = "
- name: guarded
  matches: [{ path: { value: /guarded } }]
  backendRefs: [{ name: api, port: 80 }]
- backendRefs: [{ name: api, port: 80 }]
";
    let breaker = TARGET.replace("endpoint: { consecutive: 0, failurePercent: 0 }\n", "");
    let policies = manifest::rule_policy("CircuitBreakerPolicy", "api", "guarded", &breaker);
    let plan = Plan::of(vec![Service::meshed("api", &[app.address()])])
        .with("route.yaml", manifest::route("api", rules))
        .with("policies.yaml", policies);
    let mesh = Mesh::start(WEFT, &plan).await;
    let entrance = mesh.entrance("api");
    for _ in 0..5 {
        assert_eq!(get(entrance, "/guarded").await.status, StatusCode::INTERNAL_SERVER_ERROR);
    }
    for _ in 0..5 {
        assert_eq!(get(entrance, "/guarded").await.header(HEADER_FAULT), "breaker_open");
        assert_eq!(get(entrance, "/").await.text(), "api", "the other rule was not let through");
    }
    assert_eq!(app.count(), 10);
}

/// A request that somebody else makes, until it is answered.
struct Pending {
    answer: oneshot::Receiver<anyhow::Result<Answer>>,
    _tasks: Tasks,
}

impl Pending {
    /// Sends it, and waits until it is the `count`th that its application has seen.
    async fn at_the_application(entrance: SocketAddr, app: &Backend, count: usize) -> Self {
        let (done, answer) = oneshot::channel();
        let tasks = Tasks::new();
        tasks.spawn("pending request", async move {
            // Whoever waits for the answer has gone if this cannot be sent.
            let _ = done.send(try_get(entrance, "/").await);
        });
        until("the request is at the application", async || (app.count() == count).then_some(())).await;
        Self { answer, _tasks: tasks }
    }

    async fn status(self) -> StatusCode {
        let answer = within("the request is answered", self.answer).await.expect("the task lives");
        answer.expect("a request in flight is answered").status
    }
}

async fn overflows(mesh: &Mesh) -> u64 {
    mesh.metrics("web-proxy").await.count("weft_overflows_total", &[DESTINATION])
}

#[tokio::test]
async fn more_than_the_limit_is_refused_at_once() {
    let gate = Gate::closed();
    let app = Backend::start("api", Version::Http1, Reply::Held(gate.clone())).await;
    let mesh = mesh(&[&app], "limits: { maxRequests: 1 }").await;
    let entrance = mesh.entrance("api");
    let pending = Pending::at_the_application(entrance, &app, 1).await;
    let refused = get(entrance, "/").await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.header(HEADER_FAULT), "overflow");
    assert_eq!(app.count(), 1, "a refused request reached the application");
    gate.open();
    assert_eq!(pending.status().await, StatusCode::OK);
    assert_eq!(overflows(&mesh).await, 1);
    until("there is room again", async || (get(entrance, "/").await.status == StatusCode::OK).then_some(()))
        .await;
}

#[tokio::test]
async fn an_audited_limit_is_counted_and_not_kept() {
    let gate = Gate::closed();
    let app = Backend::start("api", Version::Http1, Reply::Held(gate.clone())).await;
    let mesh = mesh(&[&app], "mode: Audit\nlimits: { maxRequests: 1 }").await;
    let first = Pending::at_the_application(mesh.entrance("api"), &app, 1).await;
    let second = Pending::at_the_application(mesh.entrance("api"), &app, 2).await;
    assert_eq!(overflows(&mesh).await, 1);
    gate.open();
    assert_eq!((first.status().await, second.status().await), (StatusCode::OK, StatusCode::OK));
}

#[tokio::test]
async fn an_audited_policy_reports_and_does_nothing() {
    let app = Backend::start("api", Version::Http1, Reply::Status(500)).await;
    let fallback = "fallback: { causes: [Open, Failure], body: canned }";
    let mesh = mesh(&[&app], &format!("mode: Audit\n{TARGET}{fallback}")).await;
    for index in 0..20 {
        let answer = get(mesh.entrance("api"), "/").await;
        assert_eq!((answer.status.as_u16(), answer.header(HEADER_FALLBACK)), (500, ""), "request {index}");
        assert_eq!(answer.text(), "api", "request {index} was not answered by the application");
    }
    assert_eq!(app.count(), 20);
    assert_eq!(trips(&mesh, "target").await, 1, "the trip of the target is not reported");
    assert_eq!(state(&mesh, &[("scope", "target")]).await, State::Open);
}
