//! The spine of a connection whose bytes are no HTTP: breaker, limit, endpoint, connection, bytes. Beside it, the way past
//! the mesh for what is not of it.

use std::{
    net::SocketAddr,
    rc::Rc,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use rand::Rng;
use tokio::net::TcpStream;

use super::outcome;
use crate::{
    admission::Admission,
    balance::{Endpoint, Picked},
    breaker::Permit,
    cluster::Cluster,
    connection::Connection,
    detect::Rewound,
    fault::Fault,
    snapshot::Opaque,
    tcp::{self, End, Socket},
    telemetry::connections::Passthrough,
    upstream::{self, Io, dial_opaque},
    worker::Worker,
};

/// Endpoints that are tried for one connection. No byte has been sent before one of them takes it.
const TRIES_MAX: u32 = 3;
/// A destination outside of the mesh may be far away: it gets as long as a patient application would give it.
const PASSTHROUGH_TIMEOUT: Duration = Duration::from_secs(10);
/// What connections past the mesh are counted under.
const PASSTHROUGH: &str = "passthrough";

/// An endpoint that has taken a connection.
struct Reached {
    io: Io,
    /// Load of the endpoint, for as long as the connection lives.
    _admission: Admission,
    /// Place within `limits.maxConnections`.
    _permit: Permit,
}

/// Carries a connection to an endpoint of `opaque` and back until it is over.
pub(super) async fn carry(
    worker: &Rc<Worker>,
    stream: Rewound<TcpStream>,
    opaque: &Opaque,
    mut connection: Connection,
) {
    connection.destination = Some(Arc::clone(&opaque.name));
    connection.route.clone_from(&opaque.route);
    if let Err(fault) = connection.room() {
        return refuse(&stream, connection, fault);
    }
    let backend = opaque.backends.pick(&mut *worker.random.borrow_mut());
    let reached = match backend.and_then(|backend| backend.cluster.as_ref()) {
        Some(cluster) => reach(worker, cluster, &mut connection).await,
        None => Err(Fault::BackendMissing),
    };
    match reached {
        Ok(mut reached) => relay(worker, stream, &mut reached.io, connection).await,
        Err(fault) => refuse(&stream, connection, fault),
    }
}

/// Carries a connection to where it was meant to go, as if there were no mesh.
pub(super) async fn pass_through(
    worker: &Rc<Worker>,
    stream: TcpStream,
    original: SocketAddr,
    reason: Passthrough,
    mut connection: Connection,
) {
    worker.shared.telemetry.connections.pass(reason);
    match reason {
        Passthrough::Unknown => tracing::debug!(%original, "not of the mesh: passed through"),
        Passthrough::Unanswered => {
            tracing::warn!(%original, "no answer from the control plane in time: passed through in plaintext");
        }
        Passthrough::TooMany => {
            tracing::warn!(%original, "too many destinations: passed through in plaintext");
        }
    }
    connection.destination = Some(PASSTHROUGH.into());
    connection.address = Some(original);
    if let Err(fault) = connection.room() {
        return refuse(&stream, connection, fault);
    }
    match upstream::connect(original, PASSTHROUGH_TIMEOUT).await {
        Ok(mut far) => relay(worker, stream, &mut far, connection).await,
        Err(error) => {
            tracing::debug!(%original, %error, "passed through, but nobody takes it");
            refuse(&stream, connection, Fault::ConnectFailed);
        }
    }
}

/// Refuses a connection to what is not of the mesh, or not known to be.
pub(super) fn keep_in(
    stream: &TcpStream,
    original: SocketAddr,
    reason: Passthrough,
    mut connection: Connection,
) {
    tracing::debug!(%original, ?reason, "nothing is called here that is not of the mesh: refused");
    connection.destination = Some(PASSTHROUGH.into());
    let fault = match reason {
        Passthrough::Unknown => Fault::UnknownDestination,
        Passthrough::Unanswered => Fault::NotConfigured,
        Passthrough::TooMany => Fault::Overflow,
    };
    refuse(stream, connection, fault);
}

async fn reach(
    worker: &Worker,
    cluster: &Arc<Cluster>,
    connection: &mut Connection,
) -> Result<Reached, Fault> {
    let mut tried: Vec<Arc<Endpoint>> = Vec::new();
    let mut last = Fault::NoEndpoint;
    let limits = &cluster.guard.limits;
    let hash = cluster.affinity.as_ref().map(|affinity| {
        let random = || worker.random.borrow_mut().random();
        affinity.of_connection(connection.caller()).unwrap_or_else(random)
    });
    let overflow = |_| {
        cluster.guard.counts.overflows.fetch_add(1, Relaxed);
        Fault::Overflow
    };
    while connection.tries < TRIES_MAX {
        let now = Instant::now();
        let backend = cluster.guard.enter_opaque(now)?;
        let picked = cluster.endpoints.pick(now, &mut *worker.random.borrow_mut(), hash, &tried);
        let Some(Picked { endpoint, pass, in_flight }) = picked else { break };
        if tried.iter().any(|other| Arc::ptr_eq(other, &endpoint)) {
            break;
        }
        let peer = Arc::clone(&endpoint.peer);
        tried.push(Arc::clone(&endpoint));
        let mut admission =
            Admission { route: None, backend, endpoint, pass, in_flight, sent: now, headers: None };
        let permit = limits.connections.try_acquire().map_err(overflow)?;
        let pending = limits.pending.try_acquire().map_err(overflow)?;
        connection.tries += 1;
        connection.address = Some(peer.address);
        connection.tls = peer.mesh.is_some();
        connection.peer = peer.identity().cloned();
        let dialled = dial_opaque(&peer).await;
        drop(pending);
        let now = Instant::now();
        match dialled {
            Ok(io) => {
                admission.succeed(now);
                return Ok(Reached { io, _admission: admission, _permit: permit });
            }
            Err(error) => {
                tracing::debug!(destination = %cluster.name(), address = %peer.address, %error, "try failed");
                let (event, fault) = outcome::of_connecting(&error);
                admission.report(event, worker.is_starved(now), now);
                last = fault;
            }
        }
    }
    Err(last)
}

async fn relay<A, B>(worker: &Worker, mut stream: A, far: &mut B, mut connection: Connection)
where
    A: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Socket,
    B: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Socket,
{
    let end = tcp::relay(&worker.scratch, &mut stream, far, connection.open()).await;
    if !matches!(end, End::Complete) {
        tcp::break_off(&stream);
        tcp::break_off(far);
    }
    connection.end(&end);
}

fn refuse(stream: &impl Socket, connection: Connection, fault: Fault) {
    tcp::break_off(stream);
    connection.refuse(fault);
}
