//! One connection to the endpoint: a single request in HTTP/1, everything about it bounded.

use std::{convert::Infallible, sync::Arc, time::Duration};

use http_body_util::Full;
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};

use super::pages::{Page, Pages};

/// How long a client may take to send its request's head.
const HEAD_WAIT: Duration = Duration::from_secs(5);

/// How long a connection lasts at most. Together with one request a connection, it keeps a client that reads slowly
/// from holding a place for ever.
const CONNECTION_WAIT: Duration = Duration::from_secs(10);

/// Bytes of a request's head; the least that hyper allows, and a probe's is 200.
const HEAD_BYTES_MAX: usize = 8 * 1024;

/// Answers one request and closes.
pub(super) async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, pages: Arc<Pages>) {
    let answer = service_fn(|request: Request<Incoming>| {
        let page = pages.answer(request.method(), request.uri().path());
        async move { Ok::<_, Infallible>(response(page)) }
    });
    let connection = http1::Builder::new()
        .keep_alive(false)
        .max_buf_size(HEAD_BYTES_MAX)
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WAIT)
        .serve_connection(TokioIo::new(stream), answer);
    match timeout(CONNECTION_WAIT, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "admin connection failed"),
        Err(_) => tracing::debug!("admin connection took too long: closed"),
    }
}

fn response(page: Page) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(page.body));
    *response.status_mut() = page.status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(page.content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if page.status == StatusCode::METHOD_NOT_ALLOWED {
        // RFC 9110, 15.5.6: such an answer says what is allowed.
        headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    response
}

#[cfg(test)]
mod tests;
