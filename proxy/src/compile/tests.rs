use std::time::{Duration, SystemTime};

use rand::{SeedableRng, rngs::SmallRng};
use weft_api::{
    bootstrap,
    circuit_breaker::{Breaker, CircuitBreaker, Limits as LimitsPolicy},
};
use weft_identity::{TrustDomain, authority::Authority, bundle::TrustBundle};
use weft_xds::Kind;

use super::*;
use crate::{
    balance::{Algorithm, Endpoint, Size, Zones},
    breaker::{Failure, Outcome, State, kept::KEEP},
    resource::{ClusterSpec, MirrorSpec, Resource},
    telemetry::{Telemetry, log::AccessLog},
};

const NAME: &str = "default/api:80";
const LISTENER: &str = "api.default.svc.cluster.local:80";

fn compiler() -> Compiler {
    let domain: TrustDomain = "cluster.local".parse().unwrap();
    let authority = Authority::create(domain.clone(), SystemTime::now()).unwrap();
    let credentials = Credentials::new(domain, TrustBundle::from_pem(authority.certificate_pem()).unwrap());
    let (log, _) = AccessLog::start(bootstrap::AccessLog::Off, std::io::sink()).unwrap();
    Compiler::new(Version::Http2, false, None, credentials, Arc::clone(&Telemetry::new(1, log).client), 1)
}

/// A listener for HTTP with these routes, for opaque bytes with this cluster, or for both.
fn listener(routes: Option<&str>, opaque: Option<&str>) -> Resource {
    let spec = ServiceSpec {
        routes: routes.map(Arc::from),
        opaque: opaque.map(OpaqueSpec::for_tests),
        ..ServiceSpec::default()
    };
    Resource::Listener(Listener::Service(spec))
}

fn route_to(clusters: &[&str]) -> Resource {
    Resource::Routes(Arc::new(Routes(vec![RouteSpec::for_tests("default", clusters)])))
}

fn cluster(policy: CircuitBreaker) -> Resource {
    Resource::Cluster(Arc::new(ClusterSpec::for_tests(policy)))
}

fn endpoints(ports: &[u16]) -> Resource {
    let addresses: Vec<_> = ports.iter().map(|port| ([127, 0, 0, 1], *port).into()).collect();
    Resource::Endpoints(Arc::new(EndpointsSpec::for_tests(&addresses)))
}

/// One service with endpoints at these ports.
fn held(ports: &[u16]) -> Held {
    let mut held = Held::default();
    held.set(Kind::Listener, LISTENER.into(), Some(listener(Some(NAME), None)));
    held.set(Kind::Routes, NAME.into(), Some(route_to(&[NAME])));
    held.set(Kind::Cluster, NAME.into(), Some(cluster(CircuitBreaker::default())));
    held.set(Kind::Endpoints, NAME.into(), Some(endpoints(ports)));
    held
}

fn ports(snapshot: &Snapshot) -> Vec<u16> {
    snapshot.clusters[NAME].endpoints.iter().map(|endpoint| endpoint.peer.address.port()).collect()
}

#[test]
fn each_answer_leads_to_the_next_question() {
    let mut held = Held::default();
    held.set(Kind::Listener, LISTENER.into(), Some(listener(Some(NAME), None)));
    assert_eq!(held.wanted(Kind::Routes), BTreeSet::from([NAME.to_owned()]));
    held.set(Kind::Routes, NAME.into(), Some(route_to(&["default/a:80", "default/b:80"])));
    assert_eq!(held.wanted(Kind::Cluster).len(), 2);
    held.set(Kind::Cluster, "default/a:80".into(), Some(cluster(CircuitBreaker::default())));
    held.set(Kind::Cluster, "default/b:80".into(), None);
    assert_eq!(held.wanted(Kind::Endpoints), BTreeSet::from(["default/a:80".to_owned()]));
}

#[test]
fn a_half_known_service_does_not_take_the_place_of_a_known_one() {
    let now = Instant::now();
    let (mut compiler, mut held) = (compiler(), held(&[1]));
    let before = compiler.compile(&held, &Snapshot::default(), now);
    held.set(Kind::Routes, NAME.into(), Some(route_to(&["default/new:80"])));
    let after = compiler.compile(&held, &before, now);
    assert_eq!(ports(&after), [1]);
    // As soon as the new backend is known, it counts.
    held.set(Kind::Cluster, "default/new:80".into(), None);
    let after = compiler.compile(&held, &after, now);
    assert!(after.clusters.is_empty());
}

#[test]
fn an_unknown_service_is_told_apart_from_one_not_answered_yet() {
    let now = Instant::now();
    let (mut compiler, mut held) = (compiler(), Held::default());
    let nothing = compiler.compile(&held, &Snapshot::default(), now);
    assert!(!nothing.destinations.contains_key(LISTENER));
    held.set(Kind::Listener, LISTENER.into(), None);
    let unknown = compiler.compile(&held, &nothing, now);
    assert!(matches!(unknown.destinations[LISTENER], Destination::Unknown));
}

#[test]
fn a_push_keeps_connections_load_and_breakers() {
    let now = Instant::now();
    let (mut compiler, mut held) = (compiler(), held(&[1, 2]));
    let before = compiler.compile(&held, &Snapshot::default(), now);
    let first = Arc::clone(before.clusters[NAME].endpoints.iter().next().unwrap());
    let _in_flight = first.load.begin(now);
    for _ in 0..5 {
        let pass = first.accrual.acquire(now).unwrap();
        first.accrual.report(pass, now, Outcome::Failure(Failure::Connect));
    }
    assert_eq!(first.accrual.breaker.state(), State::Open);
    let permit = before.clusters[NAME].guard.limits.requests.try_acquire().unwrap();

    let limits = LimitsPolicy { max_requests: 3, ..LimitsPolicy::default() };
    let policy = CircuitBreaker { limits, target: Some(Breaker::default()), ..CircuitBreaker::default() };
    held.set(Kind::Cluster, NAME.into(), Some(cluster(policy)));
    held.set(Kind::Endpoints, NAME.into(), Some(endpoints(&[1, 2, 3])));
    let after = compiler.compile(&held, &before, now);

    let same = Arc::clone(after.clusters[NAME].endpoints.iter().next().unwrap());
    assert!(Arc::ptr_eq(&first.peer, &same.peer));
    assert_eq!(same.load.in_flight(), 1);
    assert_eq!(same.accrual.breaker.state(), State::Open);
    let requests = &after.clusters[NAME].guard.limits.requests;
    assert_eq!((requests.limit(), requests.in_flight()), (3, 1));
    drop(permit);
    assert_eq!(requests.in_flight(), 0);
}

#[test]
fn a_flap_does_not_pardon() {
    let now = Instant::now();
    let (mut compiler, mut held) = (compiler(), held(&[1, 2, 3]));
    let first = compiler.compile(&held, &Snapshot::default(), now);
    let failing = Arc::clone(first.clusters[NAME].endpoints.iter().next().unwrap());
    for _ in 0..5 {
        let pass = failing.accrual.acquire(now).unwrap();
        failing.accrual.report(pass, now, Outcome::Failure(Failure::Connect));
    }
    held.set(Kind::Endpoints, NAME.into(), Some(endpoints(&[2, 3])));
    let gone = compiler.compile(&held, &first, now + Duration::from_millis(10));
    held.set(Kind::Endpoints, NAME.into(), Some(endpoints(&[1, 2, 3])));
    let back = compiler.compile(&held, &gone, now + Duration::from_millis(20));
    let again = back.clusters[NAME].endpoints.iter().next().unwrap();
    assert_eq!(again.peer.address.port(), 1);
    assert_eq!(again.accrual.breaker.state(), State::Open);
}

#[test]
fn endpoints_with_a_sidecar_are_reached_by_mtls_over_the_mesh_s_http() {
    let now = Instant::now();
    let (mut compiler, mut held) = (compiler(), held(&[1]));
    let identity = Some(Arc::from("spiffe://cluster.local/ns/default/sa/api"));
    let mut both = EndpointsSpec::for_tests(&[1, 2].map(|port| ([127, 0, 0, 1], port).into()));
    both.ready[1].identity = identity;
    held.set(Kind::Endpoints, NAME.into(), Some(Resource::Endpoints(Arc::new(both))));
    let snapshot = compiler.compile(&held, &Snapshot::default(), now);
    let peers: Vec<_> =
        snapshot.clusters[NAME].endpoints.iter().map(|endpoint| Arc::clone(&endpoint.peer)).collect();
    assert_eq!((peers[0].version, peers[0].mesh.is_some()), (Version::Http1, false));
    assert_eq!((peers[1].version, peers[1].mesh.is_some()), (Version::Http2, true));
}

#[test]
fn what_nobody_uses_is_forgotten_after_a_while() {
    let now = Instant::now();
    let (mut compiler, mut held) = (compiler(), held(&[1]));
    let first = compiler.compile(&held, &Snapshot::default(), now);
    held.set(Kind::Listener, LISTENER.into(), None);
    let gone = compiler.compile(&held, &first, now + KEEP / 2);
    assert_eq!(compiler.backends.len(), 1);
    drop(first);
    compiler.compile(&held, &gone, now + KEEP * 2);
    assert!(compiler.backends.is_empty() && compiler.peers.is_empty());
}

#[test]
fn a_route_s_guard_stands_beside_the_backend_s_and_keeps_its_state() {
    let now = Instant::now();
    let (mut compiler, mut held) = (compiler(), held(&[1]));
    let guarded = |max_requests| {
        let limits = LimitsPolicy { max_requests, ..LimitsPolicy::default() };
        let policy = CircuitBreaker { limits, target: Some(Breaker::default()), ..CircuitBreaker::default() };
        let mut route = RouteSpec::for_tests("default/shop/rule/0", &[NAME]);
        let Action::Forward { guard, .. } = &mut route.action else { panic!("it forwards") };
        *guard = Some(Box::new(GuardSpec { policy, fallback: None }));
        Resource::Routes(Arc::new(Routes(vec![route])))
    };
    held.set(Kind::Routes, NAME.into(), Some(guarded(5)));
    let before = compiler.compile(&held, &Snapshot::default(), now);
    let names: Vec<_> = before.guards().into_keys().map(str::to_owned).collect();
    assert_eq!(names, [NAME, "default/shop/rule/0"]);
    let guards = before.guards();
    let guard = guards["default/shop/rule/0"];
    let _entry = guard.enter(now).unwrap();

    held.set(Kind::Routes, NAME.into(), Some(guarded(1)));
    let after = compiler.compile(&held, &before, now);
    let guards = after.guards();
    assert!(Arc::ptr_eq(
        guards["default/shop/rule/0"].target.as_ref().unwrap(),
        guard.target.as_ref().unwrap()
    ));
    assert!(
        guards["default/shop/rule/0"].enter(now).is_err(),
        "the one place is taken since before the push"
    );
    assert!(guards[NAME].target.is_none());
}

#[test]
fn copies_have_limits_and_breakers_of_their_own() {
    let now = Instant::now();
    let (mut compiler, mut held) = (compiler(), held(&[1]));
    let mut route = RouteSpec::for_tests("default/shop/rule/0", &[NAME]);
    let Action::Forward { mirrors, .. } = &mut route.action else { panic!("it forwards") };
    *mirrors = ["default/gone:80", NAME]
        .map(|cluster| MirrorSpec { cluster: cluster.into(), parts_per_million: 5 })
        .into();
    held.set(Kind::Routes, NAME.into(), Some(Resource::Routes(Arc::new(Routes(vec![route])))));
    assert!(held.wanted(Kind::Cluster).contains("default/gone:80"));
    held.set(Kind::Cluster, "default/gone:80".into(), None);
    let snapshot = compiler.compile(&held, &Snapshot::default(), now);
    let own = format!("{NAME}/mirror");
    let names: Vec<_> = snapshot.guards().into_keys().map(str::to_owned).collect();
    assert_eq!(names, [NAME, &own]);
    let (service, copies) = (&snapshot.clusters[NAME], &snapshot.clusters[own.as_str()]);
    let accruals = [service, copies].map(|cluster| &cluster.endpoints.iter().next().unwrap().accrual);
    assert!(!Arc::ptr_eq(accruals[0], accruals[1]));
    let _entry = copies.guard.enter(now).unwrap();
    assert_eq!(
        [service, copies].map(|cluster| cluster.guard.limits.requests.in_flight()),
        [0, 1],
        "what copies take is not the service's"
    );

    let again = compiler.compile(&held, &snapshot, now);
    assert_eq!(again.clusters[own.as_str()].guard.limits.requests.in_flight(), 1, "kept over a push");
}

#[test]
fn a_port_without_http_needs_its_cluster_and_no_routes() {
    let now = Instant::now();
    let (mut compiler, mut held) = (compiler(), Held::default());
    held.set(Kind::Listener, LISTENER.into(), Some(listener(None, Some(NAME))));
    assert_eq!(held.wanted(Kind::Cluster), BTreeSet::from([NAME.to_owned()]));
    assert!(held.wanted(Kind::Routes).is_empty());
    let pending = compiler.compile(&held, &Snapshot::default(), now);
    assert!(!pending.destinations.contains_key(LISTENER));

    held.set(Kind::Cluster, NAME.into(), Some(cluster(CircuitBreaker::default())));
    held.set(Kind::Endpoints, NAME.into(), Some(endpoints(&[1])));
    let known = compiler.compile(&held, &pending, now);
    let Destination::Service(service) = &known.destinations[LISTENER] else { panic!("unknown") };
    assert!(service.routes.is_none());
    assert!(service.opaque.as_ref().unwrap().backends.clusters().count() == 1);
    assert_eq!(ports(&known), [1]);

    // While a new backend is not known, the one before stays.
    held.set(Kind::Listener, LISTENER.into(), Some(listener(None, Some("default/new:80"))));
    let stayed = compiler.compile(&held, &known, now);
    assert_eq!(ports(&stayed), [1]);
    held.set(Kind::Cluster, "default/new:80".into(), None);
    let gone = compiler.compile(&held, &stayed, now);
    let Destination::Service(service) = &gone.destinations[LISTENER] else { panic!("unknown") };
    assert!(
        service.opaque.as_ref().unwrap().backends.clusters().count() == 0,
        "named, but it does not exist"
    );
}

#[test]
fn http_and_opaque_bytes_of_one_port_share_their_backend() {
    let (now, mut held) = (Instant::now(), held(&[1]));
    held.set(Kind::Listener, LISTENER.into(), Some(listener(Some(NAME), Some(NAME))));
    let snapshot = compiler().compile(&held, &Snapshot::default(), now);
    let Destination::Service(service) = &snapshot.destinations[LISTENER] else { panic!("unknown") };
    let clusters: Vec<_> = service.clusters().collect();
    assert_eq!(clusters.len(), 2);
    assert!(Arc::ptr_eq(clusters[0], clusters[1]));
}

#[test]
fn an_endpoint_in_the_own_pod_has_no_sidecar_in_between() {
    let now = Instant::now();
    let mut held = held(&[1]);
    let identity = Some(Arc::from("spiffe://cluster.local/ns/default/sa/api"));
    // Loopback is of every machine, and the other of none: it is for documentation (RFC 5737).
    let mut list = EndpointsSpec::for_tests(&[[127, 0, 0, 1], [192, 0, 2, 9]].map(|at| (at, 80).into()));
    for endpoint in &mut list.ready {
        endpoint.identity.clone_from(&identity);
    }
    held.set(Kind::Endpoints, NAME.into(), Some(Resource::Endpoints(Arc::new(list))));
    let meshed = |alone| {
        let compiler = Compiler { alone, ..compiler() }.compile(&held, &Snapshot::default(), now);
        compiler.clusters[NAME].endpoints.iter().map(|at| at.peer.mesh.is_some()).collect::<Vec<_>>()
    };
    assert_eq!(meshed(true), [false, true]);
    assert_eq!(meshed(false), [true, true], "sidecars on one machine, as in local mode");
}

#[test]
fn who_comes_later_is_new_and_who_was_there_from_the_beginning_is_not() {
    let now = Instant::now();
    let (mut compiler, mut held) = (compiler(), held(&[1, 2]));
    let mut compile = |ports: &[u16], before: &Snapshot, after_secs| {
        held.set(Kind::Endpoints, NAME.into(), Some(endpoints(ports)));
        let snapshot = compiler.compile(&held, before, now + Duration::from_secs(after_secs));
        let since = |endpoint: &Arc<Endpoint>| endpoint.fresh.map(|fresh| (fresh.since - now).as_secs());
        let fresh: Vec<_> = snapshot.clusters[NAME].endpoints.iter().map(since).collect();
        (snapshot, fresh)
    };
    let (first, fresh) = compile(&[1, 2], &Snapshot::default(), 0);
    assert_eq!(fresh, [None, None]);
    let (second, fresh) = compile(&[1, 2, 3], &first, 5);
    assert_eq!(fresh, [None, None, Some(5)]);
    let (third, fresh) = compile(&[2, 3], &second, 6);
    assert_eq!(fresh, [None, Some(5)], "since it came, whatever is pushed meanwhile");
    let (_, fresh) = compile(&[1, 2, 3], &third, 7);
    assert_eq!(fresh, [Some(7), None, Some(5)], "who was away may have begun anew");
}

#[test]
fn a_zone_is_the_own_one_if_it_has_the_same_name() {
    let now = Instant::now();
    let mut held = held(&[1]);
    let mut spec = ClusterSpec::for_tests(CircuitBreaker::default());
    spec.balancing.zones = Some(Zones { min_healthy_percent: 70 });
    held.set(Kind::Cluster, NAME.into(), Some(Resource::Cluster(Arc::new(spec))));
    let mut list = EndpointsSpec::for_tests(&[1, 2, 3].map(|port| ([127, 0, 0, 1], port).into()));
    list.ready[1].zone = "a".into();
    list.ready[2].zone = "b".into();
    held.set(Kind::Endpoints, NAME.into(), Some(Resource::Endpoints(Arc::new(list))));
    let all_go_to = |zone: Option<&str>| {
        let mut compiler = Compiler { zone: zone.map(Arc::from), ..compiler() };
        let snapshot = compiler.compile(&held, &Snapshot::default(), now);
        let mut random = SmallRng::seed_from_u64(1);
        let endpoints = &snapshot.clusters[NAME].endpoints;
        let mut pick = || endpoints.pick(now, &mut random, None, &[]).unwrap().endpoint.peer.address.port();
        (0..100).map(|_| pick()).collect::<BTreeSet<_>>()
    };
    assert_eq!(all_go_to(Some("a")), BTreeSet::from([2]));
    assert_eq!(all_go_to(Some("b")), BTreeSet::from([3]));
    assert_eq!(all_go_to(Some("c")).len(), 3);
    assert_eq!(all_go_to(None).len(), 3, "an endpoint without a zone is nobody's neighbour");
}

#[test]
fn by_a_ring_requests_go_on_where_they_went_over_pushes() {
    let now = Instant::now();
    let (mut compiler, mut held) = (compiler(), held(&[1, 2, 3]));
    let mut spec = ClusterSpec::for_tests(CircuitBreaker::default());
    spec.balancing.algorithm = Algorithm::RingHash(Size { min: 1024, max: 65_536 });
    held.set(Kind::Cluster, NAME.into(), Some(Resource::Cluster(Arc::new(spec))));
    let before = compiler.compile(&held, &Snapshot::default(), now);
    let port = |snapshot: &Snapshot, hash| {
        let mut random = SmallRng::seed_from_u64(1);
        let picked = snapshot.clusters[NAME].endpoints.pick(now, &mut random, Some(hash), &[]);
        picked.unwrap().endpoint.peer.address.port()
    };
    let hashes: Vec<_> = (1..=100_u64).map(|number| number << 57).collect();
    let ports = |snapshot: &Snapshot| hashes.iter().map(|hash| port(snapshot, *hash)).collect::<Vec<_>>();
    let after = compiler.compile(&held, &before, now);
    assert_eq!(ports(&before), ports(&after));
    // One that goes moves nobody else.
    held.set(Kind::Endpoints, NAME.into(), Some(endpoints(&[1, 3])));
    let left = compiler.compile(&held, &after, now);
    for (before, left) in ports(&after).into_iter().zip(ports(&left)) {
        assert!(before == 2 || before == left);
    }
}
