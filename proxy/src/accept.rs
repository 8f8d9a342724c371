//! Connections in: the listeners of one worker, a task for each connection, and how all of that ends.

use std::{future::Future, io, rc::Rc, sync::Arc, time::Duration};

use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{Instant, sleep},
};
use weft_runtime::{Shutdown, Tasks};

use crate::{
    detect::{self, Protocol},
    http::serve::{Version, serve},
    inbound, outbound,
    worker::Worker,
};

/// Connections at once on one worker; beyond them, new ones wait in the kernel's backlog.
const CONNECTIONS_MAX: usize = 10_000;
/// After SIGTERM, connections are still accepted for so long: others learn only by and by that this endpoint ends.
pub const WITHDRAWAL: Duration = Duration::from_secs(1);
/// Pause after an accept that failed for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// What the application still asks of others after the last request to it has ended has at least so much time.
pub const LAST_WORDS: Duration = Duration::from_secs(2);

/// Where a listener leads.
#[derive(Clone)]
pub enum Leads {
    /// Into the application; the port is the listener's.
    Inbound(u16),
    /// To the service of this listener resource.
    Outbound(Arc<str>),
}

/// Accepts on all `listeners` until the process is told to end, and then until all requests have ended or `grace` is
/// over. The inbound side goes first: while the application answers its last requests it may call others.
pub async fn run(worker: Rc<Worker>, listeners: Vec<(TcpListener, Leads)>, grace: Duration) {
    let shutdown = worker.shared.shutdown.clone();
    let (outbound_ends, outbound_shutdown) = Shutdown::manual();
    let (inbound_tasks, outbound_tasks) = (Tasks::new(), Tasks::new());
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let tls = inbound::server_config(&worker.shared.credentials);
    for (listener, leads) in listeners {
        let (worker, permits) = (Rc::clone(&worker), Arc::clone(&permits));
        match leads {
            Leads::Inbound(port) => {
                let tls = Arc::clone(&tls);
                let serve =
                    move |stream| inbound::connection(Rc::clone(&worker), stream, port, Arc::clone(&tls));
                let until = withdrawn(shutdown.clone());
                inbound_tasks
                    .spawn_local("listener", accept(listener, permits, inbound_tasks.clone(), until, serve));
            }
            Leads::Outbound(target) => {
                let ends = outbound_shutdown.clone();
                let serve =
                    move |stream| from_app(Rc::clone(&worker), stream, Arc::clone(&target), ends.clone());
                let ends = outbound_shutdown.clone();
                let until = async move { ends.draining().await };
                outbound_tasks
                    .spawn_local("listener", accept(listener, permits, outbound_tasks.clone(), until, serve));
            }
        }
    }
    shutdown.draining().await;
    let end = Instant::now() + grace + WITHDRAWAL;
    let cut = inbound_tasks.join_all(grace + WITHDRAWAL).await;
    outbound_ends.drain();
    // What is in flight outwards has the same time, though nothing may have come in at all.
    let left = end.saturating_duration_since(Instant::now()).max(LAST_WORDS);
    let cut = cut.len() + outbound_tasks.join_all(left).await.len();
    if cut > 0 {
        tracing::warn!(connections = cut, "the grace period is over: connections were cut");
    }
    worker.tasks.join_all(Duration::ZERO).await;
}

async fn withdrawn(shutdown: Shutdown) {
    shutdown.draining().await;
    sleep(WITHDRAWAL).await;
}

async fn accept<F>(
    listener: TcpListener,
    permits: Arc<Semaphore>,
    tasks: Tasks,
    until: impl Future<Output = ()>,
    serve: impl Fn(TcpStream) -> F,
) where
    F: Future<Output = io::Result<()>> + 'static,
{
    let mut until = std::pin::pin!(until);
    loop {
        let accepting = async {
            // Never closed: it lives in this function.
            let permit = Arc::clone(&permits).acquire_owned().await.ok()?;
            Some((listener.accept().await, permit))
        };
        let (accepted, permit) = tokio::select! {
            Some(accepted) = accepting => accepted,
            () = &mut until => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                // A connection that is gone already fails at its first read.
                let _ = stream.set_nodelay(true);
                let connection = serve(stream);
                tasks.spawn_local("connection", async move {
                    if let Err(error) = connection.await {
                        tracing::debug!(%peer, %error, "connection ended");
                    }
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection; trying again");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// A connection of the local application to an outbound listener.
async fn from_app(worker: Rc<Worker>, stream: TcpStream, target: Arc<str>, ends: Shutdown) -> io::Result<()> {
    let (protocol, stream) = detect::detect(stream).await?;
    let version = match protocol {
        Protocol::Http1 => Version::Http1,
        Protocol::Http2 => Version::Http2,
        Protocol::Tls => {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "this listener takes HTTP, and the mesh adds TLS by itself: call it with http://",
            ));
        }
    };
    let respond = move |request| outbound::respond(Rc::clone(&worker), Arc::clone(&target), request);
    serve(TokioIo::new(stream), version, ends, respond).await.map_err(io::Error::other)
}
