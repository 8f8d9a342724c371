//! AuthorizationPolicies: who gets in, what the others are told, and what is left behind of that.

use http::{Method, StatusCode};
use serde_json::Value;
use weft_api::names::HEADER_FAULT;
use weft_tests::{
    backend::{Backend, Reply},
    client::{Answer, Connection, Version, get, request, with_header},
    manifest,
    mesh::{CONTROL_PLANE, Mesh},
    patience::until,
    plan::{Plan, Service},
};

use crate::WEFT;

const KIND: &str = "AuthorizationPolicy";
/// The sidecar before the application that policies are about.
const SIDECAR: &str = "api-0-proxy";
const FILE: &str = "policy.yaml";

/// The service `api`, which `web` calls, and so does `jobs`.
fn plan(api: &Backend, jobs: &Backend) -> Plan {
    let services = vec![
        Service::meshed("api", &[api.address()]),
        Service::meshed("jobs", &[jobs.address()]).calling("api"),
    ];
    Plan::of(services)
}

fn policy(name: &str, spec: &str) -> String {
    manifest::workload_policy(KIND, name, "api", spec)
}

/// What the sidecar logged of `path`, once it has.
async fn logged(mesh: &Mesh, path: &str) -> Value {
    let what = format!("{SIDECAR} logs {path}");
    until(&what, async || mesh.access_log(SIDECAR).into_iter().rfind(|line| line["url.path"] == path)).await
}

async fn refusals(mesh: &Mesh, policy: &str, mode: &str) -> u64 {
    let labels = [("kind", KIND), ("policy", policy), ("mode", mode)];
    mesh.metrics(SIDECAR).await.count("weft_refusals_total", &labels)
}

fn outcome(answer: &Answer) -> (u16, &str) {
    (answer.status.as_u16(), answer.header(HEADER_FAULT))
}

const ALLOWED: (u16, &str) = (200, "");
const DENIED: (u16, &str) = (403, "denied");

#[tokio::test]
async fn whom_no_policy_allows_is_denied_counted_and_logged_with_the_policy() {
    let (api, jobs) = (Backend::healthy("api").await, Backend::healthy("jobs").await);
    let spec =
        "action: ALLOW\nrules: [{ sources: [{ type: ServiceAccount, serviceAccount: { name: web } }] }]";
    let mesh = Mesh::start(WEFT, &plan(&api, &jobs).with(FILE, policy("callers", spec))).await;

    assert_eq!(outcome(&get(mesh.entrance("api"), "/web").await), ALLOWED);
    let answer = get(mesh.exit("jobs-0", "api"), "/jobs").await;
    assert_eq!(outcome(&answer), DENIED);
    assert!(!answer.text().contains("callers"), "whoever is denied is not told by which policy");
    assert_eq!(api.count(), 1, "the application saw what was denied");
    // The other workload has no policy.
    assert_eq!(outcome(&get(mesh.entrance("jobs"), "/").await), ALLOWED);

    assert_eq!(refusals(&mesh, "default/callers", "enforce").await, 1);
    assert_eq!(refusals(&mesh, "default/callers", "audit").await, 0);
    let labels = [("fault", "denied"), ("status", "403")];
    assert_eq!(mesh.metrics(SIDECAR).await.count("http_server_request_duration_seconds_count", &labels), 1);
    let line = logged(&mesh, "/jobs").await;
    assert_eq!(line["fault"], "denied");
    assert_eq!(line["reason"], "no rule of AuthorizationPolicy default/callers allows it");
    assert!(line.get("audit").is_none(), "{line}");
}

#[tokio::test]
async fn a_path_is_denied_however_it_is_spelled_and_what_nobody_can_read_is_refused() {
    let (api, jobs) = (Backend::healthy("api").await, Backend::healthy("jobs").await);
    let spec = "action: DENY\nrules:\n- httpAttributes: { methods: [GET], paths: [{ value: /admin }] }";
    let mesh = Mesh::start(WEFT, &plan(&api, &jobs).with(FILE, policy("no-admin", spec))).await;
    let entrance = mesh.entrance("api");
    let denied = [
        "/admin",
        "/admin/x?y=z",
        "//admin",
        "/a/../admin",
        "/a/%2e%2e/admin",
        "/%61dmin",
        "/./admin",
        "/../admin",
    ];
    for path in denied {
        assert_eq!(outcome(&get(entrance, path).await), DENIED, "{path}");
    }
    for path in ["/a%2fadmin", "/x%5cadmin", "/admin%00", "/admin;x", "/a/..;/admin", "/%zz"] {
        assert_eq!(outcome(&get(entrance, path).await), (400, "path_refused"), "{path}");
    }
    assert_eq!(api.count(), 0, "{:?}", api.seen());
    let line = logged(&mesh, "/a/../admin").await;
    assert_eq!(line["reason"], "rule 0 of AuthorizationPolicy default/no-admin denies it");

    // The application sees the path by which was decided.
    for (path, seen) in [("/a//b/../%61?q=/../x", "/a/a?q=/../x"), ("/administrator", "/administrator")] {
        assert_eq!(outcome(&get(entrance, path).await), ALLOWED, "{path}");
        assert_eq!(api.seen().last().map(|seen| seen.path.clone()).as_deref(), Some(seen), "{path}");
    }
    let mut connection = Connection::open(entrance, Version::Http2).await.expect("the sidecar listens");
    let answer = connection.send(request(Method::POST, "/admin")).await.expect("there is an answer");
    assert_eq!(outcome(&answer), ALLOWED, "another method");
}

#[tokio::test]
async fn a_denied_call_of_grpc_is_told_so_in_its_own_words() {
    let api = Backend::start("api", Version::Http2, Reply::Grpc).await;
    let jobs = Backend::healthy("jobs").await;
    let spec = "action: ALLOW\nrules:\n- httpAttributes: { paths: [{ value: /greeter.Greeter/Hello, type: Exact }] }";
    let mut plan = plan(&api, &jobs).with(FILE, policy("hello", spec));
    plan.services[0].app_protocol = Some("grpc");
    let mesh = Mesh::start(WEFT, &plan).await;
    let mut connection =
        Connection::open(mesh.entrance("api"), Version::Http2).await.expect("the sidecar listens");
    for (path, code) in [("/greeter.Greeter/Hello", "0"), ("/greeter.Greeter/Bye", "7")] {
        let call = with_header(request(Method::POST, path), "content-type", "application/grpc");
        let answer = connection.send(with_header(call, "te", "trailers")).await.expect("there is an answer");
        assert_eq!(answer.status, StatusCode::OK);
        let trailers = answer.trailers.clone().unwrap_or_default();
        let status = trailers.get("grpc-status").or(answer.headers.get("grpc-status"));
        assert_eq!(status.and_then(|code| code.to_str().ok()), Some(code), "{answer:?}");
        assert_eq!(answer.header(HEADER_FAULT) == "denied", code == "7");
    }
    assert_eq!(refusals(&mesh, "default/hello", "enforce").await, 1);
}

/// Policies change under a connection that stays.
#[tokio::test]
async fn a_change_applies_to_the_next_request_of_an_open_connection() {
    let (api, jobs) = (Backend::healthy("api").await, Backend::healthy("jobs").await);
    let mesh = Mesh::start(WEFT, &plan(&api, &jobs)).await;
    let mut connection =
        Connection::open(mesh.entrance("api"), Version::Http1).await.expect("the sidecar listens");
    let changes = [
        (Some("action: DENY\nrules: [{}]"), DENIED),
        (Some("action: ALLOW\nrules: [{ sources: [{ type: Authenticated }] }]"), ALLOWED),
        (Some("action: ALLOW"), DENIED),
        (Some("action: ALLOW\nrules: [{ sources: [{ type: Network, network: 127.0.0.0/8 }] }]"), ALLOWED),
        (Some("action: ALLOW\nrules: [{ sources: [{ type: Network, network: 10.0.0.0/8 }] }]"), DENIED),
        (None, ALLOWED),
    ];
    for (spec, expected) in changes {
        match spec {
            Some(spec) => mesh.write(FILE, &policy("changing", spec)),
            None => mesh.remove(FILE),
        }
        until(&format!("{spec:?} is in force"), async || {
            let answer = connection.send(request(Method::GET, "/")).await.expect("the connection stays");
            (outcome(&answer) == expected).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn audit_lets_everything_pass_and_reports_what_it_would_have_denied() {
    let (api, jobs) = (Backend::healthy("api").await, Backend::healthy("jobs").await);
    let rules = "action: ALLOW\nrules:\n- sources: [{ type: ServiceAccount, serviceAccount: { name: jobs } }]\n  \
                 httpAttributes: { paths: [{ value: /ok }] }";
    let audit = policy("perhaps", &format!("mode: Audit\n{rules}"));
    let mesh = Mesh::start(WEFT, &plan(&api, &jobs).with(FILE, audit)).await;
    let calls = [("/ok", "jobs"), ("/other", "jobs"), ("/ok", "web"), ("/ok%2fx", "jobs"), ("//ok", "jobs")];
    let would_be = [ALLOWED, DENIED, DENIED, (400, "path_refused"), ALLOWED];
    let entrance = |caller| if caller == "web" { mesh.entrance("api") } else { mesh.exit("jobs-0", "api") };
    for (path, caller) in calls {
        assert_eq!(outcome(&get(entrance(caller), path).await), ALLOWED, "{path} of {caller}");
        assert_eq!(api.seen().last().map(|seen| seen.path.clone()).as_deref(), Some(path), "as it came");
    }
    // What has no canonical path is told with the others.
    assert_eq!(refusals(&mesh, "default/perhaps", "audit").await, 3);
    assert_eq!(refusals(&mesh, "default/perhaps", "enforce").await, 0);
    let line = logged(&mesh, "/other").await;
    assert_eq!(line["audit"], "no rule of AuthorizationPolicy default/perhaps allows it");
    assert!(line.get("fault").is_none() && line["http.response.status_code"] == 200, "{line}");

    mesh.write(FILE, &policy("perhaps", rules));
    until("it is enforced", async || {
        (outcome(&get(mesh.entrance("api"), "/ok").await) == DENIED).then_some(())
    })
    .await;
    for ((path, caller), expected) in calls.into_iter().zip(would_be) {
        assert_eq!(outcome(&get(entrance(caller), path).await), expected, "{path} of {caller}");
    }
}

#[tokio::test]
async fn a_policy_that_says_something_impossible_keeps_what_was_in_force_and_else_lets_nobody_in() {
    let (api, jobs) = (Backend::healthy("api").await, Backend::healthy("jobs").await);
    let mesh = Mesh::start(WEFT, &plan(&api, &jobs)).await;
    assert_eq!(outcome(&get(mesh.entrance("api"), "/").await), ALLOWED);
    let broken = "action: ALLOW\nrules: [{ httpAttributes: { paths: [{ value: /a/../b }] } }]";
    mesh.write(FILE, &policy("new", broken));
    until("nobody is let in", async || {
        (outcome(&get(mesh.entrance("api"), "/").await) == DENIED).then_some(())
    })
    .await;
    assert_eq!(outcome(&get(mesh.entrance("jobs"), "/").await), ALLOWED, "others are not concerned");
    let problems = get(mesh.admin(CONTROL_PLANE), "/problems").await.text();
    for part in
        ["spec.rules[0].httpAttributes.paths[0].value", "write `/b`", "AuthorizationPolicy default/new"]
    {
        assert!(problems.contains(part), "{problems}");
    }

    let open = "action: ALLOW\nrules: [{}]";
    mesh.write(FILE, &policy("new", open));
    until("it is mended", async || (outcome(&get(mesh.entrance("api"), "/").await) == ALLOWED).then_some(()))
        .await;
    // Once it was sound, its last good form stays, while the other change of the same edit comes into force.
    let denial = policy("other", "action: DENY\nrules: [{ httpAttributes: { paths: [{ value: /no }] } }]");
    mesh.write(FILE, &(policy("new", broken) + &denial));
    until("the other policy is in force", async || {
        (outcome(&get(mesh.entrance("api"), "/no").await) == DENIED).then_some(())
    })
    .await;
    assert_eq!(outcome(&get(mesh.entrance("api"), "/").await), ALLOWED);
}
