//! A server that ends gracefully: HTTP/1.1, keep-alive, a bound on connections.

use std::{convert::Infallible, pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinSet,
    time::timeout,
};

/// Connections open at once; more wait in the listener's backlog.
const MAX_CONNECTIONS: usize = 1024;
/// A client must have sent its request headers within this time.
const HEADERS_TIMEOUT: Duration = Duration::from_secs(10);
/// What is in flight when the service ends may take this long.
const DRAIN: Duration = Duration::from_secs(5);
/// Pause after a failed accept, so that running out of file descriptors does not become a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves `handler` on `listener` until `stop` resolves; then lets what is in flight finish.
pub(crate) async fn serve<H, F>(listener: TcpListener, handler: H, stop: impl Future<Output = ()>)
where
    H: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    let (draining, drain) = watch::channel(());
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    let mut stop = pin!(stop);
    loop {
        let accept = async {
            let permit = Arc::clone(&permits).acquire_owned().await.expect("the semaphore is never closed");
            (permit, listener.accept().await)
        };
        let (permit, stream) = tokio::select! {
            accepted = accept => accepted,
            () = &mut stop => break,
        };
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = stream else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let (handler, drain) = (handler.clone(), drain.clone());
        connections.spawn(async move {
            connection(stream, handler, drain).await;
            drop(permit);
        });
    }
    drop((listener, draining));
    // Whoever has not finished by then is cut off when the set is dropped.
    let _ = timeout(DRAIN, async { while connections.join_next().await.is_some() {} }).await;
}

/// One connection. When the sender of `drain` is gone, the request in flight is the last one.
async fn connection<H, F>(stream: TcpStream, handler: H, mut drain: watch::Receiver<()>)
where
    H: Fn(Request<Incoming>) -> F,
    F: Future<Output = Response<Full<Bytes>>>,
{
    // Without it small answers wait for the peer's acknowledgement (Nagle's algorithm).
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| {
        let answer = handler(request);
        async { Ok::<_, Infallible>(answer.await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    // An error here is the client's: it went away. There is nobody left to tell.
    tokio::select! {
        _ = connection.as_mut() => return,
        _ = drain.changed() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

/// An answer with a body of the given content type.
pub(crate) fn answer(status: StatusCode, content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content_type));
    response
}

/// An answer without a body.
pub(crate) fn empty(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}
