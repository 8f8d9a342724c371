//! One server connection: HTTP/1.1 or HTTP/2, until it ends or is drained.

use std::{convert::Infallible, error::Error, future::Future, time::Duration};

use http::{Request, Response};
use hyper::{
    body::{Body, Incoming},
    rt::Executor,
    server::conn::http2,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use weft_api::{bootstrap::MeshHttp, names};

use super::{
    gathered::{Company, gathered},
    interim::{Folded, Interim, may_fold},
    rest,
};
use crate::fault::Fault;

/// A request's headers must be complete within this time, in HTTP/1.1 from their first byte on, to the second.
pub(super) const HEADERS_TIMEOUT: Duration = Duration::from_secs(10);
/// Most bytes of request headers (RFC 6585 answers more with 431).
pub(super) const HEADER_BYTES_MAX: usize = 64 * 1024;
/// Most header lines of a request.
pub(super) const HEADERS_MAX: usize = 100;
/// Streams at once on one connection. Between sidecars all requests of a worker share one, so this is not small.
const STREAMS_MAX: u32 = 1024;
/// Bytes that may wait to be sent on one stream; hyper's 400 KiB would let one hostile connection hold hundreds of MiB.
const SEND_BUFFER_MAX: usize = 64 * 1024;
/// Window of one stream and of a connection: what a peer may send before it is read.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// A silent HTTP/2 peer is asked for a sign of life after this time, and is gone when there is none within the other.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// The two versions of HTTP that are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// HTTP/1.0 and 1.1.
    Http1,
    /// HTTP/2.
    Http2,
}

impl From<MeshHttp> for Version {
    fn from(link: MeshHttp) -> Self {
        match link {
            MeshHttp::Http1 => Self::Http1,
            MeshHttp::Http2 => Self::Http2,
        }
    }
}

/// What every response says of its version: hyper speaks that of the request, but only where this is said does it tell a
/// caller by HTTP/1.0 that the connection stays (RFC 9112, C.2.2).
pub const SAID: http::Version = http::Version::HTTP_11;

/// Spawns onto the worker's own thread.
#[derive(Clone, Copy, Debug)]
pub struct LocalExecutor;

impl<F: Future + 'static> Executor<F> for LocalExecutor
where
    F::Output: 'static,
{
    fn execute(&self, future: F) {
        // hyper's connection ends only after the streams that it has spawned here, and the connection is owned; what sends
        // its bytes ends with it.
        tokio::task::spawn_local(future);
    }
}

/// Answers every request of `io` by `respond`, until `ends`; what is under way ends first. What `respond` is told of takes
/// interim responses, if the caller does; over HTTP/2 only other sidecars do, whose connections say so by `folds`.
pub async fn serve<IO, R, F, B>(
    io: IO,
    version: Version,
    folds: bool,
    ends: impl Future<Output = ()>,
    respond: R,
) -> hyper::Result<()>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    R: Fn(Request<Incoming>, Option<Interim>) -> F + 'static,
    F: Future<Output = Response<B>> + Unpin + 'static,
    B: Body<Data = bytes::Bytes> + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    match version {
        Version::Http1 => rest::serve(io, ends, respond).await,
        Version::Http2 => {
            let company = Company::default();
            let (io, flush) = gathered(io, company.clone());
            let service = service_fn(move |mut request: Request<Incoming>| {
                let member = company.join();
                let folds = folds
                    && request.headers_mut().remove(names::HEADER_INTERIM).is_some()
                    && may_fold(request.method());
                let interim = folds.then(Interim::default);
                let response = respond(request, interim.clone());
                async move {
                    let response = match interim {
                        None => response.await.map(Folded::Plain),
                        Some(interim) => interim.fold(response).await,
                    };
                    drop(member);
                    Ok::<_, Infallible>(response)
                }
            });
            LocalExecutor.execute(flush);
            // In a box, or else an HTTP/1.1 connection that rests would hold as much.
            let mut connection = Box::pin(
                http2::Builder::new(LocalExecutor)
                    .timer(TokioTimer::new())
                    .keep_alive_interval(KEEP_ALIVE)
                    .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
                    .max_concurrent_streams(STREAMS_MAX)
                    // As many may be cancelled at once, by another sidecar whose callers have all gone: with h2's 20 that
                    // ends the connection, and the requests of others on it.
                    .max_pending_accept_reset_streams(STREAMS_MAX as usize)
                    .max_header_list_size(HEADER_BYTES_MAX as u32)
                    .max_send_buf_size(SEND_BUFFER_MAX)
                    .initial_stream_window_size(STREAM_WINDOW)
                    .initial_connection_window_size(CONNECTION_WINDOW)
                    .serve_connection(TokioIo::new(io), service),
            );
            tokio::select! {
                ended = connection.as_mut() => return ended,
                () = ends => connection.as_mut().graceful_shutdown(),
            }
            connection.await
        }
    }
}

/// The fault by which a connection has ended, if that was its peer's doing and no request tells of it. `served`: whether
/// there has been any.
pub fn fault(ended: &hyper::Error, version: Version, served: bool) -> Option<Fault> {
    if ended.is_parse() {
        return Some(Fault::BadRequest);
    }
    // In HTTP/1.1 the head of a request had begun. In HTTP/2, where the whole connection was silent, nobody knows.
    if ended.is_timeout() && (version == Version::Http1 || !served) {
        return Some(Fault::RequestTimeout);
    }
    let mut cause = ended.source();
    while let Some(inner) = cause {
        if let Some(h2) = inner.downcast_ref::<h2::Error>() {
            // What this side found wrong with the other one's frames.
            return h2.is_library().then_some(Fault::BadRequest);
        }
        cause = inner.source();
    }
    None
}
