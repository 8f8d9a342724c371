//! Sticky sessions: who has been answered by an application goes there again, until it is gone.

use http::{Method, StatusCode};
use weft_api::names::HEADER_FAULT;
use weft_tests::{
    backend::{Backend, Reply},
    client::{Answer, Connection, Version, request, with_header},
    manifest,
    mesh::Mesh,
    patience::within,
    plan::{Plan, Service},
};

use crate::WEFT;

const NAMES: [&str; 4] = ["blue-1", "blue-2", "green-1", "green-2"];

/// A mesh in which the service `shop` leads to two others by halves, each of two applications without sidecars.
async fn shop(session: &str) -> (Mesh, Vec<Backend>) {
    let mut apps = Vec::new();
    for name in NAMES {
        apps.push(Backend::healthy(name).await);
    }
    let services = vec![
        Service::meshed("shop", &[]),
        Service::direct("blue", &[apps[0].address(), apps[1].address()]),
        Service::direct("green", &[apps[2].address(), apps[3].address()]),
    ];
    let rules = format!(
        "
- sessionPersistence: {session}
  retry: {{ attempts: 2 }}
  backendRefs: [{{ name: blue, port: 80 }}, {{ name: green, port: 80 }}]
"
    );
    let plan = Plan::of(services).with("route.yaml", manifest::route("shop", &rules));
    (Mesh::start(WEFT, &plan).await, apps)
}

/// Asks once, and shows this.
async fn ask(mesh: &Mesh, version: Version, shown: Option<(&'static str, &str)>) -> Answer {
    let mut connection = Connection::open(mesh.entrance("shop"), version).await.expect("the sidecar listens");
    let mut request = request(Method::GET, "/");
    if let Some((name, value)) = shown {
        request = with_header(request, name, value);
    }
    let answer = within("a request is answered", connection.send(request)).await;
    let answer = answer.expect("the connection stays");
    assert_eq!((answer.status, answer.header(HEADER_FAULT)), (StatusCode::OK, ""));
    answer
}

/// The cookie of an answer, as a browser shows it.
fn cookie(answer: &Answer) -> String {
    answer.header("set-cookie").split(';').next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_cookie_leads_back_to_the_same_application_of_the_same_backend_until_it_is_gone() {
    let (mesh, mut apps) = shop("{ sessionName: cart }").await;
    for (app, name) in apps.iter().zip(NAMES) {
        app.always(Reply::Header(200, "x-app", name));
    }
    // By chance each caller gets one of four; all have been met after so many, but for once in 10^24.
    let mut met = std::collections::BTreeMap::new();
    for _ in 0..200 {
        let answer = ask(&mesh, Version::Http1, None).await;
        met.insert(answer.header("x-app").to_owned(), cookie(&answer));
    }
    assert_eq!(met.keys().map(String::as_str).collect::<Vec<_>>(), NAMES);
    for (name, cookie) in &met {
        assert!(cookie.starts_with("cart=") && !cookie.contains("127.0.0.1"), "{cookie}");
        for version in [Version::Http1, Version::Http2].repeat(10) {
            let answer = ask(&mesh, version, Some(("cookie", cookie))).await;
            assert_eq!((answer.header("x-app"), answer.header("set-cookie")), (name.as_str(), ""));
        }
    }
    // What nobody has given is no session.
    let mut forged = met["blue-1"].clone();
    forged.pop();
    assert_ne!(ask(&mesh, Version::Http1, Some(("cookie", &forged))).await.header("set-cookie"), "");

    apps.remove(0).stop().await;
    let answer = ask(&mesh, Version::Http1, Some(("cookie", &met["blue-1"]))).await;
    let (name, next) = (answer.header("x-app").to_owned(), cookie(&answer));
    assert_ne!(name, "blue-1");
    assert_eq!(ask(&mesh, Version::Http1, Some(("cookie", &next))).await.header("x-app"), name);
}

#[tokio::test]
async fn a_header_leads_back_too() {
    let (mesh, apps) = shop("{ type: Header, sessionName: x-cart }").await;
    for (app, name) in apps.iter().zip(NAMES) {
        app.always(Reply::Header(200, "x-app", name));
    }
    let first = ask(&mesh, Version::Http1, None).await;
    assert_eq!(first.header("set-cookie"), "");
    let (name, token) = (first.header("x-app").to_owned(), first.header("x-cart").to_owned());
    for version in [Version::Http1, Version::Http2].repeat(20) {
        let answer = ask(&mesh, version, Some(("x-cart", &token))).await;
        assert_eq!((answer.header("x-app"), answer.header("x-cart")), (name.as_str(), ""));
    }
}
