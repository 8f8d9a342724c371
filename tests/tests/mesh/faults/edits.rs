//! Policies that change while something fails, that are wrong, and that only watch.

use http::StatusCode;
use weft_api::names::HEADER_FALLBACK;
use weft_tests::{
    backend::{Backend, Reply},
    client::{Version, get},
    manifest,
    mesh::{CONTROL_PLANE, Mesh},
    patience::until,
    plan::{Plan, Service},
};

use super::{CALLER, State, count, state};
use crate::WEFT;

const TARGET: (&str, &str) = ("scope", "target");
const POLICIES: &str = "policies.yaml";

/// The breaker of the service, with an answer of its own.
fn policy(target: &str, body: &str) -> String {
    let spec = format!(
        "endpoint: {{ consecutive: 0, failurePercent: 0 }}\ntarget: {target}\nfallback: {{ body: {body} }}"
    );
    manifest::policy("CircuitBreakerPolicy", "api", &spec)
}

async fn start(app: &Backend, policy: String) -> Mesh {
    Mesh::start(WEFT, &Plan::of(vec![Service::direct("api", &[app.address()])]).with(POLICIES, policy)).await
}

#[tokio::test]
async fn an_edit_pardons_nobody() {
    let app = Backend::start("api", Version::Http1, Reply::Status(500)).await;
    let target = |consecutive| format!("{{ consecutive: {consecutive}, open: {{ base: 1m }} }}");
    let mesh = start(&app, policy(&target(2), "old")).await;
    let entrance = mesh.entrance("api");
    for _ in 0..2 {
        assert_eq!(get(entrance, "/").await.status, StatusCode::INTERNAL_SERVER_ERROR);
    }
    assert_eq!(get(entrance, "/").await.text(), "old");
    mesh.write(POLICIES, &policy(&target(1000), "new"));
    until("the edit is in force", async || (get(entrance, "/").await.text() == "new").then_some(())).await;
    assert_eq!((state(&mesh, &[TARGET]).await, app.count()), (State::Open, 2));
    assert_eq!(count(&mesh, "weft_breaker_trips_total", &[TARGET]).await, 1);
}

#[tokio::test]
async fn other_thresholds_apply_from_the_next_outcome() {
    let app = Backend::start("api", Version::Http1, Reply::Status(500)).await;
    let target = |consecutive| format!("{{ consecutive: {consecutive}, open: {{ base: 1m }} }}");
    let mesh = start(&app, policy(&target(100), "canned")).await;
    let entrance = mesh.entrance("api");
    for _ in 0..5 {
        assert_eq!(get(entrance, "/").await.status, StatusCode::INTERNAL_SERVER_ERROR);
    }
    let generation = async || {
        let labels = [("kind", "Cluster")];
        mesh.metrics(CALLER).await.get("weft_xds_resource_generation", &labels).expect("it holds a cluster")
    };
    let before = generation().await;
    mesh.write(POLICIES, &policy(&target(6), "canned"));
    until("the edit is in force", async || (generation().await > before).then_some(())).await;
    assert_eq!(state(&mesh, &[TARGET]).await, State::Closed, "an edit is no outcome");
    // The sixth in a row: the five before the edit count.
    assert_eq!(get(entrance, "/").await.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(get(entrance, "/").await.text(), "canned");
    assert_eq!((state(&mesh, &[TARGET]).await, app.count()), (State::Open, 6));
}

#[tokio::test]
async fn a_wrong_policy_is_refused_with_its_place_and_the_one_before_stays() {
    let app = Backend::start("api", Version::Http1, Reply::Status(500)).await;
    let good = policy("{ consecutive: 1, open: { base: 10m, max: 10m } }", "good");
    let mesh = start(&app, good.clone()).await;
    let entrance = mesh.entrance("api");
    get(entrance, "/").await;
    // What is wrong, where, and what is said of it. The body would show if anything else of the policy were taken.
    let edited = |right, wrong| good.replace("body: good", "body: bad").replace(right, wrong);
    // What names nobody is no edit of the one that does: it stands beside it.
    let beside = format!("{good}{}", manifest::policy("CircuitBreakerPolicy", "ap", "mode: Audit"));
    let table = [
        (
            edited("consecutive: 1,", "consecutve: 1,"),
            "consecutve: 1,",
            "spec.target.consecutve",
            "consecutive",
        ),
        (
            edited("consecutive: 1,", "consecutive: 1001,"),
            "1001",
            "spec.target.consecutive",
            "it must be within 0 to 1000",
        ),
        (edited("base: 10m,", "base: 11m,"), "base: 11m", "spec.target.open.base", "is 11m, above open.max"),
        (beside, "name: ap }]", "spec.targetRefs[0].name", "Service default/ap, which does not exist"),
    ];
    for (text, wrong, field, rule) in table {
        let line = 1 + text.lines().position(|line| line.contains(wrong)).expect("it is in the text");
        mesh.write(POLICIES, &text);
        let problem = until(&format!("`{wrong}` is told"), async || {
            let answer = get(mesh.admin(CONTROL_PLANE), "/problems").await;
            let problems: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
            problems.as_array().expect("a list").iter().find(|problem| problem["field"] == field).cloned()
        })
        .await;
        assert_eq!(problem["line"], line, "{problem}");
        assert!(problem["file"].as_str().is_some_and(|file| file.ends_with(POLICIES)), "{problem}");
        assert!(problem.to_string().contains(rule), "`{rule}` is not told: {problem}");
        for _ in 0..5 {
            assert_eq!(get(entrance, "/").await.text(), "good", "{wrong}");
        }
    }
    mesh.write(POLICIES, &good.replace("body: good", "body: better"));
    until("a right one is in force", async || (get(entrance, "/").await.text() == "better").then_some(()))
        .await;
    assert_eq!(app.count(), 1, "the breaker was pardoned on the way");
}

#[tokio::test]
async fn audit_reports_what_enforcement_would_have_done() {
    let (watched, guarded) = (
        Backend::start("watched", Version::Http1, Reply::Status(500)).await,
        Backend::start("guarded", Version::Http1, Reply::Status(500)).await,
    );
    let spec = "target: { consecutive: 3, open: { base: 100ms, max: 100ms, jitter: 0 }, halfOpen: { probes: 1, successes: 1 } }\nfallback: { causes: [Open, Failure], body: canned }";
    let policies = manifest::policy("CircuitBreakerPolicy", "watched", &format!("mode: Audit\n{spec}"))
        + &manifest::policy("CircuitBreakerPolicy", "guarded", spec);
    let services = vec![
        Service::direct("watched", &[watched.address()]),
        Service::direct("guarded", &[guarded.address()]),
    ];
    let mesh = Mesh::start(WEFT, &Plan::of(services).with(POLICIES, policies)).await;
    let mut reported = Vec::new();
    for (service, app, canned) in [("watched", &watched, ""), ("guarded", &guarded, "failure")] {
        let destination = format!("default/{service}:80");
        let labels = [TARGET, ("destination", destination.as_str())];
        let ask = async || get(mesh.entrance(service), "/").await;
        let until_half_open = async || {
            until("it is half-open", async || {
                let level = mesh.metrics(CALLER).await.get("weft_breaker_state", &labels);
                (level == Some(1.0)).then_some(())
            })
            .await;
        };
        // Trips, fails its probe, recovers, and trips once more.
        for _ in 0..3 {
            assert_eq!(ask().await.header(HEADER_FALLBACK), canned);
        }
        until_half_open().await;
        assert_eq!(ask().await.header(HEADER_FALLBACK), canned);
        until_half_open().await;
        app.first([Reply::Status(200)]);
        assert_eq!(ask().await.text(), service);
        for _ in 0..3 {
            assert_eq!(ask().await.header(HEADER_FALLBACK), canned);
        }
        assert_eq!(app.count(), 8);
        until_half_open().await;
        let metrics = mesh.metrics(CALLER).await;
        let count =
            |name: &str, label, value| metrics.count(name, &[&labels[..], &[(label, value)]].concat());
        let trips =
            ["consecutive", "probe_failed"].map(|reason| count("weft_breaker_trips_total", "reason", reason));
        let probes =
            ["success", "failure"].map(|result| count("weft_breaker_probes_total", "result", result));
        let outcomes = ["ok", "err"].map(|outcome| count("weft_breaker_outcomes_total", "outcome", outcome));
        let fallbacks = metrics.count("weft_fallbacks_total", &[("destination", &destination)]);
        assert_eq!(fallbacks, if canned.is_empty() { 0 } else { 7 }, "{service}");
        reported.push((trips, probes, outcomes));
    }
    assert_eq!(reported[0], ([2, 1], [1, 1], [1, 7]));
    assert_eq!(reported[0], reported[1], "audit and enforcement differ");
}
