//! One HTTP connection of a caller.

use std::net::SocketAddr;

use anyhow::Context;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header::HOST};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use weft_runtime::Tasks;

use crate::patience::within;

/// Authority that all requests are for. Nothing in the mesh goes by it.
pub const AUTHORITY: &str = "app.test";

/// Version of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2, without TLS if nobody else adds it.
    Http2,
}

/// A response, whole.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
    /// Trailers, if there were any.
    pub trailers: Option<HeaderMap>,
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header, or nothing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// A connection. Requests follow one another on it.
pub struct Connection {
    sender: Sender,
    /// Ends with the connection.
    _tasks: Tasks,
}

enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Connection {
    /// Connects by TCP.
    pub async fn open(address: SocketAddr, version: Version) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await.with_context(|| format!("connect to {address}"))?;
        Self::over(stream, version).await
    }

    /// Speaks HTTP over `io`.
    pub async fn over<S>(io: S, version: Version) -> anyhow::Result<Self>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let tasks = Tasks::new();
        // Whoever sends learns of the connection's end by its own request.
        let sender = match version {
            Version::Http1 => {
                let (sender, connection) = http1::handshake(TokioIo::new(io)).await?;
                tasks.spawn("client connection", async move { drop(connection.await) });
                Sender::Http1(sender)
            }
            Version::Http2 => {
                let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(io)).await?;
                tasks.spawn("client connection", async move { drop(connection.await) });
                Sender::Http2(sender)
            }
        };
        Ok(Self { sender, _tasks: tasks })
    }

    /// Sends `request`, whose target is a path, and reads the response to its end.
    pub async fn send(&mut self, request: Request<Bytes>) -> anyhow::Result<Answer> {
        let (mut parts, body) = request.into_parts();
        let response = match &mut self.sender {
            Sender::Http1(sender) => {
                parts.headers.insert(HOST, HeaderValue::from_static(AUTHORITY));
                sender.ready().await?;
                sender.send_request(Request::from_parts(parts, Full::new(body))).await?
            }
            Sender::Http2(sender) => {
                let mut uri = parts.uri.into_parts();
                uri.scheme = Some("http".parse()?);
                uri.authority = Some(AUTHORITY.parse()?);
                parts.uri = Uri::from_parts(uri)?;
                sender.ready().await?;
                sender.send_request(Request::from_parts(parts, Full::new(body))).await?
            }
        };
        let (head, body) = response.into_parts();
        let body = body.collect().await?;
        let trailers = body.trailers().cloned();
        Ok(Answer { status: head.status, headers: head.headers, body: body.to_bytes(), trailers })
    }
}

/// A request for `path`, without a body.
pub fn request(method: Method, path: &str) -> Request<Bytes> {
    let mut request = Request::new(Bytes::new());
    *request.method_mut() = method;
    *request.uri_mut() = path.parse().unwrap_or_else(|error| panic!("{path}: {error}"));
    request
}

/// `request` with another header.
pub fn with_header(mut request: Request<Bytes>, name: &'static str, value: &str) -> Request<Bytes> {
    let value = value.parse().unwrap_or_else(|error| panic!("{value}: {error}"));
    request.headers_mut().insert(name, value);
    request
}

/// One request on a connection of its own, by HTTP/1.1. Panics if there is no response.
pub async fn send(address: SocketAddr, request: Request<Bytes>) -> Answer {
    let what = format!("{} {} at {address}", request.method(), request.uri());
    let answer = async { Connection::open(address, Version::Http1).await?.send(request).await };
    let answer = within(&format!("{what} is answered"), answer).await;
    answer.unwrap_or_else(|error| panic!("{what}: {error:#}"))
}

/// One GET on a connection of its own, by HTTP/1.1. Panics if there is no response.
pub async fn get(address: SocketAddr, path: &str) -> Answer {
    send(address, request(Method::GET, path)).await
}

/// One GET on a connection of its own, by HTTP/1.1.
pub async fn try_get(address: SocketAddr, path: &str) -> anyhow::Result<Answer> {
    Connection::open(address, Version::Http1).await?.send(request(Method::GET, path)).await
}
