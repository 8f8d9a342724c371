//! Sidecars that end and come back while requests are under way: asked to, in the order of native sidecars, and killed.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use http::{Method, Request, StatusCode};
use rustix::process::Signal;
use weft_runtime::Tasks;
use weft_tests::{
    backend::{Backend, Reply},
    client::{Answer, Connection, Version, request, with_header},
    config,
    patience::{PATIENCE, until},
    pods::{Cluster, Condition, Family, PodPlan, ServicePlan},
};

use crate::{GRPC, HTTP1, HTTP2, WEFT, is_skipped, open, service};

/// The pods that are behind the service one after another, of which [`REPLICAS`] are there at a time.
const SERVERS: [&str; 4] = ["one", "two", "three", "four"];
const REPLICAS: usize = 2;
/// Pods that are replaced, unless somebody wants more of it.
const REPLACED: usize = 8;
/// Requests of each protocol that are under way at once.
const CALLERS: usize = 8;
/// A sidecar that was killed serves again within this time.
const BACK: Duration = Duration::from_millis(200);
/// How often it is killed.
const KILLS: usize = 5;

/// The protocols that are spoken to the service, by its ports.
const SPOKEN: [(&str, u16, Version); 3] =
    [("HTTP/1.1", HTTP1, Version::Http1), ("HTTP/2", HTTP2, Version::Http2), ("gRPC", GRPC, Version::Http2)];

/// A caller, and a service.
async fn start() -> Cluster {
    let pods = [PodPlan::meshed("client")].into_iter().chain(SERVERS.map(PodPlan::meshed)).collect();
    let ports = vec![(HTTP1, ""), (HTTP2, "kubernetes.io/h2c"), (GRPC, "grpc")];
    let shop = ServicePlan { name: "shop", pods: SERVERS.to_vec(), ports };
    Cluster::start(WEFT, pods, vec![shop]).await
}

/// The application of a pod: one that ends as it is asked to.
fn application(cluster: &Cluster, pod: &'static str) -> [Backend; 3] {
    let at = |port, version, reply| Backend::at(cluster.listen(pod, port), pod, version, reply);
    [
        at(HTTP1, Version::Http1, Reply::Status(200)),
        at(HTTP2, Version::Http2, Reply::Status(200)),
        at(GRPC, Version::Http2, Reply::Grpc),
    ]
}

fn call(port: u16) -> Request<bytes::Bytes> {
    if port != GRPC {
        return request(Method::GET, "/");
    }
    let mut call = request(Method::POST, "/weft.test.Echo/Once");
    call = with_header(with_header(call, "content-type", "application/grpc"), "te", "trailers");
    *call.body_mut() = "message".into();
    call
}

/// Why an answer is none, if it is.
fn judge(port: u16, answer: anyhow::Result<Answer>) -> Result<(), String> {
    let answer = answer.map_err(|error| format!("{error:#}"))?;
    let trailers = answer.trailers.as_ref().or(Some(&answer.headers));
    let status = trailers.and_then(|trailers| trailers.get("grpc-status"));
    let is_well = answer.status == StatusCode::OK
        && (port != GRPC || (answer.text() == "message" && status.is_some_and(|status| status == "0")));
    if is_well { Ok(()) } else { Err(format!("{answer:?}")) }
}

/// What became of the requests of a protocol.
#[derive(Clone, Debug, Default)]
struct Tally {
    served: u64,
    lost: Vec<String>,
}

/// Callers of one protocol, each of whom asks again and again on one connection.
struct Callers {
    tally: Arc<Mutex<Tally>>,
    ends: Arc<AtomicBool>,
    tasks: Tasks,
}

impl Callers {
    async fn start(cluster: &Cluster, port: u16, version: Version) -> Self {
        let own = Self { tally: Arc::default(), ends: Arc::default(), tasks: Tasks::new() };
        let to = service(cluster, "shop", Family::V4, port);
        for _ in 0..CALLERS {
            let mut connection = open(cluster, "client", to, version).await;
            let (tally, ends) = (Arc::clone(&own.tally), Arc::clone(&own.ends));
            own.tasks.spawn("caller", async move {
                while !ends.load(Relaxed) {
                    let answer = connection.send(call(port)).await;
                    let judged = judge(port, answer);
                    let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
                    match judged {
                        Ok(()) => tally.served += 1,
                        Err(how) => return tally.lost.push(how),
                    }
                }
            });
        }
        own
    }

    fn tally(&self) -> Tally {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until so many more requests were answered.
    async fn more(&self, requests: u64) {
        let goal = self.tally().served + requests;
        until("requests are answered", async || {
            let tally = self.tally();
            (tally.served >= goal || !tally.lost.is_empty()).then_some(())
        })
        .await;
    }

    async fn end(self) -> Tally {
        self.ends.store(true, Relaxed);
        self.tasks.join_all(PATIENCE).await;
        self.tally()
    }
}

/// Ends the sidecar of a pod, which then is gone.
async fn end(cluster: &mut Cluster, pod: &'static str) {
    cluster.sidecar(pod).signal(Signal::TERM);
    let ended = cluster.sidecar(pod).end().await;
    assert!(ended.success(), "the sidecar of {pod} ended with {ended}");
    cluster.condition(pod, Condition::Starting);
}

#[tokio::test]
async fn root_a_rolling_restart_loses_no_request() {
    if is_skipped("root_a_rolling_restart_loses_no_request") {
        return;
    }
    let mut cluster = start().await;
    let mut apps = BTreeMap::new();
    for (index, pod) in SERVERS.into_iter().enumerate() {
        if index < REPLICAS {
            apps.insert(pod, application(&cluster, pod));
        } else {
            end(&mut cluster, pod).await;
        }
    }
    let mut callers = Vec::new();
    for (_, port, version) in SPOKEN {
        callers.push(Callers::start(&cluster, port, version).await);
    }
    let began = Instant::now();
    for number in 0..config::restarts(REPLACED) {
        // A new pod comes, as a Deployment has it by default: first its sidecar, then its application.
        let new = SERVERS[(number + REPLICAS) % SERVERS.len()];
        cluster.restart_sidecar(new);
        cluster.until_sidecar_ready(new).await;
        apps.insert(new, application(&cluster, new));
        cluster.condition(new, Condition::Ready);
        // And an old one is deleted: its application is asked to end before anybody has heard of it, and its native sidecar
        // once the application has ended.
        let old = SERVERS[number % SERVERS.len()];
        cluster.condition(old, Condition::Terminating);
        for app in apps.remove(old).expect("it was started") {
            app.stop().await;
        }
        end(&mut cluster, old).await;
        for callers in &callers {
            callers.more(100).await;
        }
    }
    let took = began.elapsed();
    for (callers, (protocol, ..)) in callers.into_iter().zip(SPOKEN) {
        let Tally { served, lost } = callers.end().await;
        eprintln!("{protocol}: {served} answered, {} lost, in {took:?}", lost.len());
        assert!(lost.is_empty(), "{protocol}: {lost:?}");
    }
}

/// How long it takes from the death of a pod's sidecar until a request of the client is answered through another one.
async fn killed(cluster: &mut Cluster, pod: &'static str) -> Duration {
    let to = service(cluster, "shop", Family::V4, HTTP1);
    let died = Instant::now();
    cluster.sidecar(pod).signal(Signal::KILL);
    cluster.sidecar(pod).end().await;
    cluster.restart_sidecar(pod);
    until("a request is answered", async || {
        let stream = cluster.connect("client", to).ok()?;
        let mut connection = Connection::over(stream, Version::Http1).await.ok()?;
        let answer = connection.send(call(HTTP1)).await.ok()?;
        (answer.status == StatusCode::OK).then_some(())
    })
    .await;
    died.elapsed()
}

#[tokio::test]
async fn root_a_sidecar_that_is_killed_serves_again_at_once() {
    if is_skipped("root_a_sidecar_that_is_killed_serves_again_at_once") {
        return;
    }
    let pods = vec![PodPlan::meshed("client"), PodPlan::meshed("one")];
    let shop = ServicePlan { name: "shop", pods: vec!["one"], ports: vec![(HTTP1, "")] };
    let mut cluster = Cluster::start(WEFT, pods, vec![shop]).await;
    let _app = Backend::at(cluster.listen("one", HTTP1), "one", Version::Http1, Reply::Status(200));
    for pod in ["one", "client"] {
        let mut times = Vec::new();
        for _ in 0..KILLS {
            times.push(killed(&mut cluster, pod).await);
        }
        times.sort();
        eprintln!("{pod}: {times:?}");
        // The rest of the tests compete for the processors with it: the quickest says how long it takes by itself.
        assert!(times[0] <= BACK, "the sidecar of {pod} served again after {times:?}");
    }
}
