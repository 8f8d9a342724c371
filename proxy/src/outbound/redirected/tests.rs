use std::{sync::Arc, time::SystemTime};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::{LocalSet, spawn_local},
};
use weft_api::circuit_breaker::CircuitBreaker;
use weft_xds::Kind;

use super::*;
use crate::{
    compile::{Compiler, Held},
    resource::{ClusterSpec, EndpointsSpec, Listener, OpaqueSpec, Resource, RouteSpec, Routes, ServiceSpec},
    snapshot::Snapshot,
};

const NAME: &str = "default/api:80";
/// A backend that does not exist.
const ABSENT: &str = "default/gone:0";

/// A destination that speaks HTTP, opaque bytes or both, with these endpoints; or one that is not there.
fn know(worker: &Worker, original: SocketAddr, http: bool, opaque: bool, endpoints: &[SocketAddr]) {
    let spec = ServiceSpec {
        routes: http.then(|| Arc::from(NAME)),
        opaque: opaque.then(|| OpaqueSpec::for_tests(NAME)),
        ..ServiceSpec::default()
    };
    know_service(worker, original, (http || opaque).then_some(spec), &[(NAME, endpoints)]);
}

/// A destination, and the clusters that there are, with their endpoints.
fn know_service(
    worker: &Worker,
    original: SocketAddr,
    spec: Option<ServiceSpec>,
    clusters: &[(&str, &[SocketAddr])],
) {
    let mut held = Held::default();
    let listener = spec.map(|spec| Resource::Listener(Listener::Service(spec)));
    held.set(Kind::Listener, original.to_string(), listener);
    let route = RouteSpec::for_tests("default", &[NAME]);
    held.set(Kind::Routes, NAME.into(), Some(Resource::Routes(Arc::new(Routes(vec![route])))));
    held.set(Kind::Cluster, ABSENT.into(), None);
    for (name, endpoints) in clusters {
        let cluster = ClusterSpec::for_tests(CircuitBreaker::default());
        held.set(Kind::Cluster, (*name).into(), Some(Resource::Cluster(Arc::new(cluster))));
        let endpoints = Resource::Endpoints(Arc::new(EndpointsSpec::for_tests(endpoints)));
        held.set(Kind::Endpoints, (*name).into(), Some(endpoints));
    }
    let (credentials, requests) =
        (Arc::clone(&worker.shared.credentials), Arc::clone(&worker.shared.telemetry.client));
    let mut compiler = Compiler::new(Version::Http2, false, None, credentials, requests, 1);
    worker.shared.snapshots.store(compiler.compile(&held, &Snapshot::default(), Instant::now()));
}

/// Answers each connection with what it said, backwards, once it has said all.
async fn backwards() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    spawn_local(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut said = Vec::new();
            if stream.read_to_end(&mut said).await.is_ok() {
                said.reverse();
                stream.write_all(&said).await.unwrap();
            }
        }
    });
    address
}

/// An address where nobody listens.
async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// A connection of the application, as the redirect leads it here.
async fn redirected() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let app = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (app, listener.accept().await.unwrap().0)
}

/// What the application reads that says `words` and then ends, and what `leave` made of it.
async fn say(
    worker: &Rc<Worker>,
    original: SocketAddr,
    words: &[u8],
) -> (io::Result<Vec<u8>>, io::Result<Option<Http>>) {
    let (mut app, sidecar) = redirected().await;
    let talking = async {
        app.write_all(words).await?;
        app.shutdown().await?;
        let mut heard = Vec::new();
        app.read_to_end(&mut heard).await?;
        Ok(heard)
    };
    tokio::join!(talking, leave(worker, sidecar, original))
}

fn passed(worker: &Worker, reason: Passthrough) -> u64 {
    worker.shared.telemetry.connections.passed(reason)
}

#[tokio::test]
async fn what_is_not_of_the_mesh_goes_where_it_was_meant_to_go() {
    let test = async {
        let (worker, original) = (Worker::for_tests(), backwards().await);
        know(&worker, original, false, false, &[]);
        // Also what looks like a request: nobody looks at it.
        let (heard, left) = say(&worker, original, b"GET / HTTP/1.1\r\n\r\n").await;
        assert_eq!(heard.unwrap(), b"\n\r\n\r1.1/PTTH / TEG");
        assert!(left.unwrap().is_none());
        assert_eq!(passed(&worker, Passthrough::Unknown), 1);
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_does_not_come_is_waited_for_once() {
    let test = async {
        let (worker, original) = (Worker::for_tests(), backwards().await);
        let (begin, before) = (tokio::time::Instant::now(), SystemTime::now());
        let (heard, _) = say(&worker, original, b"abc").await;
        assert_eq!(heard.unwrap(), b"cba");
        let waited = begin.elapsed();
        assert!(waited + before.elapsed().unwrap() >= CONFIGURATION_WAIT, "{waited:?}");
        assert_eq!(worker.shared.demands.names(), [original.to_string()], "it is asked for all the same");
        let (heard, _) = say(&worker, original, b"abc").await;
        assert_eq!(heard.unwrap(), b"cba");
        assert_eq!(passed(&worker, Passthrough::Unanswered), 2);
        assert!(begin.elapsed() < CONFIGURATION_WAIT * 2, "the second did not wait again");
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn an_answer_in_time_decides() {
    let test = async {
        let (worker, original, app) = (Worker::for_tests(), nobody().await, backwards().await);
        let answering = async {
            worker.shared.demands.changed().await;
            know(&worker, original, false, true, &[app]);
        };
        let ((heard, _), ()) = tokio::join!(say(&worker, original, b"abc"), answering);
        assert_eq!(heard.unwrap(), b"cba");
        assert_eq!(passed(&worker, Passthrough::Unanswered), 0);
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn the_first_bytes_tell_http_from_the_rest() {
    let test = async {
        let (worker, original, app) = (Worker::for_tests(), nobody().await, backwards().await);
        know(&worker, original, true, true, &[app]);
        for (words, version) in [
            (&b"GET / HTTP/1.1\r\n\r\n"[..], Version::Http1),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Version::Http2),
        ] {
            let (mut app, sidecar) = redirected().await;
            app.write_all(words).await.unwrap();
            let left = leave(&worker, sidecar, original).await.unwrap();
            let Some((mut stream, told, demand)) = left else { panic!("no HTTP") };
            assert_eq!((told, &*demand.name), (version, &*original.to_string()));
            let mut read = vec![0; words.len()];
            stream.read_exact(&mut read).await.unwrap();
            assert_eq!(read, words);
        }
        assert_eq!(worker.shared.telemetry.connections.ended(), 0, "requests tell of themselves");
        let (heard, _) = say(&worker, original, b"SET a b\r\n").await;
        assert_eq!(heard.unwrap(), b"\n\rb a TES");
        let (heard, _) = say(&worker, original, b"").await;
        assert_eq!(heard.unwrap(), b"");
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn a_port_that_speaks_http_takes_no_tls() {
    let test = async {
        let (worker, original) = (Worker::for_tests(), nobody().await);
        know(&worker, original, true, false, &[]);
        let (heard, left) = say(&worker, original, b"\x16\x03\x01\x00\x05hello").await;
        assert_eq!(heard.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        assert!(left.unwrap().is_none());
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn on_an_opaque_port_the_server_may_speak_first() {
    let test = async {
        let (worker, original) = (Worker::for_tests(), nobody().await);
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        know(&worker, original, false, true, &[server.local_addr().unwrap()]);
        let (mut app, sidecar) = redirected().await;
        let leaving = leave(&worker, sidecar, original);
        let talking = async {
            let (mut server, _) = server.accept().await.unwrap();
            server.write_all(b"220 ready\r\n").await.unwrap();
            drop(server);
            let mut heard = Vec::new();
            app.read_to_end(&mut heard).await.unwrap();
            drop(app);
            heard
        };
        let (_, heard) = tokio::join!(leaving, talking);
        assert_eq!(heard, b"220 ready\r\n");
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn who_takes_no_connection_is_passed_over_and_counts_as_failed() {
    let test = async {
        let (worker, original, app) = (Worker::for_tests(), nobody().await, backwards().await);
        know(&worker, original, false, true, &[nobody().await, app]);
        for _ in 0..20 {
            let (heard, _) = say(&worker, original, b"abc").await;
            assert_eq!(heard.unwrap(), b"cba");
        }
        let snapshot = worker.shared.snapshots.load();
        let endpoints: Vec<_> = snapshot.clusters[NAME].endpoints.iter().cloned().collect();
        let failed = endpoints.iter().find(|endpoint| endpoint.peer.address != app).unwrap();
        assert!(failed.accrual.breaker.view().tally.err > 0);
        assert!(endpoints.iter().all(|endpoint| endpoint.load.in_flight() == 0));
        assert_eq!(snapshot.clusters[NAME].guard.limits.connections.in_flight(), 0);
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn a_destination_without_anybody_is_reset() {
    let test = async {
        let (worker, original) = (Worker::for_tests(), nobody().await);
        know(&worker, original, false, true, &[nobody().await]);
        let (heard, _) = say(&worker, original, b"abc").await;
        assert!(heard.is_err());
        know(&worker, original, false, true, &[]);
        let (heard, _) = say(&worker, original, b"abc").await;
        assert!(heard.is_err());
        assert_eq!(passed(&worker, Passthrough::Unknown), 0, "what is of the mesh never goes past it");
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn connections_count_against_the_limit_until_they_end() {
    let test = async {
        let (worker, original, app) = (Worker::for_tests(), nobody().await, backwards().await);
        know(&worker, original, false, true, &[app]);
        let limits = worker.shared.snapshots.load().clusters[NAME].guard.limits.clone();
        let (mut open, sidecar) = redirected().await;
        let leaving = {
            let worker = Rc::clone(&worker);
            spawn_local(async move { leave(&worker, sidecar, original).await })
        };
        while limits.connections.in_flight() == 0 {
            tokio::task::yield_now().await;
        }
        limits.connections.set_limit(1);
        let (heard, _) = say(&worker, original, b"abc").await;
        assert!(heard.is_err(), "the only place is taken");
        open.shutdown().await.unwrap();
        open.read_to_end(&mut Vec::new()).await.unwrap();
        leaving.await.unwrap().unwrap();
        let (heard, _) = say(&worker, original, b"abc").await;
        assert_eq!(heard.unwrap(), b"cba");
    };
    LocalSet::new().run_until(test).await;
}

/// Answers each connection with its own name, once that has said all.
async fn named(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    spawn_local(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            if stream.read_to_end(&mut Vec::new()).await.is_ok() {
                stream.write_all(name.as_bytes()).await.unwrap();
            }
        }
    });
    address
}

/// The first words of a client of TLS that calls `name`.
fn hello(worker: &Worker, name: Option<&'static str>) -> Vec<u8> {
    let peer = Worker::ID_FOR_TESTS.parse().unwrap();
    let mut config = rustls::ClientConfig::clone(&worker.shared.credentials.client_config(peer, &[b"h2"]));
    config.enable_sni = name.is_some();
    let name = name.unwrap_or("127.0.0.1").try_into().unwrap();
    let mut client = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    bytes
}

fn to(clusters: &[(u32, &str)]) -> OpaqueSpec {
    let clusters = clusters.iter().map(|(weight, name)| (*weight, Arc::from(*name))).collect();
    OpaqueSpec { clusters, ..OpaqueSpec::for_tests(NAME) }
}

#[tokio::test]
async fn the_application_s_own_tls_goes_by_the_name_that_it_calls_and_nowhere_else() {
    let test = async {
        let (worker, original) = (Worker::for_tests(), nobody().await);
        let (shop, rest) = (named("shop").await, named("rest").await);
        let mut spec = ServiceSpec::default();
        for (name, cluster) in [("shop.example", "shop"), ("*.example", "rest"), ("gone.example", ABSENT)] {
            spec.tls.insert(name, to(&[(1, cluster)]));
        }
        let clusters = [("shop", &[shop][..]), ("rest", &[rest])];
        know_service(&worker, original, Some(spec.clone()), &clusters);
        for (called, taker) in [
            (Some("shop.example"), Some("shop")),
            (Some("a.shop.example"), Some("rest")),
            (Some("gone.example"), None),
            (Some("example"), None),
            (Some("shop.test"), None),
            (None, None),
        ] {
            let (heard, left) = say(&worker, original, &hello(&worker, called)).await;
            assert!(left.unwrap().is_none());
            let heard = heard.ok().map(|heard| String::from_utf8(heard).unwrap());
            assert_eq!(heard.as_deref(), taker, "{called:?}");
        }
        for words in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\x00"] {
            let (heard, _) = say(&worker, original, words).await;
            assert!(heard.is_err(), "{words:?} is no TLS");
        }
        // Where other bytes are taken, so is TLS that calls nobody.
        let spec = ServiceSpec { opaque: Some(to(&[(1, "rest")])), ..spec };
        know_service(&worker, original, Some(spec), &clusters);
        let (heard, _) = say(&worker, original, &hello(&worker, None)).await;
        assert_eq!(heard.unwrap(), b"rest");
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn connections_are_shared_by_weight_and_the_share_of_nobody_is_refused() {
    let test = async {
        let (worker, original) = (Worker::for_tests(), nobody().await);
        let (old, new) = (named("old").await, named("new").await);
        let spec = ServiceSpec {
            opaque: Some(to(&[(6, "old"), (3, "new"), (1, ABSENT), (0, NAME)])),
            ..ServiceSpec::default()
        };
        let clusters = [("old", &[old][..]), ("new", &[new]), (NAME, &[])];
        know_service(&worker, original, Some(spec), &clusters);
        let mut shares = std::collections::BTreeMap::<String, i32>::new();
        for _ in 0..1000 {
            let (heard, _) = say(&worker, original, b"abc").await;
            let by = heard.map_or("nobody".to_owned(), |heard| String::from_utf8(heard).unwrap());
            *shares.entry(by).or_default() += 1;
        }
        // Five standard deviations of 1,000 draws at the most are 77. The randomness has a seed.
        for (by, due) in [("old", 600), ("new", 300), ("nobody", 100)] {
            assert!((shares[by] - due).abs() < 77, "{by}: {shares:?}");
        }
        assert_eq!(shares.len(), 3);
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test(start_paused = true)]
async fn where_only_the_mesh_may_be_called_nothing_goes_past_it() {
    let test = async {
        let worker = Worker::for_tests_that(OutboundPolicy::RegistryOnly);
        let (original, app) = (backwards().await, backwards().await);
        // Nobody has said yet what it is; and then, that it is nothing.
        for _ in 0..2 {
            let (heard, left) = say(&worker, original, b"abc").await;
            assert_eq!(heard.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
            assert!(left.unwrap().is_none());
            know(&worker, original, false, false, &[]);
        }
        for reason in [Passthrough::Unknown, Passthrough::Unanswered] {
            assert_eq!(passed(&worker, reason), 0);
        }
        assert_eq!(worker.shared.telemetry.connections.ended(), 2, "they are counted");
        know(&worker, original, false, true, &[app]);
        let (heard, _) = say(&worker, original, b"abc").await;
        assert_eq!(heard.unwrap(), b"cba");
    };
    LocalSet::new().run_until(test).await;
}
