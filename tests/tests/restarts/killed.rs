//! Sidecars that die, and are started again as a kubelet does: they serve at once.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use weft_tests::{
    backend::{Backend, Reply},
    client::{Connection, Version},
    patience::until,
    pods::{Cluster, Family, PodPlan, ServicePlan},
};

use crate::{HTTP1, WEFT, call, judge, turn};

/// A sidecar that was killed serves again within this time.
const BACK: Duration = Duration::from_millis(200);
/// How often it is killed at most, until it does: whatever else runs on the machine competes with it, and what counts is how
/// long it takes by itself.
const KILLS: usize = 20;

/// How long it takes from the death of a pod's sidecar until a request of the client is answered through another one.
async fn killed(cluster: &mut Cluster, pod: &'static str) -> Duration {
    let to = SocketAddr::new(cluster.service("shop", Family::V4), HTTP1);
    let died = Instant::now();
    cluster.sidecar(pod).signal(Signal::KILL);
    cluster.sidecar(pod).end().await;
    cluster.restart_sidecar(pod);
    until("a request is answered", async || {
        let stream = cluster.connect("client", to).ok()?;
        let mut connection = Connection::over(stream, Version::Http1).await.ok()?;
        judge(HTTP1, connection.send(call(HTTP1)).await).ok()
    })
    .await;
    died.elapsed()
}

#[tokio::test]
async fn root_a_sidecar_that_is_killed_serves_again_at_once() {
    let Some(_turn) = turn("root_a_sidecar_that_is_killed_serves_again_at_once").await else { return };
    let pods = vec![PodPlan::meshed("client"), PodPlan::meshed("one")];
    let shop = ServicePlan { name: "shop", pods: vec!["one"], ports: vec![(HTTP1, "")] };
    let mut cluster = Cluster::start(WEFT, pods, vec![shop]).await;
    let _app = Backend::at(cluster.listen("one", HTTP1), "one", Version::Http1, Reply::Status(200));
    for pod in ["one", "client"] {
        let mut times = Vec::new();
        while times.iter().all(|took| *took > BACK) {
            assert!(times.len() < KILLS, "the sidecar of {pod} served again after {times:?}");
            times.push(killed(&mut cluster, pod).await);
        }
        eprintln!("{pod}: {times:?}");
    }
}
