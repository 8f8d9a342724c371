//! The configuration stream: holds it, asks for what the listeners and the application's calls need and for nothing else,
//! and takes answers in.

// What is asked for, held, and made of the answers.
mod session;
// One stream over TLS.
mod stream;

use std::{path::PathBuf, sync::Arc, time::Duration};

use prometheus::{IntCounterVec, IntGauge, IntGaugeVec, Opts};
use rand::Rng;
use weft_api::bootstrap::Bootstrap;
use weft_identity::{SpiffeId, tls::Credentials};
use weft_runtime::{Registry, Shutdown, readiness::Hold};
use weft_xds::{
    core::{Locality, Node},
    subscriber::Subscriber,
};

use crate::{compile::Compiler, demand::Demands, snapshot::Snapshots};
use session::Session;

/// Least and most time before the next stream: full jitter over a back-off that doubles.
const RECONNECT_MIN: Duration = Duration::from_millis(500);
const RECONNECT_MAX: Duration = Duration::from_secs(30);

/// What the subscription needs.
pub struct Subscription {
    /// What the proxy was told at start.
    pub bootstrap: Bootstrap,
    /// Who the control plane must be.
    pub control_plane: SpiffeId,
    /// What arrives as secrets.
    pub credentials: Arc<Credentials>,
    /// Makes snapshots.
    pub compiler: Compiler,
    /// Takes them.
    pub snapshots: Arc<Snapshots>,
    /// What the application calls.
    pub demands: Arc<Demands>,
    /// Gauges of the stream.
    pub metrics: Metrics,
    /// Released with the first certificate, and with the first complete snapshot.
    pub holds: [Hold; 2],
}

/// What metrics show of the stream.
#[derive(Clone)]
pub struct Metrics {
    connected: IntGauge,
    nacks: IntCounterVec,
    generations: IntGaugeVec,
}

impl Metrics {
    /// Registers the stream's metrics.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let metrics = Self {
            connected: IntGauge::new("weft_xds_connected", "1 while the configuration stream stands.")?,
            nacks: IntCounterVec::new(
                Opts::new("weft_xds_nacks_total", "Resources refused, by kind."),
                &["kind"],
            )?,
            generations: IntGaugeVec::new(
                Opts::new(
                    "weft_xds_resource_generation",
                    "Generation of the version held, milliseconds since 1970.",
                ),
                &["kind", "name"],
            )?,
        };
        registry.register(Box::new(metrics.connected.clone()))?;
        registry.register(Box::new(metrics.nacks.clone()))?;
        registry.register(Box::new(metrics.generations.clone()))?;
        Ok(metrics)
    }
}

/// Subscribes until the process ends. What is held stays in force while there is no stream.
pub async fn run(subscription: Subscription, shutdown: Shutdown) {
    let Subscription { bootstrap, control_plane, credentials, compiler, snapshots, demands, metrics, holds } =
        subscription;
    let workload = &bootstrap.workload;
    let node = Node {
        id: format!("{}/{}", workload.namespace, workload.name),
        cluster: workload.service_account.clone(),
        locality: workload.zone().map(|zone| Locality { zone: zone.to_owned(), ..Locality::default() }),
        user_agent_name: "weft-proxy".to_owned(),
        ..Node::default()
    };
    let endpoint = stream::Endpoint::new(&bootstrap.control_plane, control_plane, &credentials);
    let targets = bootstrap.outbound.iter().map(|outbound| outbound.target.clone()).collect();
    let has_inbound = !bootstrap.inbound.is_empty() || bootstrap.transparent.is_some();
    let mut session = Session::new(
        Subscriber::new(node),
        targets,
        has_inbound,
        credentials,
        compiler,
        snapshots,
        demands,
        metrics.clone(),
        holds,
    );
    let mut failures: u32 = 0;
    loop {
        let ended = tokio::select! {
            ended = session.run(&endpoint) => ended,
            () = shutdown.aborting() => return,
        };
        metrics.connected.set(0);
        failures = if ended.had_answers { 0 } else { failures.saturating_add(1) };
        let pause = reconnect_pause(failures, rand::rng().random());
        tracing::warn!(error = %ended.error, pause_ms = pause.as_millis() as u64, "no configuration stream; what is held stays in force");
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = shutdown.aborting() => return,
        }
    }
}

/// A random time between the least pause and a bound that doubles with each failure. `unit` is from [0, 1).
fn reconnect_pause(failures: u32, unit: f64) -> Duration {
    let bound = RECONNECT_MIN
        .saturating_mul(1_u32.checked_shl(failures.saturating_add(1)).unwrap_or(u32::MAX))
        .min(RECONNECT_MAX);
    RECONNECT_MIN + bound.saturating_sub(RECONNECT_MIN).mul_f64(unit)
}

/// The token file's content, without the line break that editors add.
fn read_token(path: &PathBuf) -> std::io::Result<String> {
    Ok(std::fs::read_to_string(path)?.trim().to_owned())
}

#[cfg(test)]
mod tests;
