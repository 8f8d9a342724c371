//! Finds out whether ejected endpoints are back: a connection, handshake included, before any request has to try.

use std::{
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    balance::Endpoint,
    breaker::{Event, Limits, Outcome, State, classify},
    upstream::{ConnectError, SendError},
    worker::Worker,
};

/// How often breakers are looked at. Their times are exact all the same: this only bounds how late a state is noticed
/// while no request asks.
const TICK: Duration = Duration::from_millis(100);

/// Looks at all breakers for ever. One worker of a proxy does this for all.
pub async fn run(worker: Rc<Worker>) {
    loop {
        tokio::time::sleep(TICK).await;
        let now = Instant::now();
        let snapshot = worker.shared.snapshots.load();
        for target in snapshot.guards().values().filter_map(|guard| guard.target.as_ref()) {
            target.poll(now);
        }
        for cluster in snapshot.clusters.values() {
            for endpoint in
                cluster.endpoints.iter().filter(|endpoint| endpoint.accrual.breaker.state() != State::Closed)
            {
                if let Some(pass) = endpoint.accrual.acquire_connect(now) {
                    let (worker, endpoint) = (Rc::clone(&worker), Arc::clone(endpoint));
                    let (limits, failures) = (cluster.guard.limits.clone(), cluster.guard.failures.clone());
                    let tasks = worker.tasks.clone();
                    tasks.spawn_local("probe", async move {
                        let outcome = match connect(&worker, &endpoint, &limits).await {
                            Ok(()) => Outcome::Success,
                            Err(event) => {
                                classify(event, &failures, worker.is_starved(Instant::now())).outcome
                            }
                        };
                        endpoint.accrual.report(Some(pass), Instant::now(), outcome);
                    });
                }
            }
        }
    }
}

async fn connect(worker: &Worker, endpoint: &Endpoint, limits: &Limits) -> Result<(), Event> {
    worker.pools.connect(&endpoint.peer, limits).await.map_err(|error| match error {
        SendError::Connect(ConnectError::TimedOut(_)) => Event::ConnectTimedOut,
        SendError::Connect(ConnectError::Tls(_)) => Event::TlsFailed,
        SendError::Overflow => Event::LocalReject,
        _ => Event::ConnectFailed,
    })
}
