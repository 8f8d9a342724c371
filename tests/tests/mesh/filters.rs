//! What routes do besides sending requests on: through both sidecars, by both versions of HTTP.

use http::{Method, StatusCode};
use weft_api::names::HEADER_FAULT;
use weft_tests::{
    backend::{Backend, Reply, Seen},
    client::{AUTHORITY, Answer, Connection, Version, request, send, with_header},
    manifest,
    mesh::Mesh,
    patience::within,
    plan::{Plan, Service},
};

use crate::WEFT;

const VERSIONS: [Version; 2] = [Version::Http1, Version::Http2];

/// A mesh with one service, `shop`, whose rules lead to the application behind `next`.
async fn shop(rules: &str) -> (Mesh, Backend) {
    let next = Backend::healthy("next").await;
    let services = vec![Service::meshed("shop", &[]), Service::meshed("next", &[next.address()])];
    let plan = Plan::of(services).with("route.yaml", manifest::route("shop", rules));
    (Mesh::start(WEFT, &plan).await, next)
}

async fn ask(mesh: &Mesh, version: Version, path: &str, headers: &[(&'static str, &'static str)]) -> Answer {
    let mut connection = Connection::open(mesh.entrance("shop"), version).await.expect("the sidecar listens");
    let request = headers
        .iter()
        .fold(request(Method::GET, path), |request, (name, value)| with_header(request, name, value));
    within("a request is answered", connection.send(request)).await.expect("the connection stays")
}

fn last(backend: &Backend) -> Seen {
    backend.seen().pop().expect("the application was asked")
}

#[tokio::test]
async fn headers_are_edited_on_both_ways_by_rule_and_by_backend() {
    let (mesh, next) = shop(
        "
- filters:
  - type: RequestHeaderModifier
    requestHeaderModifier:
      set: [{ name: X-Env, value: 100% canary }]
      add: [{ name: x-hop, value: rule }]
      remove: [x-debug]
  - type: ResponseHeaderModifier
    responseHeaderModifier:
      set: [{ name: x-answered, value: by rule }]
      remove: [X-Secret]
  backendRefs:
  - name: next
    port: 80
    filters:
    - type: RequestHeaderModifier
      requestHeaderModifier: { add: [{ name: x-hop, value: backend }] }
    - type: ResponseHeaderModifier
      responseHeaderModifier: { set: [{ name: x-backend, value: next }] }
",
    )
    .await;
    next.always(Reply::Header(200, "x-secret", "of the application"));
    for version in VERSIONS {
        let sent = [("x-env", "mine"), ("x-hop", "caller"), ("x-debug", "1"), ("x-kept", "k")];
        let answer = ask(&mesh, version, "/", &sent).await;
        let seen = last(&next);
        assert_eq!(seen.header("x-env"), "100% canary", "{version:?}");
        let hops: Vec<_> = seen.headers.get_all("x-hop").iter().collect();
        assert_eq!(hops, ["caller", "rule", "backend"], "{version:?}");
        assert_eq!((seen.header("x-debug"), seen.header("x-kept")), ("", "k"), "{version:?}");
        assert_eq!((answer.header("x-answered"), answer.header("x-backend")), ("by rule", "next"));
        assert_eq!(answer.header("x-secret"), "", "{version:?}");
    }
    // Whoever names a field in `Connection` gives up its own, and not what the route says.
    ask(&mesh, Version::Http1, "/", &[("connection", "x-env, x-kept"), ("x-kept", "k")]).await;
    assert_eq!((last(&next).header("x-env"), last(&next).header("x-kept")), ("100% canary", ""));
    next.first([Reply::Header(200, "connection", "x-answered")]);
    assert_eq!(ask(&mesh, Version::Http1, "/", &[]).await.header("x-answered"), "by rule");
}

#[tokio::test]
async fn redirects_say_where_and_ask_nobody() {
    let (mesh, next) = shop(
        "
- matches: [{ path: { value: /secure } }]
  filters: [{ type: RequestRedirect, requestRedirect: { scheme: https, statusCode: 301 } }]
- matches: [{ path: { value: /host } }]
  filters: [{ type: RequestRedirect, requestRedirect: { hostname: other.example, port: 8080 } }]
- matches: [{ path: { value: /old } }]
  filters:
  - type: RequestRedirect
    requestRedirect: { statusCode: 308, path: { type: ReplacePrefixMatch, replacePrefixMatch: /new/ } }
- matches: [{ path: { value: /strip } }]
  filters:
  - type: RequestRedirect
    requestRedirect: { statusCode: 307, path: { type: ReplacePrefixMatch, replacePrefixMatch: / } }
  - type: ResponseHeaderModifier
    responseHeaderModifier: { set: [{ name: cache-control, value: no-store }] }
- matches: [{ path: { type: Exact, value: /one } }]
  filters:
  - type: RequestRedirect
    requestRedirect: { statusCode: 303, path: { type: ReplaceFullPath, replaceFullPath: /two } }
",
    )
    .await;
    for (path, status, location) in [
        ("/secure/a?b=c", 301, format!("https://{AUTHORITY}/secure/a?b=c")),
        ("/host", 302, "http://other.example:8080/host".to_owned()),
        ("/old", 308, format!("http://{AUTHORITY}/new")),
        ("/old/a/?b", 308, format!("http://{AUTHORITY}/new/a/?b")),
        ("/strip/a", 307, format!("http://{AUTHORITY}/a")),
        ("/strip", 307, format!("http://{AUTHORITY}/")),
        ("/one?a", 303, format!("http://{AUTHORITY}/two?a")),
    ] {
        for version in VERSIONS {
            let answer = ask(&mesh, version, path, &[]).await;
            assert_eq!((answer.status.as_u16(), answer.header("location")), (status, &*location), "{path}");
            assert_eq!(answer.header(HEADER_FAULT), "", "{path}");
        }
    }
    assert_eq!(ask(&mesh, Version::Http1, "/strip", &[]).await.header("cache-control"), "no-store");
    assert_eq!(next.count(), 0);
}

#[tokio::test]
async fn rewrites_change_what_the_application_sees() {
    let (mesh, next) = shop("
- matches: [{ path: { value: /prefix/ } }]
  filters: [{ type: URLRewrite, urlRewrite: { path: { type: ReplacePrefixMatch, replacePrefixMatch: /to/ } } }]
  backendRefs: [{ name: next, port: 80 }]
- matches: [{ path: { value: /strip } }]
  filters: [{ type: URLRewrite, urlRewrite: { path: { type: ReplacePrefixMatch, replacePrefixMatch: '' } } }]
  backendRefs: [{ name: next, port: 80 }]
- matches: [{ path: { value: /full } }]
  filters: [{ type: URLRewrite, urlRewrite: { path: { type: ReplaceFullPath, replaceFullPath: /one } } }]
  backendRefs: [{ name: next, port: 80 }]
- matches: [{ path: { value: /host } }]
  filters: [{ type: URLRewrite, urlRewrite: { hostname: other.example } }]
  backendRefs: [{ name: next, port: 80 }]
- filters: [{ type: URLRewrite, urlRewrite: { path: { type: ReplacePrefixMatch, replacePrefixMatch: /all } } }]
  backendRefs: [{ name: next, port: 80 }]
")
    .await;
    for (path, host, seen) in [
        ("/prefix/a?b=c", AUTHORITY, "/to/a?b=c"),
        ("/prefix", AUTHORITY, "/to"),
        ("/prefix/", AUTHORITY, "/to/"),
        ("/prefixed", AUTHORITY, "/all/prefixed"),
        ("/strip/a", AUTHORITY, "/a"),
        ("/strip/", AUTHORITY, "/"),
        ("/strip?a", AUTHORITY, "/?a"),
        ("/full/a?b", AUTHORITY, "/one?b"),
        ("/host/a", "other.example", "/host/a"),
        ("/", AUTHORITY, "/all/"),
    ] {
        for version in VERSIONS {
            let answer = ask(&mesh, version, path, &[]).await;
            assert_eq!(answer.status, StatusCode::OK, "{path}");
            let found = last(&next);
            assert_eq!((found.path.as_str(), found.header("host")), (seen, host), "{path} {version:?}");
        }
    }
}

#[tokio::test]
async fn pages_of_other_origins_may_ask_as_the_route_says() {
    let (mesh, next) = shop(
        "
- filters:
  - type: CORS
    cors:
      allowOrigins: ['https://*.shop.example', 'http://localhost:8080']
      allowMethods: [PUT]
      allowHeaders: ['*']
      exposeHeaders: [x-total]
      allowCredentials: true
  backendRefs: [{ name: next, port: 80 }]
",
    )
    .await;
    next.always(Reply::Header(200, "access-control-allow-origin", "*"));
    let preflight = async |origin: &'static str| {
        let asked = [
            ("origin", origin),
            ("access-control-request-method", "PUT"),
            ("access-control-request-headers", "x-token"),
        ];
        let request = asked
            .iter()
            .fold(request(Method::OPTIONS, "/"), |request, (name, value)| with_header(request, name, value));
        send(mesh.entrance("shop"), request).await
    };
    let allowed = preflight("https://a.shop.example").await;
    assert_eq!(allowed.status, StatusCode::NO_CONTENT);
    for (header, value) in [
        ("allow-origin", "https://a.shop.example"),
        ("allow-credentials", "true"),
        ("allow-methods", "PUT"),
        ("allow-headers", "x-token"),
        ("max-age", "5"),
    ] {
        assert_eq!(allowed.header(&format!("access-control-{header}")), value, "{header}");
    }
    let refused = preflight("https://other.example").await;
    assert_eq!(refused.status, StatusCode::NO_CONTENT);
    assert!(refused.headers.keys().all(|name| !name.as_str().starts_with("access-control")), "{refused:?}");
    assert_eq!(next.count(), 0, "the application is not asked");

    let answer = ask(&mesh, Version::Http2, "/", &[("origin", "http://localhost:8080")]).await;
    assert_eq!(answer.header("access-control-allow-origin"), "http://localhost:8080");
    assert_eq!(answer.header("access-control-expose-headers"), "x-total");
    let answer = ask(&mesh, Version::Http1, "/", &[("origin", "https://other.example")]).await;
    assert_eq!((answer.text().as_str(), answer.header("access-control-allow-origin")), ("next", ""));
    // `OPTIONS` that is no preflight is a request like others.
    let options = send(mesh.entrance("shop"), request(Method::OPTIONS, "/")).await;
    assert_eq!((options.text().as_str(), next.count()), ("next", 3));
}
