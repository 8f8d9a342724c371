//! A client of one server, with connections that are kept alive.

use std::{
    io,
    str::FromStr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderValue, Request, StatusCode, Uri, header,
    uri::{Authority, PathAndQuery},
};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, task::JoinSet, time::timeout};

/// Connections kept for later.
const MAX_IDLE: usize = 64;
/// An answer must be there, whole, within this time.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The longest body that is read.
const MAX_BODY: usize = 64 * 1024;

/// One server, by name or address.
#[derive(Debug)]
pub(crate) struct Upstream {
    authority: Authority,
    host: HeaderValue,
    idle: Mutex<Vec<SendRequest<Empty<Bytes>>>>,
    connections: Mutex<JoinSet<()>>,
}

/// An address that is not `http://HOST[:PORT]`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not of the form http://HOST or http://HOST:PORT")]
pub struct InvalidAddress(String);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("the API cannot be reached")]
    Connect(#[source] io::Error),
    #[error("the connection to the API broke")]
    Broken(#[source] hyper::Error),
    #[error("the API's answer broke off or is too long")]
    Body,
    #[error("the API did not answer within {} s", TIMEOUT.as_secs())]
    Slow,
}

impl FromStr for Upstream {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let invalid = || InvalidAddress(text.to_owned());
        let uri: Uri = text.parse().map_err(|_| invalid())?;
        let authority = uri.authority().ok_or_else(invalid)?.clone();
        let bare = uri.path_and_query().is_none_or(|rest| rest == "/");
        if uri.scheme_str() != Some("http") || !bare || authority.as_str().contains('@') {
            return Err(invalid());
        }
        let host = HeaderValue::from_str(authority.as_str()).map_err(|_| invalid())?;
        Ok(Self { authority, host, idle: Mutex::default(), connections: Mutex::default() })
    }
}

impl Upstream {
    /// Status and body of `GET path`.
    pub(crate) async fn get(&self, path: &'static str) -> Result<(StatusCode, Bytes), Failure> {
        self.get_path(&PathAndQuery::from_static(path)).await
    }

    /// The same for a path that is not known when this is compiled.
    pub(crate) async fn get_path(&self, path: &PathAndQuery) -> Result<(StatusCode, Bytes), Failure> {
        timeout(TIMEOUT, self.try_get(path)).await.unwrap_or(Err(Failure::Slow))
    }

    async fn try_get(&self, path: &PathAndQuery) -> Result<(StatusCode, Bytes), Failure> {
        loop {
            let kept = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let reused = kept.is_some();
            let mut connection = match kept {
                Some(connection) => connection,
                None => self.connect().await?,
            };
            let response = match connection.send_request(self.request(path)).await {
                Ok(response) => response,
                // Closed while it lay idle, without a byte of an answer. GET is idempotent, so it may go again on
                // another connection (RFC 9112, section 9.3.1).
                Err(error) if reused && closed(&error) => continue,
                Err(error) => return Err(Failure::Broken(error)),
            };
            let status = response.status();
            let body = Limited::new(response.into_body(), MAX_BODY).collect().await;
            let body = body.map_err(|_| Failure::Body)?.to_bytes();
            self.keep(connection).await;
            return Ok((status, body));
        }
    }

    fn request(&self, path: &PathAndQuery) -> Request<Empty<Bytes>> {
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = Uri::from(path.clone());
        request.headers_mut().insert(header::HOST, self.host.clone());
        request
    }

    async fn connect(&self) -> Result<SendRequest<Empty<Bytes>>, Failure> {
        let host = self.authority.host().trim_start_matches('[').trim_end_matches(']');
        let port = self.authority.port_u16().unwrap_or(80);
        let stream = TcpStream::connect((host, port)).await.map_err(Failure::Connect)?;
        // Without it a small request waits for the peer's acknowledgement (Nagle's algorithm).
        stream.set_nodelay(true).map_err(Failure::Connect)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(Failure::Broken)?;
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        while connections.try_join_next().is_some() {}
        // How the connection ended is told to whoever sends on it.
        connections.spawn(async move { drop(connection.await) });
        Ok(sender)
    }

    /// Keeps a connection for the next request, if it takes one.
    async fn keep(&self, mut connection: SendRequest<Empty<Bytes>>) {
        if connection.ready().await.is_err() {
            return;
        }
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MAX_IDLE {
            idle.push(connection);
        }
    }
}

/// Whether the connection ended before a byte of the answer.
fn closed(error: &hyper::Error) -> bool {
    error.is_canceled() || error.is_closed() || error.is_incomplete_message()
}

#[cfg(test)]
mod tests;
