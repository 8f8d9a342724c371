//! One endpoint of several that falls silent or fails, and what keeps callers from noticing.

use std::{
    collections::BTreeSet,
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use http::StatusCode;
use weft_api::names::HEADER_FAULT;
use weft_tests::{
    backend::{Backend, Reply},
    client::{Version, get},
    load::{Load, Tally},
    manifest,
    mesh::Mesh,
    middlebox::{Line, Middlebox},
    patience::until,
    plan::{Instance, Plan, Service, Way},
    port,
};

use super::{State, count, opened, state};
use crate::WEFT;

/// Requests in a second.
const RATE: u32 = 100;
/// So many failures in a row eject an endpoint by default, and no try more may fail.
const CONSECUTIVE: u64 = 5;
/// From the first try without an answer to the ejection.
const EJECTION_MAX: Duration = Duration::from_secs(1);
/// Meshes that are started until one gets the processor often enough to blame anybody but itself.
const ROUNDS: usize = 3;
/// Where callers find the endpoint with the middlebox before it.
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// Tries that have no answer within this time are made elsewhere.
const TRY: Duration = Duration::from_millis(150);
const RETRY: &str = "perTryTimeout: 150ms\nattempts: 2";

/// Three endpoints with sidecars, and a middlebox before the first of them.
struct Three {
    mesh: Mesh,
    middlebox: Middlebox,
    ill: Backend,
    _well: [Backend; 2],
}

impl Three {
    async fn start(reply: Reply, retry: &str, breaker: &str) -> Self {
        let ill = Backend::start("ill", Version::Http1, reply.clone()).await;
        let well = [
            Backend::start("well", Version::Http1, reply.clone()).await,
            Backend::start("well", Version::Http1, reply).await,
        ];
        let mut service = Service::meshed("api", &[well[0].address(), well[1].address()]);
        service
            .instances
            .insert(0, Instance { app: ill.address(), way: Way::SeenAt(ELSEWHERE.into()), zone: None });
        let policies = manifest::policy("RetryPolicy", "api", retry)
            + &manifest::policy("CircuitBreakerPolicy", "api", breaker);
        let mesh = Mesh::start(WEFT, &Plan::of(vec![service]).with("policies.yaml", policies)).await;
        let inbound = mesh.inbound("api-0");
        let middlebox = Middlebox::start((ELSEWHERE, inbound.port()).into(), inbound);
        Self { mesh, middlebox, ill, _well: well }
    }

    /// Callers, who have met all endpoints.
    async fn load(&self) -> Load {
        let load = Load::constant(self.mesh.entrance("api"), RATE);
        until("the endpoint serves", async || (load.tally().served_by("ill") > 0).then_some(())).await;
        load
    }

    fn labels(&self) -> (String, &'static str) {
        (self.middlebox.address().to_string(), "endpoint")
    }

    async fn state(&self) -> State {
        let (endpoint, scope) = self.labels();
        state(&self.mesh, &[("scope", scope), ("endpoint", &endpoint)]).await
    }

    async fn until_in(&self, wanted: State) {
        let what = format!("the breaker of the endpoint is {wanted:?}");
        until(&what, async || (self.state().await == wanted).then_some(())).await;
    }

    async fn count(&self, name: &str, label: (&str, &str)) -> u64 {
        let (endpoint, scope) = self.labels();
        count(&self.mesh, name, &[("scope", scope), ("endpoint", &endpoint), label]).await
    }

    /// How tries at the endpoint ended.
    async fn outcomes(&self) -> [u64; 4] {
        let mut outcomes = [0; 4];
        for (count, outcome) in outcomes.iter_mut().zip(["ok", "err", "ignored", "stale"]) {
            *count = self.count("weft_breaker_outcomes_total", ("outcome", outcome)).await;
        }
        outcomes
    }
}

fn assert_unnoticed(tally: &Tally) {
    assert_eq!(tally.failed, 0, "{:?}", tally.failures);
}

#[tokio::test]
async fn an_endpoint_that_falls_silent_is_ejected_before_anybody_notices() {
    for _ in 0..ROUNDS {
        // The thresholds are the default ones.
        let reply = Reply::Late(Duration::from_millis(10));
        let mut three = Three::start(reply, RETRY, "endpoint: { open: { base: 30s } }").await;
        let load = three.load().await;
        let before = three.outcomes().await;
        // The connection stands, as does every other one that is made.
        three.middlebox.set(Line::Mute).await;
        let first =
            until("a try fails", async || (three.outcomes().await[1] > before[1]).then(Instant::now)).await;
        three.until_in(State::Open).await;
        let ejected_after = TRY + first.elapsed();
        // What was under way when it opened ends meanwhile.
        load.more(u64::from(RATE)).await;
        let outcomes = three.outcomes().await;
        load.more(u64::from(RATE)).await;
        assert_unnoticed(&load.stop().await);
        assert_eq!(three.outcomes().await, outcomes, "an ejected endpoint was asked");
        assert_eq!(three.count("weft_breaker_trips_total", ("reason", "consecutive")).await, 1);
        assert_eq!(opened(&three.mesh).len(), 1, "a breaker opens once");

        let [failed, ignored, stale] = [1, 2, 3].map(|outcome| outcomes[outcome] - before[outcome]);
        assert_eq!(
            (failed, stale),
            (CONSECUTIVE, 0),
            "failures, and what was under way to it when it opened"
        );
        if ignored == 0 {
            assert!(ejected_after <= EJECTION_MAX, "it took {ejected_after:?}");
            println!("ejected after {ejected_after:?}");
            return;
        }
    }
    panic!("in {ROUNDS} rounds the sidecar did not get the processor, and blamed nobody");
}

#[tokio::test]
async fn its_return_costs_no_request() {
    let breaker = "
endpoint:
  consecutive: 2
  open: { base: 300ms, max: 300ms, jitter: 0 }
  halfOpen: { timeout: 500ms }
  slowStart: 12s
";
    let mut three = Three::start(Reply::Late(Duration::from_millis(10)), "perTryTimeout: 1s", breaker).await;
    let load = three.load().await;
    three.middlebox.set(Line::Mute).await;
    three.until_in(State::Open).await;
    // What was under way when it opened is made elsewhere by then.
    load.more(u64::from(RATE) * 3 / 2).await;
    let retries = async |three: &Three| count(&three.mesh, "weft_retries_total", &[]).await;
    let (tries, requests) = (retries(&three).await, three.ill.count());
    until("probes fail", async || {
        (three.count("weft_breaker_probes_total", ("result", "failure")).await >= 3).then_some(())
    })
    .await;
    assert_unnoticed(&load.stop().await);
    assert_eq!(retries(&three).await, tries, "a request had to find out that the endpoint is still silent");
    assert_eq!(three.ill.count(), requests);

    // Nobody asks, and all connections are gone: what comes now is the one that the sidecar makes by itself.
    three.middlebox.set(Line::Refused).await;
    let connections = three.middlebox.connections();
    three.middlebox.set(Line::Sound).await;
    until("a connection is made without a request", async || {
        (three.middlebox.connections() > connections).then_some(())
    })
    .await;
    three.until_in(State::HalfOpen).await;
    assert_eq!(three.ill.count(), requests, "there was a request");

    let load = Load::constant(three.mesh.entrance("api"), RATE);
    three.until_in(State::Closed).await;
    let (total, served) = (load.tally().total(), load.tally().served_by("ill"));
    // Long enough for requests that come in a heap, after a time without a processor, not to decide: they go to whoever
    // has least to do.
    load.more(u64::from(RATE) * 2).await;
    let tally = load.tally();
    let (total, early) = (tally.total() - total, tally.served_by("ill") - served);
    assert!(early * 4 < total, "it got {early} of {total} at once, which is 3/4 of an equal share or more");
    until("it gets 3/4 of an equal share or more", async || {
        let start = load.tally();
        load.more(60).await;
        let tally = load.tally();
        let late = tally.served_by("ill") - start.served_by("ill");
        (late * 4 >= tally.total() - start.total()).then_some(())
    })
    .await;
    assert_unnoticed(&load.stop().await);
    assert_eq!(retries(&three).await, tries, "its return cost a try");
}

/// Applications without sidecars, each of which fails, and a breaker that opens soon and for long.
async fn failing(applications: usize) -> (Vec<Backend>, Mesh) {
    let mut apps = Vec::new();
    for _ in 0..applications {
        apps.push(Backend::start("ill", Version::Http1, Reply::Status(500)).await);
    }
    let addresses: Vec<_> = apps.iter().map(Backend::address).collect();
    let policy = "endpoint: { consecutive: 2, open: { base: 1m, max: 1m } }";
    let plan = Plan::of(vec![Service::direct("api", &addresses)])
        .with("policies.yaml", manifest::policy("CircuitBreakerPolicy", "api", policy));
    (apps, Mesh::start(WEFT, &plan).await)
}

#[tokio::test]
async fn where_all_fail_no_more_than_the_cap_are_out() {
    // Half of five, rounded down.
    let (apps, mesh) = failing(5).await;
    let entrance = mesh.entrance("api");
    until("as many are out as may be", async || {
        get(entrance, "/").await;
        let suppressed = count(&mesh, "weft_breaker_suppressed_total", &[]).await;
        let trips = count(&mesh, "weft_breaker_trips_total", &[]).await;
        assert!(trips <= 2, "{trips} of 5 were ejected");
        (trips == 2 && suppressed >= 3).then_some(())
    })
    .await;
    let before: Vec<usize> = apps.iter().map(Backend::count).collect();
    let mut out = BTreeSet::new();
    for (index, app) in apps.iter().enumerate() {
        let labels = [("scope", "endpoint"), ("endpoint", &*app.address().to_string())];
        if state(&mesh, &labels).await == State::Open {
            out.insert(index);
        }
    }
    assert_eq!(out.len(), 2);
    for _ in 0..100 {
        let answer = get(entrance, "/").await;
        assert_eq!((answer.status, answer.text().as_str()), (StatusCode::INTERNAL_SERVER_ERROR, "ill"));
    }
    for (index, app) in apps.iter().enumerate() {
        let asked = app.count() - before[index];
        assert_eq!(
            asked == 0,
            out.contains(&index),
            "endpoint {index} was asked {asked} times of 100; out: {out:?}"
        );
    }
}

#[tokio::test]
async fn the_only_endpoint_is_never_ejected() {
    let (apps, mesh) = failing(1).await;
    for _ in 0..30 {
        let answer = get(mesh.entrance("api"), "/").await;
        assert_eq!((answer.status, answer.header(HEADER_FAULT)), (StatusCode::INTERNAL_SERVER_ERROR, ""));
    }
    assert_eq!(apps[0].count(), 30);
    assert_eq!(state(&mesh, &[("scope", "endpoint")]).await, State::Closed);
    assert_eq!(count(&mesh, "weft_breaker_trips_total", &[]).await, 0);
    assert_eq!(count(&mesh, "weft_breaker_suppressed_total", &[]).await, 15);
}

#[tokio::test]
async fn whatever_is_wrong_with_the_way_another_endpoint_answers() {
    for line in [Line::Deaf, Line::Refused, Line::Reset] {
        let (app, other) = (Backend::healthy("ill").await, Backend::healthy("well").await);
        let mut middlebox = Middlebox::start(port::free(), app.address());
        let policies = manifest::policy("RetryPolicy", "api", RETRY)
            + &manifest::policy(
                "CircuitBreakerPolicy",
                "api",
                "endpoint: { consecutive: 2, open: { base: 1m, max: 1m } }",
            );
        let plan = Plan::of(vec![Service::direct("api", &[middlebox.address(), other.address()])])
            .with("policies.yaml", policies);
        let mesh = Mesh::start(WEFT, &plan).await;
        let entrance = mesh.entrance("api");
        until("both serve", async || {
            get(entrance, "/").await;
            (app.count() > 0 && other.count() > 0).then_some(())
        })
        .await;
        middlebox.set(line).await;
        let address = middlebox.address().to_string();
        let labels = [("scope", "endpoint"), ("endpoint", address.as_str())];
        until("the endpoint is ejected", async || {
            let answer = get(entrance, "/").await;
            assert_eq!(answer.status, StatusCode::OK, "{line:?}: {}", answer.text());
            (state(&mesh, &labels).await == State::Open).then_some(())
        })
        .await;
        for _ in 0..10 {
            assert_eq!(get(entrance, "/").await.text(), "well", "{line:?}");
        }
    }
}
