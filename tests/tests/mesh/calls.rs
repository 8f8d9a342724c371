//! Where a call of gRPC goes: by service, method and headers.

use http::Method;
use weft_api::names::HEADER_FAULT;
use weft_tests::{
    backend::{Backend, Reply},
    client::{Connection, Version, request, with_header},
    manifest,
    mesh::Mesh,
    patience::within,
    plan::{Plan, Service},
};

use crate::WEFT;

/// Calls of the service `shop`; an `HTTPRoute` for the same port gives way to them.
const CALLS: &str = "
- matches: [{ method: { service: shop.v1.Cart } }]
  backendRefs: [{ name: blue, port: 80 }]
- matches:
  - method: { service: shop.v1.Cart, method: Add }
  - { method: { service: shop.v1.Cart }, headers: [{ name: x-beta, value: 'yes' }] }
  - method: { method: Reset }
  - method: { type: RegularExpression, service: 'shop[.]v2[.].*', method: 'Get.*' }
  filters:
  - type: RequestHeaderModifier
    requestHeaderModifier: { set: [{ name: x-by, value: route }] }
  backendRefs: [{ name: green, port: 80 }]
- matches: [{ method: { service: shop.v1.Gone } }]
  backendRefs: [{ name: nowhere, port: 80 }]
- matches: [{ method: { service: shop.v1.Empty } }]
";
const REQUESTS: &str = "- backendRefs: [{ name: blue, port: 80 }]";

#[tokio::test]
async fn calls_go_by_service_method_and_headers() {
    let start = |name| Backend::start(name, Version::Http2, Reply::Status(200));
    let (blue, green) = (start("blue").await, start("green").await);
    let mut services = vec![
        Service::meshed("shop", &[]),
        Service::meshed("blue", &[blue.address()]),
        Service::meshed("green", &[green.address()]),
    ];
    for service in &mut services {
        service.app_protocol = Some("grpc");
    }
    let plan = Plan::of(services)
        .with("calls.yaml", manifest::grpc_route("shop", CALLS))
        .with("requests.yaml", manifest::route("shop", REQUESTS));
    let mesh = Mesh::start(WEFT, &plan).await;
    let mut connection =
        Connection::open(mesh.entrance("shop"), Version::Http2).await.expect("the sidecar listens");
    for (path, beta, expected) in [
        ("/shop.v1.Cart/Add", "", "200 green"),
        ("/shop.v1.Cart/Remove", "", "200 blue"),
        ("/shop.v1.Cart/Remove", "yes", "200 green"),
        ("/shop.v1.Cart/Reset", "", "200 blue"),
        ("/other.Service/Reset", "", "200 green"),
        ("/shop.v2.Cart/GetAll", "", "200 green"),
        ("/shop.v2.Cart/Add", "", "404 no_route"),
        ("/shop.v1.Carts/Add", "", "404 no_route"),
        ("/", "", "404 no_route"),
        ("/shop.v1.Gone/Get", "", "503 backend_missing"),
        ("/shop.v1.Empty/Get", "", "503 backend_missing"),
    ] {
        let call = with_header(request(Method::POST, path), "content-type", "application/grpc");
        let answer = within("a call is answered", connection.send(with_header(call, "x-beta", beta))).await;
        let answer = answer.expect("the connection stays");
        let who = if answer.status == 200 { answer.text() } else { answer.header(HEADER_FAULT).to_owned() };
        assert_eq!(format!("{} {who}", answer.status.as_u16()), expected, "{path} {beta}");
    }
    assert!(green.seen().iter().all(|seen| seen.header("x-by") == "route"));
    assert!(blue.seen().iter().all(|seen| seen.header("x-by").is_empty()));
}
