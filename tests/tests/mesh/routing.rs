//! Where a request goes: matches, weights, and what is answered where there is nobody.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use weft_api::names::HEADER_FAULT;
use weft_tests::{
    backend::Backend,
    client::{Connection, Version, request, send, with_header},
    manifest,
    mesh::Mesh,
    patience::within,
    plan::{Plan, Service},
};

use crate::WEFT;

/// Rules of the service `shop`; whatever none of them matches gets 404.
const RULES: &str = "
- matches: [{ path: { type: Exact, value: /exact } }]
  backendRefs: [{ name: green, port: 80 }]
- matches: [{ path: { type: PathPrefix, value: /prefix } }]
  backendRefs: [{ name: green, port: 80 }]
- matches: [{ path: { type: RegularExpression, value: '/v[0-9]+/.*' } }]
  backendRefs: [{ name: green, port: 80 }]
- matches: [{ path: { value: /header }, headers: [{ name: X-Team, value: green }] }]
  backendRefs: [{ name: green, port: 80 }]
- matches: [{ path: { value: /query }, queryParams: [{ name: team, value: green }] }]
  backendRefs: [{ name: green, port: 80 }]
- matches: [{ path: { value: /method }, method: PUT }]
  backendRefs: [{ name: green, port: 80 }]
- matches: [{ path: { value: /header } }, { path: { value: /query } }, { path: { value: /method } }]
  backendRefs: [{ name: blue, port: 80 }]
- matches: [{ path: { value: /all } }]
  backendRefs: [{ name: blue, port: 80, weight: 100 }, { name: green, port: 80, weight: 0 }]
- matches: [{ path: { value: /half } }]
  backendRefs: [{ name: blue, port: 80, weight: 50 }, { name: green, port: 80, weight: 50 }]
- matches: [{ path: { value: /gone } }]
  backendRefs: [{ name: blue, port: 80, weight: 1 }, { name: nowhere, port: 80, weight: 1 }]
- matches: [{ path: { value: /empty } }]
";

struct Shop {
    mesh: Mesh,
    blue: Backend,
    green: Backend,
}

async fn shop() -> Shop {
    let (blue, green) = (Backend::healthy("blue").await, Backend::healthy("green").await);
    let services = vec![
        Service::meshed("shop", &[]),
        Service::meshed("blue", &[blue.address()]),
        Service::meshed("green", &[green.address()]),
    ];
    let plan = Plan::of(services).with("route.yaml", manifest::route("shop", RULES));
    Shop { mesh: Mesh::start(WEFT, &plan).await, blue, green }
}

#[tokio::test]
async fn the_first_rule_that_matches_decides() {
    // Whole, because the applications end with it.
    let shop = shop().await;
    let get = |path: &str| request(Method::GET, path);
    let green = |request| with_header(request, "x-team", "green");
    let table: [(Request<Bytes>, &str); 17] = [
        (get("/exact"), "green"),
        (get("/exact/more"), "no_route"),
        (get("/prefix"), "green"),
        (get("/prefix/more"), "green"),
        (get("/prefixed"), "no_route"),
        (get("/v12/more"), "green"),
        (get("/vx/more"), "no_route"),
        (green(get("/header")), "green"),
        (with_header(get("/header"), "x-team", "red"), "blue"),
        (get("/header"), "blue"),
        (get("/query?a=b&team=green"), "green"),
        (get("/query?team=red"), "blue"),
        (request(Method::PUT, "/method"), "green"),
        (get("/method"), "blue"),
        (get("/"), "no_route"),
        (green(get("/elsewhere?team=green")), "no_route"),
        (get("/empty"), "backend_missing"),
    ];
    for (request, expected) in table {
        let what = format!("{} {} {:?}", request.method(), request.uri(), request.headers());
        let answer = send(shop.mesh.entrance("shop"), request).await;
        let got = match answer.status {
            StatusCode::OK => answer.text(),
            StatusCode::NOT_FOUND | StatusCode::INTERNAL_SERVER_ERROR => {
                answer.header(HEADER_FAULT).to_owned()
            }
            status => panic!("{what}: {status}"),
        };
        assert_eq!(got, expected, "{what}");
    }
}

/// How many of `requests` for `path` ended in which way: body of a 200, or fault.
async fn shares(mesh: &Mesh, path: &str, requests: u32) -> BTreeMap<String, u32> {
    let mut connection =
        Connection::open(mesh.entrance("shop"), Version::Http1).await.expect("the sidecar listens");
    let mut shares = BTreeMap::new();
    for _ in 0..requests {
        let answer = within("a request is answered", connection.send(request(Method::GET, path))).await;
        let answer = answer.expect("the connection stays");
        let end = match answer.status {
            StatusCode::OK => answer.text(),
            status => format!("{} {}", status.as_u16(), answer.header(HEADER_FAULT)),
        };
        *shares.entry(end).or_default() += 1;
    }
    shares
}

/// Asserts that `found` of `requests` is what a fair coin gives, within four standard deviations: sqrt(n * p * (1 - p)).
/// A fair coin misses that once in 16,000 times.
fn assert_half(found: u32, requests: u32) {
    let (found, requests) = (f64::from(found), f64::from(requests));
    let sigma = (requests * 0.25).sqrt();
    assert!((found - requests / 2.0).abs() <= 4.0 * sigma, "{found} of {requests} is not half");
}

#[tokio::test]
async fn weights_are_kept() {
    let Shop { mesh, blue, green } = shop().await;
    assert_eq!(shares(&mesh, "/all", 100).await, BTreeMap::from([("blue".to_owned(), 100)]));
    assert_eq!((blue.count(), green.count()), (100, 0));

    let half = shares(&mesh, "/half", 1000).await;
    assert_eq!(half.keys().collect::<Vec<_>>(), ["blue", "green"]);
    assert_half(half["blue"], 1000);

    // The share of a backend that does not exist is not given to the others (Gateway API, HTTPBackendRef).
    let gone = shares(&mesh, "/gone", 400).await;
    assert_eq!(gone.keys().collect::<Vec<_>>(), ["500 backend_missing", "blue"]);
    assert_half(gone["blue"], 400);
}
