//! Processes that are killed: what runs on, what comes back, and that nothing goes back in time.

use std::collections::BTreeMap;

use http::StatusCode;
use rustix::process::Signal;
use weft_tests::{
    backend::Backend,
    client::try_get,
    load::Load,
    mesh::{CONTROL_PLANE, Mesh},
    metrics::Metrics,
    patience::until,
    plan::{Plan, Service},
};

use crate::{
    WEFT,
    files::{plan, route_to, until_served_by},
};

/// Watches the generations that sidecars hold.
struct Generations(BTreeMap<(String, String), f64>);

impl Generations {
    /// Looks at all sidecars once. Panics if any holds an older generation of a resource than before.
    async fn look(&mut self, mesh: &Mesh) {
        for process in mesh.sidecars() {
            let metrics = mesh.metrics(&process).await;
            for (resource, generation) in metrics.series("weft_xds_resource_generation") {
                let held = self.0.entry((process.clone(), resource.to_owned())).or_insert(generation);
                assert!(*held <= generation, "{process}: {resource} went back from {held} to {generation}");
                *held = generation;
            }
        }
    }
}

async fn is_connected(mesh: &Mesh, process: &str) -> bool {
    mesh.metrics(process).await.get("weft_xds_connected", &[]) == Some(1.0)
}

#[tokio::test]
async fn without_a_control_plane_traffic_flows_and_its_return_is_not_noticed() {
    let (blue, green) = (Backend::healthy("blue").await, Backend::healthy("green").await);
    let mesh = Mesh::run(WEFT, &plan(&blue, &green)).await;
    let load = Load::start(mesh.entrance("shop"), 4);
    load.more(50).await;
    let mut generations = Generations(BTreeMap::new());
    generations.look(&mesh).await;
    assert!(!generations.0.is_empty(), "no sidecar tells of generations");

    let killed = mesh.pid(CONTROL_PLANE);
    mesh.signal(CONTROL_PLANE, Signal::KILL);
    for process in mesh.sidecars() {
        until("the sidecar notices", async || (!is_connected(&mesh, &process).await).then_some(())).await;
    }
    load.more(50).await;
    until("the control plane is started again", async || (mesh.pid(CONTROL_PLANE) != killed).then_some(()))
        .await;
    mesh.until_ready(CONTROL_PLANE).await;
    for process in mesh.sidecars() {
        until("the sidecar is connected again", async || {
            generations.look(&mesh).await;
            is_connected(&mesh, &process).await.then_some(())
        })
        .await;
    }
    mesh.write("route.yaml", &route_to("green"));
    until_served_by(&load, "green").await;
    generations.look(&mesh).await;
    let tally = load.stop().await;
    assert_eq!(tally.failed, 0, "{:?}", tally.failures);
}

#[tokio::test]
async fn an_edit_during_the_outage_is_in_force_after_it() {
    let (blue, green) = (Backend::healthy("blue").await, Backend::healthy("green").await);
    let mut mesh = Mesh::start(WEFT, &plan(&blue, &green)).await;
    let load = Load::start(mesh.entrance("shop"), 2);
    load.more(20).await;
    mesh.process(CONTROL_PLANE).signal(Signal::KILL);
    mesh.process(CONTROL_PLANE).end().await;
    mesh.write("route.yaml", &route_to("green"));
    load.more(50).await;
    assert_eq!(load.tally().served_by("green"), 0, "there was nobody to tell of the edit");
    mesh.restart(CONTROL_PLANE);
    mesh.until_ready(CONTROL_PLANE).await;
    until_served_by(&load, "green").await;
    let tally = load.stop().await;
    assert_eq!(tally.failed, 0, "{:?}", tally.failures);
}

#[tokio::test]
async fn a_sidecar_that_is_killed_is_started_again() {
    let app = Backend::healthy("api").await;
    let mesh = Mesh::run(WEFT, &Plan::of(vec![Service::meshed("api", &[app.address()])])).await;
    let entrance = mesh.entrance("api");
    for process in ["api-0-proxy", "web-proxy"] {
        let killed = mesh.pid(process);
        mesh.signal(process, Signal::KILL);
        until("it is started again", async || (mesh.pid(process) != killed).then_some(())).await;
        mesh.until_ready(process).await;
        let metrics = Metrics::of(mesh.admin(process)).await.expect("a ready sidecar answers");
        assert_eq!(metrics.get("weft_xds_connected", &[]), Some(1.0), "{process}");
        until("requests are served again", async || {
            try_get(entrance, "/").await.ok().filter(|answer| answer.status == StatusCode::OK)
        })
        .await;
    }
}
