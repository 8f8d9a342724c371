//! Pods that are replaced one after another while requests are under way, each in the order of native sidecars: nobody
//! notices.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Instant,
};

use weft_runtime::Tasks;
use weft_tests::{
    backend::{Backend, Reply},
    client::{Connection, Version},
    config,
    patience::{PATIENCE, until},
    pods::{Cluster, Condition, Family, PodPlan, ServicePlan},
};

use crate::{GRPC, HTTP1, HTTP2, WEFT, call, judge, turn};

/// Pods that are behind the service at a time.
const REPLICAS: usize = 2;
/// Pods that are replaced, unless somebody wants more of it.
const REPLACED: usize = 8;
/// Requests of each protocol that are under way at once.
const CALLERS: usize = 8;

/// The protocols that are spoken to the service, by its ports.
const SPOKEN: [(&str, u16, Version); 3] =
    [("HTTP/1.1", HTTP1, Version::Http1), ("HTTP/2", HTTP2, Version::Http2), ("gRPC", GRPC, Version::Http2)];

/// A caller, and a service whose first pods are there.
async fn start(servers: &[&'static str]) -> Cluster {
    let pods = servers.iter().enumerate().map(|(index, name)| {
        let pod = PodPlan::meshed(name);
        if index < REPLICAS { pod } else { pod.later() }
    });
    let pods = [PodPlan::meshed("client")].into_iter().chain(pods).collect();
    let ports = vec![(HTTP1, ""), (HTTP2, "kubernetes.io/h2c"), (GRPC, "grpc")];
    let shop = ServicePlan { name: "shop", pods: servers.to_vec(), ports };
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
        let to = SocketAddr::new(cluster.service("shop", Family::V4), port);
        for _ in 0..CALLERS {
            let mut connection = open(cluster, to, version).await;
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

/// A connection of the client, which goes to its own sidecar.
async fn open(cluster: &Cluster, to: SocketAddr, version: Version) -> Connection {
    let stream = cluster.connect("client", to).unwrap_or_else(|error| panic!("{to}: {error}"));
    let connection = Connection::over(stream, version).await;
    connection.unwrap_or_else(|error| panic!("{to}: {error:#}"))
}

/// Ends the sidecar of a pod, which then is gone.
async fn end(cluster: &mut Cluster, pod: &'static str) {
    cluster.end_sidecar(pod).await;
    cluster.condition(pod, Condition::Starting);
}

#[tokio::test]
async fn root_a_rolling_restart_loses_no_request() {
    let Some(_turn) = turn("root_a_rolling_restart_loses_no_request").await else { return };
    let replaced = config::restarts(REPLACED);
    // Each pod has a name, and an address, that none had before: what is known of the dead says nothing of those who come.
    let servers: Vec<&'static str> =
        (0..REPLICAS + replaced).map(|number| &*format!("server-{number}").leak()).collect();
    let mut cluster = start(&servers).await;
    let mut apps: BTreeMap<&str, _> = BTreeMap::new();
    for pod in &servers[..REPLICAS] {
        apps.insert(pod, application(&cluster, pod));
    }
    let mut callers = Vec::new();
    for (_, port, version) in SPOKEN {
        callers.push(Callers::start(&cluster, port, version).await);
    }
    let began = Instant::now();
    for (old, new) in servers.iter().zip(&servers[REPLICAS..]) {
        // A new pod comes, as a Deployment has it by default: first its sidecar, then its application.
        cluster.restart_sidecar(new);
        cluster.until_sidecar_ready(new).await;
        apps.insert(new, application(&cluster, new));
        cluster.condition(new, Condition::Ready);
        // And an old one is deleted: its application is asked to end before anybody has heard of it, and its native sidecar
        // once the application has ended.
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
        let faults = || {
            let logs = servers.iter().chain(&["client"]).flat_map(|pod| cluster.access_log(pod));
            logs.filter(|line| line["fault"].is_string()).map(|line| line.to_string()).collect::<Vec<_>>()
        };
        assert!(lost.is_empty(), "{protocol}: {lost:?}\n{}", faults().join("\n"));
    }
}
