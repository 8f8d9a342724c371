//! RateLimitPolicies: what is over a limit, what it is told, and what is left behind of that.

use http::{Method, StatusCode};
use weft_api::names::HEADER_FAULT;
use weft_tests::{
    backend::{Backend, Reply},
    client::{Connection, Version, get, request, send, with_header},
    manifest,
    mesh::Mesh,
    patience::until,
    plan::{Plan, Service},
};

use crate::WEFT;

const KIND: &str = "RateLimitPolicy";
const SIDECAR: &str = "api-0-proxy";
const FILE: &str = "limits.yaml";

async fn refusals(mesh: &Mesh, policy: &str, mode: &str) -> u64 {
    let labels = [("kind", KIND), ("policy", policy), ("mode", mode)];
    mesh.metrics(SIDECAR).await.count("weft_refusals_total", &labels)
}

#[tokio::test]
async fn what_is_over_the_limit_of_its_caller_is_told_counted_and_logged() {
    let (api, jobs) = (Backend::healthy("api").await, Backend::healthy("jobs").await);
    let services = vec![
        Service::meshed("api", &[api.address()]),
        Service::meshed("jobs", &[jobs.address()]).calling("api"),
    ];
    let spec = "limits: [{ requests: 3, per: 1h, key: Client, httpAttributes: { methods: [GET] } }]";
    let policy = manifest::workload_policy(KIND, "calm", "api", spec);
    let mesh = Mesh::start(WEFT, &Plan::of(services).with(FILE, policy.clone())).await;
    let (web, jobs) = (mesh.entrance("api"), mesh.exit("jobs-0", "api"));
    for caller in [web, jobs] {
        for _ in 0..3 {
            assert_eq!(get(caller, "/").await.status, StatusCode::OK);
        }
        let answer = get(caller, "/over").await;
        assert_eq!(
            (answer.status, answer.header(HEADER_FAULT)),
            (StatusCode::TOO_MANY_REQUESTS, "rate_limited")
        );
        let wait: u64 = answer.header("retry-after").parse().expect("it says for how many seconds");
        assert!((1..=1200).contains(&wait), "a token comes in 20 minutes, and not in {wait} s");
        assert_eq!(send(caller, request(Method::POST, "/")).await.status, StatusCode::OK, "another method");
    }
    assert_eq!(api.count(), 8, "the application saw what was over the limit");
    assert_eq!(refusals(&mesh, "default/calm", "enforce").await, 2);
    let line = until("it is logged", async || {
        mesh.access_log(SIDECAR).into_iter().find(|line| line["url.path"] == "/over")
    })
    .await;
    assert_eq!(
        (&line["fault"], &line["reason"]),
        (&"rate_limited".into(), &"limit 0 of RateLimitPolicy default/calm is reached".into(),)
    );

    // Another policy comes, which only watches. What was taken stays taken.
    let audit = "mode: Audit\nlimits: [{ requests: 1, per: 1h, httpAttributes: { methods: [POST] } }]";
    mesh.write(FILE, &(policy + &manifest::workload_policy(KIND, "watch", "api", audit)));
    until("the other policy is in force", async || {
        assert_eq!(send(web, request(Method::POST, "/")).await.status, StatusCode::OK);
        (refusals(&mesh, "default/watch", "audit").await > 0).then_some(())
    })
    .await;
    assert_eq!(get(web, "/").await.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refusals(&mesh, "default/watch", "enforce").await, 0);
}

#[tokio::test]
async fn a_call_of_grpc_over_the_limit_is_told_so_in_its_own_words() {
    let api = Backend::start("api", Version::Http2, Reply::Grpc).await;
    let mut plan = Plan::of(vec![Service::meshed("api", &[api.address()])]);
    plan.services[0].app_protocol = Some("grpc");
    let spec = "limits: [{ requests: 1, per: 1h }]";
    let mesh = Mesh::start(WEFT, &plan.with(FILE, manifest::workload_policy(KIND, "one", "api", spec))).await;
    let mut connection =
        Connection::open(mesh.entrance("api"), Version::Http2).await.expect("the sidecar listens");
    for code in ["0", "8"] {
        let call =
            with_header(request(Method::POST, "/greeter.Greeter/Hello"), "content-type", "application/grpc");
        let answer = connection.send(with_header(call, "te", "trailers")).await.expect("there is an answer");
        let trailers = answer.trailers.clone().unwrap_or_default();
        let status = trailers.get("grpc-status").or(answer.headers.get("grpc-status"));
        assert_eq!(status.and_then(|code| code.to_str().ok()), Some(code), "{answer:?}");
    }
}
