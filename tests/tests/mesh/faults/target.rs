//! A whole service that fails, is slow or has too much to do: what reaches it, and what callers get meanwhile.

use std::{net::SocketAddr, time::Duration};

use http::{StatusCode, header::RETRY_AFTER};
use tokio::task::JoinSet;
use weft_api::names::{HEADER_FALLBACK, HEADER_FAULT};
use weft_tests::{
    backend::{Backend, Gate, Reply},
    client::{Answer, Version, get},
    load::Load,
    manifest,
    mesh::Mesh,
    middlebox::{Line, Middlebox},
    patience::{until, within},
    plan::{Plan, Service},
    port,
};

use super::{State, count, opened, state};
use crate::WEFT;

const TARGET: (&str, &str) = ("scope", "target");

/// An application without a sidecar, and the breaker of its service. `policy` says what there is beside `target`.
async fn start(app: SocketAddr, target: &str, policy: &str) -> Mesh {
    let policy = format!("endpoint: {{ consecutive: 0, failurePercent: 0 }}\ntarget: {target}\n{policy}");
    let plan = Plan::of(vec![Service::direct("api", &[app])])
        .with("policies.yaml", manifest::policy("CircuitBreakerPolicy", "api", &policy));
    Mesh::start(WEFT, &plan).await
}

async fn until_in(mesh: &Mesh, wanted: State) {
    let what = format!("the breaker is {wanted:?}");
    until(&what, async || (state(mesh, &[TARGET]).await == wanted).then_some(())).await;
}

async fn trips(mesh: &Mesh, reason: &str) -> u64 {
    count(mesh, "weft_breaker_trips_total", &[TARGET, ("reason", reason)]).await
}

#[tokio::test]
async fn nothing_but_probes_reaches_it_pause_after_pause() {
    let app = Backend::start("api", Version::Http1, Reply::Status(500)).await;
    let target = "{ consecutive: 5, open: { base: 200ms, max: 200ms, jitter: 0 }, halfOpen: { probes: 1, successes: 1 } }";
    let mesh = start(app.address(), target, "fallback: { causes: [Open, Failure], body: canned }").await;
    let load = Load::start(mesh.entrance("api"), 4);
    until("several pauses are over", async || (trips(&mesh, "probe_failed").await >= 4).then_some(())).await;
    let tally = load.stop().await;
    assert_eq!((tally.failed, tally.served_by("canned")), (0, tally.total()), "{:?}", tally.failures);
    // Those that were under way when it opened, at most one of each caller, were let through before.
    let before = app.count() as u64 - trips(&mesh, "probe_failed").await;
    assert!((5..5 + 4).contains(&before), "{before} requests beside the probes reached the application");
    let open = count(&mesh, "weft_fallbacks_total", &[("cause", "open")]).await;
    assert_eq!(open, tally.total() - app.count() as u64, "canned answers without the application");
}

/// As many requests at once.
fn together(entrance: SocketAddr, requests: usize) -> JoinSet<Answer> {
    (0..requests).map(|_| async move { get(entrance, "/").await }).collect()
}

async fn next(answers: &mut JoinSet<Answer>) -> Answer {
    let next = within("a request is answered", answers.join_next()).await;
    next.expect("there are more").expect("a caller does not panic")
}

#[tokio::test]
async fn half_open_lets_so_many_probes_pass_at_once_and_no_more() {
    let gate = Gate::closed();
    let app = Backend::start("api", Version::Http1, Reply::Held(gate.clone())).await;
    app.first([Reply::Status(500)]);
    let target = "{ consecutive: 1, open: { base: 100ms, jitter: 0 }, halfOpen: { probes: 3, successes: 3, timeout: 1m } }";
    let mesh = start(app.address(), target, "").await;
    let entrance = mesh.entrance("api");
    get(entrance, "/").await;
    until_in(&mesh, State::HalfOpen).await;
    let mut answers = together(entrance, 20);
    for _ in 0..17 {
        let answer = next(&mut answers).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.header(HEADER_FAULT), "breaker_open");
    }
    until("the probes are at the application", async || (app.count() == 1 + 3).then_some(())).await;
    assert_eq!(state(&mesh, &[TARGET]).await, State::HalfOpen);
    gate.open();
    while !answers.is_empty() {
        assert_eq!(next(&mut answers).await.status, StatusCode::OK);
    }
    assert_eq!((state(&mesh, &[TARGET]).await, app.count()), (State::Closed, 1 + 3));
}

#[tokio::test]
async fn who_has_too_much_to_do_is_left_alone_for_as_long_as_it_says() {
    // What it says, what may be asked for at most, and the pause that comes of it.
    let table = [(429, "2", "1m", 2_000), (503, "2", "1m", 2_000), (429, "3600", "5s", 5_000)];
    for (status, said, max, pause_ms) in table {
        let app = Backend::start("api", Version::Http1, Reply::Header(status, "retry-after", said)).await;
        // Neither is a failure in a row; both count in the share.
        let target = format!(
            "{{ consecutive: 2, failurePercent: 100, minRequests: 4, window: 10m, open: {{ base: 100ms, max: {max}, jitter: 0 }} }}"
        );
        let mesh = start(app.address(), &target, "").await;
        let entrance = mesh.entrance("api");
        for _ in 0..4 {
            assert_eq!(state(&mesh, &[TARGET]).await, State::Closed);
            assert_eq!(get(entrance, "/").await.status.as_u16(), status);
        }
        let refused = get(entrance, "/").await;
        let retry_after: u64 = refused.header(RETRY_AFTER.as_str()).parse().expect("whole seconds");
        assert_eq!(refused.header(HEADER_FAULT), "breaker_open", "{status}");
        assert!((1..=pause_ms / 1000).contains(&retry_after), "{status}: come back in {retry_after} s");
        assert_eq!(trips(&mesh, "share").await, 1);
        assert_eq!(opened(&mesh), [pause_ms], "{status}, {said}");
        assert_eq!(app.count(), 4);
    }
}

#[tokio::test]
async fn an_answer_that_takes_too_long_is_a_failure_however_good_it_is() {
    let app = Backend::healthy("api").await;
    let mut middlebox = Middlebox::start(port::free(), app.address());
    let target = "{ consecutive: 2, open: { base: 1m } }";
    let mesh = start(middlebox.address(), target, "failures: { slowerThan: 400ms }").await;
    let entrance = mesh.entrance("api");
    get(entrance, "/").await;
    // There and back.
    middlebox.set(Line::Slow(Duration::from_millis(250))).await;
    let mut asked = 0;
    // A sidecar that does not get the processor blames nobody: then it takes more than two.
    until("the breaker opens", async || {
        let answer = get(entrance, "/").await;
        if answer.status == StatusCode::OK {
            asked += 1;
        }
        (answer.header(HEADER_FAULT) == "breaker_open").then_some(())
    })
    .await;
    assert!(asked >= 2, "it opened after {asked}");
    assert_eq!((state(&mesh, &[TARGET]).await, trips(&mesh, "consecutive").await), (State::Open, 1));
}

#[tokio::test]
async fn a_stream_without_end_is_a_probe_that_has_succeeded() {
    let gate = Gate::closed();
    let app = Backend::healthy("api").await;
    app.first([Reply::Status(500), Reply::Streamed(gate.clone())]);
    let target = "{ consecutive: 1, open: { base: 100ms, jitter: 0 }, halfOpen: { probes: 1, successes: 1, timeout: 1m } }";
    let mesh = start(app.address(), target, "fallback: { causes: [Open], body: canned }").await;
    let entrance = mesh.entrance("api");
    get(entrance, "/").await;
    assert_eq!(get(entrance, "/").await.header(HEADER_FALLBACK), "open");
    until_in(&mesh, State::HalfOpen).await;
    let mut stream = together(entrance, 1);
    until_in(&mesh, State::Closed).await;
    assert_eq!(get(entrance, "/").await.text(), "api");
    gate.open();
    assert_eq!(next(&mut stream).await.text(), "x");
    assert_eq!(state(&mesh, &[TARGET]).await, State::Closed);
}
