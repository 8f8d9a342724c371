//! Certificates replaced while API servers ask, and nobody of them fails.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs, time_provider::TimeProvider};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::watch,
    time::timeout,
};
use tokio_rustls::TlsConnector;
use weft_runtime::{Registry, Shutdown, Tasks};

use super::cluster_double::Double;
use crate::{
    Config,
    certificate::{Shown, keeper::round},
    metrics::Metrics,
    serve::Server,
};

const NAME: &str = "weft-injector.weft-system.svc";
const DAY: Duration = Duration::from_hours(24);
/// Whatever takes longer has failed.
const PATIENCE: Duration = Duration::from_mins(1);

fn metrics() -> Metrics {
    Metrics::register(&Registry::new("test")).unwrap()
}

/// The roots that API servers are told, PEM.
fn announced(double: &Double) -> String {
    let bundle = double.bundles().remove(0);
    String::from_utf8(STANDARD.decode(bundle.as_str().unwrap()).unwrap()).unwrap()
}

/// The time that clients and replicas agree on.
#[derive(Debug)]
struct Clock(AtomicU64);

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(self.0.load(Ordering::SeqCst))))
    }
}

impl Clock {
    fn now(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(self.0.load(Ordering::SeqCst))
    }
}

/// One replica: a webhook, and what it shows.
struct Replica {
    shown: Shown,
    address: SocketAddr,
}

impl Replica {
    fn start(tasks: &Tasks, shutdown: &Shutdown) -> Self {
        let shown = Shown::default();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let installation = Config::default().installation("weft-system").unwrap();
        let tls = shown.server_config();
        let server =
            Server::bind(any, tls, installation, metrics(), shutdown.clone(), tasks.clone()).unwrap();
        let address = server.local_addr().unwrap();
        tasks.spawn("webhook", server.run());
        Self { shown, address }
    }
}

/// A review over a new connection, believing `roots` (PEM).
async fn review(address: SocketAddr, roots: &str, clock: Arc<Clock>) -> Result<(), String> {
    let mut store = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(roots.as_bytes()) {
        store.add(root.unwrap()).unwrap();
    }
    let config = ClientConfig::builder_with_details(Arc::new(aws_lc_rs::default_provider()), clock)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(store)
        .with_no_client_auth();
    let failed = |error: std::io::Error| error.to_string();
    let stream = TcpStream::connect(address).await.map_err(failed)?;
    let name = ServerName::try_from(NAME).unwrap();
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(failed)?;
    let body = r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"1",
        "resource":{"resource":"pods"},"operation":"CREATE","namespace":"shop",
        "object":{"metadata":{},"spec":{"containers":[{"name":"app"}]}}}}"#;
    let request = format!(
        "POST /inject HTTP/1.1\r\nHost: {NAME}\r\nContent-Type: application/json\r\nConnection: close\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.map_err(failed)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.map_err(failed)?;
    if answer.starts_with("HTTP/1.1 200 ") && answer.contains("JSONPatch") { Ok(()) } else { Err(answer) }
}

/// Asks both replicas in turn for as long as the sender of `roots` lives, and counts.
async fn ask(
    addresses: [SocketAddr; 2],
    roots: watch::Receiver<String>,
    clock: Arc<Clock>,
    asked: watch::Sender<usize>,
    failures: Arc<Mutex<Vec<String>>>,
) {
    for turn in 0.. {
        if roots.has_changed().is_err() {
            return;
        }
        let believed = roots.borrow().clone();
        if let Err(error) = review(addresses[turn % 2], &believed, clock.clone()).await {
            failures.lock().unwrap().push(error);
        }
        asked.send_modify(|count| *count += 1);
    }
}

#[tokio::test]
async fn certificates_are_rotated_under_reviews_and_none_fails() {
    let start = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let clock = Arc::new(Clock(AtomicU64::new(start)));
    let (double, metrics, tasks) = (Double::start().await, metrics(), Tasks::new());
    let cluster = double.cluster().await;
    let (trigger, shutdown) = Shutdown::manual();
    let replicas = [Replica::start(&tasks, &shutdown), Replica::start(&tasks, &shutdown)];
    for replica in &replicas {
        round(&cluster, NAME, &replica.shown, &metrics, clock.now()).await.unwrap();
    }
    let (believe, believed) = watch::channel(announced(&double));
    let failures = Arc::new(Mutex::new(Vec::new()));
    let mut clients: Vec<watch::Receiver<usize>> = Vec::new();
    for _ in 0..2 {
        let (asked, count) = watch::channel(0);
        let addresses = [replicas[0].address, replicas[1].address];
        tasks.spawn("client", ask(addresses, believed.clone(), clock.clone(), asked, failures.clone()));
        clients.push(count);
    }
    drop(believed);

    let first_roots = announced(&double);
    for _ in 0..12 {
        clock.0.fetch_add(28 * DAY.as_secs(), Ordering::SeqCst);
        // API servers hear of new roots last of all, and the second replica looks later than the first.
        round(&cluster, NAME, &replicas[0].shown, &metrics, clock.now()).await.unwrap();
        all_asked_again(&mut clients).await;
        believe.send_replace(announced(&double));
        all_asked_again(&mut clients).await;
        round(&cluster, NAME, &replicas[1].shown, &metrics, clock.now()).await.unwrap();
        // A month passes here at once, but in no handshake.
        all_asked_again(&mut clients).await;
    }
    assert!(double.count("PUT") >= 4, "there were rotations");
    drop(believe);
    let address = replicas[0].address;
    let outdated = review(address, &first_roots, clock.clone()).await;
    assert!(outdated.is_err(), "a root of more than a year ago is believed no more");
    trigger.drain();
    assert!(tasks.join_all(PATIENCE).await.is_empty());
    assert_eq!(*failures.lock().unwrap(), Vec::<String>::new());
}

/// Waits until each client has asked each replica after now.
async fn all_asked_again(clients: &mut [watch::Receiver<usize>]) {
    for client in clients {
        // One may be on its way already.
        let enough = *client.borrow() + 3;
        timeout(PATIENCE, client.wait_for(|count| *count >= enough)).await.unwrap().unwrap();
    }
}
