//! Every hop is mTLS, both ends know each other, and nobody else gets in.

use std::{net::Ipv4Addr, time::SystemTime};

use http::{Method, StatusCode};
use serde_json::Value;
use weft_api::names::{DEFAULT_TRUST_DOMAIN, HEADER_ATTEMPT, HEADER_CLIENT_CERT, HEADER_FAULT};
use weft_identity::authority::Authority;
use weft_tests::{
    backend::Backend,
    client::{get, request, send, with_header},
    mesh::{Mesh, spiffe_id},
    patience::until,
    plan::{Plan, Service, Way},
    relay::Relay,
    stranger::Stranger,
};

use crate::WEFT;

const FORGED: &str =
    "By=spiffe://cluster.local/ns/default/sa/api;URI=spiffe://cluster.local/ns/default/sa/admin";

/// The one line of an access log about `path`.
async fn line(mesh: &Mesh, process: &str, path: &str) -> Value {
    let what = format!("{process} logs {path}");
    until(&what, async || mesh.access_log(process).into_iter().find(|line| line["url.path"] == path)).await
}

#[tokio::test]
async fn both_ends_of_a_hop_know_each_other_and_tell_the_application() {
    let app = Backend::healthy("api").await;
    let mesh = Mesh::start(WEFT, &Plan::of(vec![Service::meshed("api", &[app.address()])])).await;
    let forged = with_header(request(Method::GET, "/hello?token=hidden"), HEADER_CLIENT_CERT, FORGED);
    let answer = send(mesh.entrance("api"), forged).await;
    assert_eq!((answer.status, answer.text().as_str()), (StatusCode::OK, "api"));

    let (web, api) = (spiffe_id("web"), spiffe_id("api"));
    let out = line(&mesh, "web-proxy", "/hello").await;
    let expected = [("direction", "outbound"), ("peer.spiffe", &api), ("local.spiffe", &web)];
    for (field, value) in expected {
        assert_eq!(out[field], value, "{out}");
    }
    assert_eq!(out["tls"], true, "{out}");
    let into = line(&mesh, "api-0-proxy", "/hello").await;
    let expected = [("direction", "inbound"), ("peer.spiffe", &web), ("local.spiffe", &api)];
    for (field, value) in expected {
        assert_eq!(into[field], value, "{into}");
    }
    assert_eq!(into["tls"], true, "{into}");

    let [seen] = app.seen().try_into().expect("the application got one request");
    let told: Vec<_> = seen.headers.get_all(HEADER_CLIENT_CERT).iter().collect();
    assert_eq!(told, [format!("By={api};URI={web}").as_str()]);
}

#[tokio::test]
async fn plaintext_brings_nothing_into_a_strict_port() {
    let app = Backend::healthy("api").await;
    let mesh = Mesh::start(WEFT, &Plan::of(vec![Service::meshed("api", &[app.address()])])).await;
    let answer = get(mesh.inbound("api-0"), "/").await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert_eq!(answer.header(HEADER_FAULT), "plaintext_refused");
    assert_eq!(app.count(), 0, "the application saw the request");
}

#[tokio::test]
async fn what_a_plaintext_caller_says_about_itself_is_not_believed() {
    let app = Backend::healthy("api").await;
    let service = Service::reached("api", &[app.address()], Way::Permissive);
    let mesh = Mesh::start(WEFT, &Plan::of(vec![service])).await;
    let forged = with_header(request(Method::GET, "/"), HEADER_CLIENT_CERT, FORGED);
    let answer = send(mesh.inbound("api-0"), with_header(forged, HEADER_ATTEMPT, "7")).await;
    assert_eq!(answer.status, StatusCode::OK);
    let [seen] = app.seen().try_into().expect("the application got one request");
    assert_eq!((seen.header(HEADER_CLIENT_CERT), seen.header(HEADER_ATTEMPT)), ("", ""));
}

#[tokio::test]
async fn only_a_certificate_of_the_mesh_opens_the_door() {
    let app = Backend::healthy("api").await;
    let mesh = Mesh::start(WEFT, &Plan::of(vec![Service::meshed("api", &[app.address()])])).await;
    let (door, api, web) = (mesh.inbound("api-0"), spiffe_id("api"), spiffe_id("web"));
    let trust_domain = || DEFAULT_TRUST_DOMAIN.parse().expect("the default is a trust domain");

    let nobody = Stranger::without_certificate(&mesh.roots());
    assert!(nobody.get(door, &api, "/").await.is_err(), "let in without a certificate");
    let foreign = Authority::create(trust_domain(), SystemTime::now()).expect("there is randomness");
    let forger = Stranger::certified(&mesh.roots(), &foreign, &web);
    assert!(forger.get(door, &api, "/").await.is_err(), "let in with a certificate of another authority");
    assert_eq!(app.count(), 0, "the application saw a stranger's request");

    // The same with the mesh's own authority: what was refused above was refused for its signature.
    let (certificate, key) = (mesh.read_state("authority/ca.crt"), mesh.read_state("authority/ca.key"));
    let own = Authority::load(trust_domain(), &certificate, &key).expect("the control plane wrote it");
    let member = Stranger::certified(&mesh.roots(), &own, &web);
    let answer = member.get(door, &api, "/").await.expect("a member is let in");
    assert_eq!((answer.status, app.count()), (StatusCode::OK, 1));
}

#[tokio::test]
async fn a_peer_of_the_mesh_that_is_somebody_else_is_not_talked_to() {
    let (api, other) = (Backend::healthy("api").await, Backend::healthy("other").await);
    let services = vec![
        Service::reached("api", &[api.address()], Way::SeenAt(Ipv4Addr::new(127, 0, 0, 2).into())),
        Service::meshed("other", &[other.address()]),
    ];
    let mesh = Mesh::start(WEFT, &Plan::of(services)).await;
    // Whoever can bend the network leads calls for `api` to `other`, whose certificate is as good.
    let seen_at = (Ipv4Addr::new(127, 0, 0, 2), mesh.inbound("api-0").port()).into();
    let relay = Relay::start(seen_at, mesh.inbound("other-0")).await;
    let answer = get(mesh.entrance("api"), "/").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.header(HEADER_FAULT), "tls_failed");
    assert!(!relay.copy().is_empty(), "the call did not take the bent way");
    assert_eq!((api.count(), other.count()), (0, 0));
}
