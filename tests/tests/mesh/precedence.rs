//! Which of several rules takes a request that more than one of them would take (Gateway API, `HTTPRouteRule.matches`).

use std::fmt::Write as _;

use http::Method;
use weft_tests::{
    backend::Backend,
    client::{Connection, Version, request, with_header},
    manifest::SERVICE_PORT,
    mesh::Mesh,
    patience::within,
    plan::{Plan, Service},
};

use crate::WEFT;

/// Name and age of a route, and the match of each of its rules by the rule's name.
type Route = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

/// The less specific stands first, so that the order of writing decides nothing but what is left open.
const ROUTES: [Route; 4] = [
    (
        "b-old",
        "2026-01-01T00:00:00Z",
        &[
            ("everything", "{}"),
            ("prefix", "{ path: { value: /a } }"),
            ("longer prefix", "{ path: { value: /a/b/ } }"),
            ("method", "{ path: { value: /a/b }, method: PUT }"),
            ("parameter", "{ path: { value: /a/b }, queryParams: [{ name: p, value: '1' }] }"),
            (
                "two parameters",
                "{ path: { value: /a/b }, queryParams: [{ name: p, value: '1' }, { name: q, value: '2' }] }",
            ),
            ("header", "{ path: { value: /a/b }, headers: [{ name: h, value: '1' }] }"),
            (
                "two headers",
                "{ path: { value: /a/b }, headers: [{ name: h, value: '1' }, \
                 { name: i, type: RegularExpression, value: '[0-9]' }] }",
            ),
            ("expression", "{ path: { type: RegularExpression, value: '/a/b/[0-9]+' } }"),
            ("longer expression", "{ path: { type: RegularExpression, value: '/a/b/[0-9][0-9]+' } }"),
            ("exact", "{ path: { type: Exact, value: /a/b/12 } }"),
            ("first of two", "{ path: { value: /two } }"),
            ("second of two", "{ path: { value: /two } }"),
        ],
    ),
    (
        "a-young",
        "2026-02-01T00:00:00Z",
        &[("younger", "{ path: { value: /a } }"), ("young but specific", "{ path: { value: /a/c } }")],
    ),
    ("d-later", "2026-03-01T00:00:00Z", &[("later in the alphabet", "{ path: { value: /name } }")]),
    ("c-sooner", "2026-03-01T00:00:00Z", &[("sooner in the alphabet", "{ path: { value: /name } }")]),
];

/// The routes as a file. Each rule says by a header of the response that it was the one.
fn routes() -> String {
    let mut text = String::new();
    for (name, created, rules) in ROUTES {
        let _ = write!(
            text,
            "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\n\
             metadata: {{ name: {name}, creationTimestamp: '{created}' }}\nspec:\n  \
             parentRefs: [{{ group: '', kind: Service, name: shop }}]\n  rules:\n"
        );
        for (rule, one) in rules {
            let _ = write!(
                text,
                "  - matches: [{one}]\n    filters:\n    - type: ResponseHeaderModifier\n      \
                 responseHeaderModifier: {{ set: [{{ name: x-rule, value: {rule} }}] }}\n    \
                 backendRefs: [{{ name: app, port: {SERVICE_PORT} }}]\n"
            );
        }
    }
    text
}

/// Method, target, headers `h` and `i`, and the rule that takes it.
const REQUESTS: [(&str, &str, &str, &str, &str); 24] = [
    ("GET", "/", "", "", "everything"),
    ("GET", "/ab", "", "", "everything"),
    ("GET", "/a", "", "", "prefix"),
    ("GET", "/a/", "", "", "prefix"),
    ("GET", "/a/bc", "", "", "prefix"),
    ("GET", "/a/c/d", "", "", "young but specific"),
    ("GET", "/a/b", "", "", "longer prefix"),
    ("GET", "/a/b/", "", "", "longer prefix"),
    ("GET", "/a/b/x", "", "", "longer prefix"),
    ("PUT", "/a/b/x", "", "", "method"),
    ("PUT", "/a", "", "", "prefix"),
    // A method counts more than headers, headers more than parameters.
    ("PUT", "/a/b/x?p=1&q=2", "1", "2", "method"),
    ("GET", "/a/b/x?p=1&q=2", "1", "", "header"),
    ("GET", "/a/b/x?p=1&q=2", "1", "2", "two headers"),
    ("GET", "/a/b/x", "1", "x", "header"),
    ("GET", "/a/b/x", "2", "2", "longer prefix"),
    ("GET", "/a/b/x?p=1", "", "", "parameter"),
    ("GET", "/a/b/x?q=2&p=1", "", "", "two parameters"),
    ("GET", "/a/b/x?p=2&p=1", "", "", "longer prefix"),
    // Paths count more than all else.
    ("PUT", "/a/b/1", "1", "2", "expression"),
    ("PUT", "/a/b/123", "1", "2", "longer expression"),
    ("PUT", "/a/b/12", "1", "2", "exact"),
    ("GET", "/two", "", "", "first of two"),
    ("GET", "/name", "", "", "sooner in the alphabet"),
];

#[tokio::test]
async fn the_most_specific_match_decides_and_then_age_name_and_order() {
    let app = Backend::healthy("app").await;
    let services = vec![Service::meshed("shop", &[]), Service::meshed("app", &[app.address()])];
    let mesh = Mesh::start(WEFT, &Plan::of(services).with("routes.yaml", routes())).await;
    for version in [Version::Http1, Version::Http2] {
        let mut connection =
            Connection::open(mesh.entrance("shop"), version).await.expect("the sidecar listens");
        for (method, target, h, i, rule) in REQUESTS {
            let method: Method = method.parse().expect("a method");
            let asked = with_header(with_header(request(method, target), "h", h), "i", i);
            let answer = within("a request is answered", connection.send(asked)).await;
            let answer = answer.expect("the connection stays");
            assert_eq!(answer.header("x-rule"), rule, "{target} h={h} i={i} {version:?}");
        }
    }
}
