//! A request that nobody has processed goes on to another endpoint, without any policy: what comes and goes is not noticed.

use bytes::Bytes;
use http::{Method, StatusCode};
use weft_api::names::HEADER_FAULT;
use weft_tests::{
    backend::{Backend, Reply},
    client::{Version, get, request, send},
    mesh::Mesh,
    plan::{Plan, Service},
    port,
};

use crate::WEFT;

/// Requests that are made: more than a breaker of endpoints lets fail.
const REQUESTS: usize = 30;
/// More than is kept of a body without a policy.
const LARGE: usize = 1024 * 1024;

fn post(bytes: usize) -> http::Request<Bytes> {
    let mut post = request(Method::POST, "/");
    *post.body_mut() = vec![b'x'; bytes].into();
    post
}

#[tokio::test]
async fn an_endpoint_where_nobody_listens_costs_no_request() {
    let app = Backend::start("well", Version::Http1, Reply::Echo).await;
    let mesh =
        Mesh::start(WEFT, &Plan::of(vec![Service::direct("api", &[port::free(), app.address()])])).await;
    for _ in 0..REQUESTS {
        assert_eq!(get(mesh.entrance("api"), "/").await.status, StatusCode::OK);
        // Not a byte of a body is read before there is a connection.
        let answer = send(mesh.entrance("api"), post(LARGE)).await;
        assert_eq!((answer.status, answer.body.len()), (StatusCode::OK, LARGE));
    }
    assert_eq!(app.count(), 2 * REQUESTS);
}

#[tokio::test]
async fn a_sidecar_whose_application_has_gone_costs_no_request() {
    let app = Backend::start("well", Version::Http1, Reply::Echo).await;
    let mesh =
        Mesh::start(WEFT, &Plan::of(vec![Service::meshed("api", &[port::free(), app.address()])])).await;
    for _ in 0..REQUESTS {
        assert_eq!(get(mesh.entrance("api"), "/").await.status, StatusCode::OK);
        let answer = send(mesh.entrance("api"), post(1000)).await;
        assert_eq!((answer.status, answer.body.len()), (StatusCode::OK, 1000));
    }
    assert_eq!(app.count(), 2 * REQUESTS);
}

#[tokio::test]
async fn where_there_is_no_other_the_answer_says_why() {
    for service in [Service::direct("api", &[port::free()]), Service::meshed("api", &[port::free()])] {
        let mesh = Mesh::start(WEFT, &Plan::of(vec![service])).await;
        let answer = get(mesh.entrance("api"), "/").await;
        let told = (answer.status, answer.header(HEADER_FAULT));
        assert_eq!(told, (StatusCode::SERVICE_UNAVAILABLE, "connect_failed"));
    }
}
