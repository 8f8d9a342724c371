//! How a sidecar ends: what is in flight ends well, unless somebody insists.

use std::{net::SocketAddr, time::Duration};

use http::StatusCode;
use rustix::process::Signal;
use tokio::{
    net::TcpStream,
    sync::oneshot,
    time::{Instant, sleep},
};
use weft_runtime::Tasks;
use weft_tests::{
    backend::{Backend, Gate, Reply},
    client::{Answer, Version, try_get},
    mesh::{CONTROL_PLANE, Mesh},
    metrics::is_ready,
    patience::{until, within},
    plan::{Plan, Service},
};

use crate::WEFT;

/// A mesh with a request that its application holds back.
struct InFlight {
    mesh: Mesh,
    gate: Gate,
    answer: oneshot::Receiver<anyhow::Result<Answer>>,
    _app: Backend,
    _tasks: Tasks,
}

impl InFlight {
    /// `kept` = by `weft run`.
    async fn start(kept: bool) -> Self {
        let gate = Gate::closed();
        let app = Backend::start("api", Version::Http1, Reply::Held(gate.clone())).await;
        let plan = Plan::of(vec![Service::meshed("api", &[app.address()])]);
        let mesh = if kept { Mesh::run(WEFT, &plan).await } else { Mesh::start(WEFT, &plan).await };
        let (entrance, tasks) = (mesh.entrance("api"), Tasks::new());
        let (done, answer) = oneshot::channel();
        tasks.spawn("request in flight", async move {
            // Whoever waits for the answer has gone if this cannot be sent.
            let _ = done.send(try_get(entrance, "/").await);
        });
        until("the request is at the application", async || (app.count() == 1).then_some(())).await;
        Self { mesh, gate, answer, _app: app, _tasks: tasks }
    }

    /// Asks a sidecar to end, and waits until it tells others to go elsewhere.
    async fn terminate(&self, process: &str) {
        self.mesh.signal(process, Signal::TERM);
        let admin = self.mesh.admin(process);
        until("it is ready no more", async || (!is_ready(admin).await).then_some(())).await;
    }

    async fn answer(self) -> anyhow::Result<Answer> {
        within("the request ends", self.answer).await.expect("the task lives")
    }
}

#[tokio::test]
async fn a_request_in_flight_ends_well_on_both_sides() {
    let mut flight = InFlight::start(false).await;
    let processes = ["api-0-proxy", "web-proxy"];
    for process in processes {
        flight.terminate(process).await;
    }
    // Longer than a sidecar waits for whoever has nothing to say: this time is what the test is about.
    sleep(Duration::from_secs(3)).await;
    for process in processes {
        assert!(flight.mesh.process(process).ended().is_none(), "{process} left with a request in flight");
    }
    flight.gate.open();
    for process in processes {
        let status = flight.mesh.process(process).end().await;
        assert!(status.success(), "{process} ended with {status}");
    }
    let answer = flight.answer().await.expect("the request is answered");
    assert_eq!((answer.status, answer.text().as_str()), (StatusCode::OK, "api"));
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let mut flight = InFlight::start(false).await;
    flight.terminate("web-proxy").await;
    let asked = Instant::now();
    flight.mesh.signal("web-proxy", Signal::TERM);
    flight.mesh.process("web-proxy").end().await;
    // The plan gives it 20 s to drain.
    assert!(asked.elapsed() < Duration::from_secs(10), "it took {:?}", asked.elapsed());
    assert!(flight.answer().await.is_err(), "nobody had answered the request");
}

/// Every address at which the processes of the mesh tell of themselves.
fn admins(mesh: &Mesh) -> Vec<SocketAddr> {
    let processes = mesh.sidecars().into_iter().chain([CONTROL_PLANE.to_owned()]);
    processes.map(|process| mesh.admin(&process)).collect()
}

#[tokio::test]
async fn a_local_mesh_drains_and_leaves_nobody_behind() {
    let mut flight = InFlight::start(true).await;
    let admins = admins(&flight.mesh);
    flight.mesh.keeper().signal(Signal::TERM);
    let sidecar = flight.mesh.admin("api-0-proxy");
    until("its sidecars drain", async || (!is_ready(sidecar).await).then_some(())).await;
    flight.gate.open();
    let status = flight.mesh.keeper().end().await;
    assert!(status.success(), "`weft run` ended with {status}");
    // Whoever it started had ended before it did.
    for admin in &admins {
        assert!(TcpStream::connect(admin).await.is_err(), "somebody still listens on {admin}");
    }
    let answer = flight.answer().await.expect("the request is answered");
    assert_eq!((answer.status, answer.text().as_str()), (StatusCode::OK, "api"));
}

#[tokio::test]
async fn a_local_mesh_that_is_killed_leaves_nobody_behind() {
    let app = Backend::healthy("api").await;
    let mut mesh = Mesh::run(WEFT, &Plan::of(vec![Service::meshed("api", &[app.address()])])).await;
    let admins = admins(&mesh);
    mesh.keeper().signal(Signal::KILL);
    mesh.keeper().end().await;
    for admin in admins {
        until("nobody listens any more", async || TcpStream::connect(admin).await.err()).await;
    }
}
