//! The listening side: TCP, TLS and HTTP/2, each within bounds.

use std::{future::Future, io, net::SocketAddr, sync::Arc, time::Duration};

use hyper::{rt::Executor, server::conn::http2};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use rustls::ServerConfig;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use weft_identity::tls::peer_identity;
use weft_runtime::{Tasks, workers};
use weft_xds::discovery::aggregated_discovery_service_server::AggregatedDiscoveryServiceServer;

use super::{
    Shared,
    service::{Discovery, Newcomer},
};

/// Connections at once. Beyond them, new ones wait in the backlog.
const CONNECTIONS_MAX: usize = 16_384;
/// Connections at once of which nobody knows yet whose they are: a stampede must not starve those who are in.
const NEWCOMERS_MAX: usize = 64;
/// How long a newcomer has for its handshake, and again for its first stream with a good token.
const NEWCOMER_WAIT: Duration = Duration::from_secs(10);
/// Largest message: far above a subscription to every name of a large mesh.
const MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Streams of one connection: a proxy needs one, and one more while it makes itself anew.
const STREAMS_MAX: u32 = 4;
/// Bytes of headers of one request: a token and little else.
const HEADER_BYTES_MAX: u32 = 16 * 1024;
/// A proxy that says nothing is asked after this long whether it is there,
const KEEPALIVE: Duration = Duration::from_secs(20);
/// and has this long to answer.
const KEEPALIVE_WAIT: Duration = Duration::from_secs(10);
/// Out of file descriptors, mostly: trying again at once would only burn time.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The xDS server.
pub struct Server {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    shared: Arc<Shared>,
    tasks: Tasks,
}

/// The server cannot listen.
#[derive(Debug, thiserror::Error)]
#[error("cannot serve proxies: {0}")]
pub struct AcceptError(#[from] io::Error);

impl Server {
    /// Listens on `addr`. Must run inside a runtime; its tasks belong to `tasks`.
    pub fn bind(
        addr: SocketAddr,
        tls: Arc<ServerConfig>,
        shared: Arc<Shared>,
        tasks: Tasks,
    ) -> Result<Self, AcceptError> {
        let listener = TcpListener::from_std(workers::listen(addr)?)?;
        Ok(Self { listener, acceptor: TlsAcceptor::from(tls), shared, tasks })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Takes connections until the process drains.
    pub async fn run(self) {
        let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let newcomers = Arc::new(Semaphore::new(NEWCOMERS_MAX));
        let shutdown = self.shared.shutdown.clone();
        tokio::select! {
            () = self.accept(&connections, &newcomers) => {}
            () = shutdown.draining() => {}
        }
    }

    async fn accept(&self, connections: &Arc<Semaphore>, newcomers: &Arc<Semaphore>) {
        loop {
            let connection = connections.clone().acquire_owned().await.expect("nobody closes the semaphore");
            let newcomer = newcomers.clone().acquire_owned().await.expect("nobody closes the semaphore");
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    let (acceptor, shared, tasks) =
                        (self.acceptor.clone(), self.shared.clone(), self.tasks.clone());
                    self.tasks.spawn("proxy connection", async move {
                        serve(stream, peer, acceptor, shared, tasks, newcomer).await;
                        drop(connection);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection: trying again");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// One connection, from its first byte to its last.
async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    acceptor: TlsAcceptor,
    shared: Arc<Shared>,
    tasks: Tasks,
    newcomer: OwnedSemaphorePermit,
) {
    // Messages are written whole: waiting for more only delays them.
    let _ = stream.set_nodelay(true);
    let stream = match timeout(NEWCOMER_WAIT, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%peer, %error, "a handshake failed"),
        Err(_) => return tracing::debug!(%peer, "a handshake took too long"),
    };
    let newcomer = Newcomer::new(newcomer);
    let shutdown = shared.shutdown.clone();
    let certificates = stream.get_ref().1.peer_certificates();
    let account = certificates.map(peer_identity).transpose().unwrap_or_default();
    let discovery = Discovery { shared, peer, account, newcomer: newcomer.clone() };
    let service = AggregatedDiscoveryServiceServer::new(discovery)
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    let mut server = http2::Builder::new(Owned(tasks));
    server
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE_WAIT)
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEADER_BYTES_MAX);
    let connection = server.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    let mut connection = std::pin::pin!(connection);
    let mut deadline = std::pin::pin!(sleep(NEWCOMER_WAIT));
    loop {
        tokio::select! {
            ended = connection.as_mut() => return log_end(peer, ended),
            () = deadline.as_mut(), if !deadline.is_elapsed() => {
                if newcomer.is_unknown() {
                    return tracing::debug!(%peer, "nobody on this connection said who they are");
                }
            }
            () = shutdown.draining() => {
                connection.as_mut().graceful_shutdown();
                return log_end(peer, connection.await);
            }
        }
    }
}

fn log_end(peer: SocketAddr, ended: hyper::Result<()>) {
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "a connection broke");
    }
}

/// Runs the streams of a connection as tasks that have an owner.
#[derive(Clone)]
struct Owned(Tasks);

impl<F: Future<Output: Send> + Send + 'static> Executor<F> for Owned {
    fn execute(&self, stream: F) {
        self.0.spawn("proxy stream", async move { drop(stream.await) });
    }
}
