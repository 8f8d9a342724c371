//! Which application a request goes to: as a LoadBalancerPolicy says, by the zone of the caller, and by a hash until its
//! application is gone.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use weft_api::names::HEADER_FAULT;
use weft_runtime::Tasks;
use weft_tests::{
    backend::{Backend, Gate, Reply},
    client::{Answer, Connection, Version, request, try_get, with_header},
    manifest,
    mesh::Mesh,
    patience::{PATIENCE, until, within},
    plan::{Plan, Service},
};

use crate::WEFT;

const NAMES: [&str; 4] = ["a", "b", "c", "d"];
/// The file with the policy.
const POLICY: &str = "policy.yaml";
/// Callers that are told apart by a hash.
const USERS: u32 = 40;

fn policy(spec: &str) -> String {
    manifest::policy("LoadBalancerPolicy", "api", spec)
}

/// A service with four applications, without sidecars, each of which answers its name.
async fn four() -> (Vec<Backend>, Service) {
    let mut apps = Vec::new();
    for name in NAMES {
        apps.push(Backend::healthy(name).await);
    }
    let addresses: Vec<_> = apps.iter().map(Backend::address).collect();
    (apps, Service::direct("api", &addresses))
}

async fn api(spec: &str) -> (Mesh, Vec<Backend>) {
    let (apps, service) = four().await;
    let plan = Plan::of(vec![service]).with(POLICY, policy(spec));
    (Mesh::start(WEFT, &plan).await, apps)
}

/// Asks on a connection of its own, and is answered well.
async fn ask(mesh: &Mesh, version: Version, request: Request<Bytes>) -> Answer {
    let mut connection = Connection::open(mesh.entrance("api"), version).await.expect("the sidecar listens");
    let answer = within("a request is answered", connection.send(request)).await;
    let answer = answer.expect("the connection stays");
    assert_eq!((answer.status, answer.header(HEADER_FAULT)), (StatusCode::OK, ""));
    answer
}

async fn who(mesh: &Mesh) -> String {
    ask(mesh, Version::Http1, request(Method::GET, "/")).await.text()
}

/// How often each application has answered.
async fn shares(mesh: &Mesh, requests: u32) -> BTreeMap<String, u32> {
    let mut shares = BTreeMap::new();
    for _ in 0..requests {
        *shares.entry(who(mesh).await).or_default() += 1;
    }
    shares
}

/// Where each user's requests go, by the header that tells users apart. All of one go to one place.
async fn places(mesh: &Mesh) -> Vec<String> {
    let mut places = Vec::new();
    for user in 0..USERS {
        let mut met = BTreeSet::new();
        for version in [Version::Http1, Version::Http2, Version::Http1] {
            let request = with_header(request(Method::GET, "/"), "x-user", &format!("user-{user}"));
            met.insert(ask(mesh, version, request).await.text());
        }
        assert_eq!(met.len(), 1, "user {user} met {met:?}");
        places.extend(met);
    }
    places
}

#[tokio::test]
async fn by_a_hash_a_user_meets_one_application_and_only_those_of_one_that_is_gone_move() {
    for algorithm in ["RingHash", "Maglev"] {
        let (mesh, mut apps) = api(&format!("algorithm: {algorithm}\nhashOn: [{{ header: X-User }}]")).await;
        let before = places(&mesh).await;
        let met: BTreeSet<_> = before.iter().map(String::as_str).collect();
        assert_eq!(met, BTreeSet::from(NAMES), "{algorithm}");

        // It still is an endpoint: requests find out that nobody is there, and go on to the next.
        apps.remove(0).stop().await;
        let after = places(&mesh).await;
        for (before, after) in before.iter().zip(&after) {
            assert!(if before == "a" { after != "a" } else { after == before }, "{before} -> {after}");
        }
    }
}

#[tokio::test]
async fn who_has_no_cookie_is_given_one_that_leads_back() {
    let keys = "hashOn: [{ cookie: { name: seat, ttl: 5m, path: / } }]";
    let (mesh, _apps) = api(&format!("algorithm: RingHash\n{keys}")).await;
    let mut met = BTreeSet::new();
    // By chance each gets one of four; all have been met after so many, but for once in 10^12.
    for _ in 0..100 {
        let first = ask(&mesh, Version::Http1, request(Method::GET, "/")).await;
        let said = first.header("set-cookie").to_owned();
        assert!(said.starts_with("seat=") && said.ends_with("; Path=/; HttpOnly; Max-Age=300"), "{said}");
        let shown = said.split(';').next().unwrap_or_default();
        let again = with_header(request(Method::GET, "/"), "cookie", shown);
        let again = ask(&mesh, Version::Http2, again).await;
        assert_eq!((again.text(), again.header("set-cookie")), (first.text(), ""));
        met.insert(first.text());
    }
    assert_eq!(met.len(), NAMES.len());
}

#[tokio::test]
async fn the_first_key_that_a_request_has_counts_and_without_any_it_goes_anywhere() {
    let (mesh, _apps) = api("algorithm: Maglev\nhashOn: [{ queryParam: user }, { header: X-User }]").await;
    let by_query = |user| request(Method::GET, &format!("/?user={user}"));
    for user in 0..USERS {
        let mine = ask(&mesh, Version::Http1, by_query(user)).await.text();
        // The value alone counts, wherever it stands, and the header not at all beside the parameter.
        let header = with_header(request(Method::GET, "/"), "x-user", &user.to_string());
        assert_eq!(ask(&mesh, Version::Http1, header).await.text(), mine);
        let both = with_header(by_query(user), "x-user", "somebody else");
        assert_eq!(ask(&mesh, Version::Http1, both).await.text(), mine);
    }
    assert_eq!(shares(&mesh, 100).await.len(), NAMES.len());
}

#[tokio::test]
async fn the_caller_s_address_leads_to_one_application() {
    let (mesh, _apps) = api("algorithm: RingHash\nhashOn: [{ source: IP }]").await;
    assert_eq!(shares(&mesh, 20).await.len(), 1, "all come from this machine");
}

#[tokio::test]
async fn round_robin_goes_in_turns_until_the_policy_says_otherwise() {
    let (mesh, _apps) = api("algorithm: RoundRobin").await;
    let mut order = Vec::new();
    for _ in 0..12 {
        order.push(who(&mesh).await);
    }
    assert_eq!(order[..4].iter().collect::<BTreeSet<_>>().len(), NAMES.len());
    assert_eq!(order[4..8], order[..4]);
    assert_eq!(order[8..], order[..4]);

    // A change holds from the next request on: now all of one caller go to one place, and then anywhere again.
    let met = async || shares(&mesh, 8).await.len();
    mesh.write(POLICY, &policy("algorithm: RingHash\nhashOn: [{ source: IP }]"));
    until("all go to one", async || (met().await == 1).then_some(())).await;
    mesh.remove(POLICY);
    until("they spread again", async || (met().await > 1).then_some(())).await;
}

#[tokio::test]
async fn by_least_request_who_has_something_to_do_is_left_alone() {
    let (mesh, apps) = api("algorithm: LeastRequest").await;
    let gate = Gate::closed();
    apps[0].first([Reply::Held(gate.clone())]);
    let (tasks, entrance) = (Tasks::new(), mesh.entrance("api"));
    // Until one of them stays with the first.
    while apps[0].count() == 0 {
        let answers = || apps.iter().map(Backend::count).sum::<usize>();
        let before = answers();
        tasks.spawn("caller", async move { drop(try_get(entrance, "/").await) });
        until("somebody is asked", async || (answers() > before).then_some(())).await;
    }
    let shares = shares(&mesh, 60).await;
    assert_eq!(shares.keys().map(String::as_str).collect::<Vec<_>>(), ["b", "c", "d"]);
    assert_eq!(apps[0].count(), 1);
    gate.open();
    tasks.join_all(PATIENCE).await;
}

#[tokio::test]
async fn the_own_zone_comes_first_and_the_others_when_it_fails() {
    let (mut apps, service) = four().await;
    let plan =
        Plan { zone: Some("here"), ..Plan::of(vec![service.in_zones(&["here", "here", "there", "there"])]) };
    let plan = plan.with(POLICY, policy("algorithm: RoundRobin\nlocality: { mode: PreferSameZone }"));
    let mesh = Mesh::start(WEFT, &plan).await;
    let met = |shares: &BTreeMap<String, u32>| shares.keys().cloned().collect::<Vec<_>>();
    assert_eq!(met(&shares(&mesh, 60).await), ["a", "b"]);

    // Half of the zone is gone, which its breaker finds out since it has its turns: two of seven requests go elsewhere.
    apps.remove(0).stop().await;
    shares(&mesh, 60).await;
    let of_half = shares(&mesh, 200).await;
    assert_eq!(met(&of_half), ["b", "c", "d"]);
    let near = of_half["b"];
    assert!((110..=175).contains(&near), "{of_half:?}, of which 143 are the share of what is near");

    // The other half goes as well: nothing is lost.
    apps.remove(0).stop().await;
    shares(&mesh, 60).await;
    assert_eq!(met(&shares(&mesh, 60).await), ["c", "d"]);
}

#[tokio::test]
async fn without_a_preference_zones_say_nothing() {
    let (_apps, service) = four().await;
    let plan =
        Plan { zone: Some("here"), ..Plan::of(vec![service.in_zones(&["here", "here", "there", "there"])]) };
    let mesh = Mesh::start(WEFT, &plan).await;
    assert_eq!(shares(&mesh, 100).await.len(), NAMES.len());
}
