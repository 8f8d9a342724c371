//! One connection: TLS, then HTTP/2 or HTTP/1.1 as was agreed in the handshake, until it ends or is drained.

use std::{convert::Infallible, future::Future, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use hyper::{
    Request,
    body::Incoming,
    rt::Executor,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsAcceptor;
use weft_runtime::{Shutdown, Tasks};

use super::Reviewer;
use crate::certificate::ALPN_H2;

/// How long a handshake may take.
const HANDSHAKE_WAIT: Duration = Duration::from_secs(5);
/// How long an HTTP/1.1 connection may say nothing, or take for the head of a request.
const HEAD_WAIT: Duration = Duration::from_mins(1);
/// Bytes of a request's head; those of API servers have some hundred.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Reviews at once on one HTTP/2 connection; an API server opens another one for more.
const STREAMS_MAX: u32 = 128;
/// A silent HTTP/2 peer is asked after this time whether it is there, and has as long to answer.
const KEEPALIVE: Duration = Duration::from_secs(20);

/// Serves one connection, from its first byte to its last.
pub(super) async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    acceptor: TlsAcceptor,
    reviewer: Arc<Reviewer>,
    ends: Shutdown,
    tasks: Tasks,
) {
    // Answers are written whole: waiting for more only delays them.
    let _ = stream.set_nodelay(true);
    let stream = match timeout(HANDSHAKE_WAIT, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%peer, %error, "a handshake failed"),
        Err(_) => return tracing::debug!(%peer, "a handshake took too long"),
    };
    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(ALPN_H2);
    let service = service_fn(move |request: Request<Incoming>| {
        let reviewer = reviewer.clone();
        async move { Ok::<_, Infallible>(reviewer.answer(request).await) }
    });
    // The two arms are alike, but hyper gives the two connections no trait in common.
    let ended = if is_http2 {
        let mut server = http2::Builder::new(Owned(tasks));
        server
            .timer(TokioTimer::new())
            .keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(KEEPALIVE)
            .max_concurrent_streams(STREAMS_MAX)
            .max_header_list_size(HEAD_BYTES_MAX as u32);
        let mut connection = pin!(server.serve_connection(TokioIo::new(stream), service));
        tokio::select! {
            ended = connection.as_mut() => ended,
            () = ends.draining() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        }
    } else {
        let mut server = http1::Builder::new();
        server.timer(TokioTimer::new()).header_read_timeout(HEAD_WAIT).max_buf_size(HEAD_BYTES_MAX);
        let mut connection = pin!(server.serve_connection(TokioIo::new(stream), service));
        tokio::select! {
            ended = connection.as_mut() => ended,
            () = ends.draining() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "a connection broke");
    }
}

/// Runs the streams of a connection as tasks that have an owner.
#[derive(Clone)]
struct Owned(Tasks);

impl<F: Future<Output: Send> + Send + 'static> Executor<F> for Owned {
    fn execute(&self, stream: F) {
        self.0.spawn("stream", async move { drop(stream.await) });
    }
}
