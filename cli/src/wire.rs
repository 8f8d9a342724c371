//! One HTTP/1.1 connection to a process of this machine, driven by whoever uses it.

use std::{io, net::SocketAddr, pin::Pin, pin::pin, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1::{Connection, SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::timeout};

/// The longest answer that is read: the metrics of a sidecar are the longest, some tens of kilobytes.
const MAX_BODY: usize = 4 * 1024 * 1024;
/// A process of this machine answers a question about itself within this time, or does not count as up.
const PATIENCE: Duration = Duration::from_secs(2);

/// What moves the bytes of a connection.
type Driver = Connection<TokioIo<TcpStream>, Empty<Bytes>>;

/// Status and body.
pub(crate) type Answer = (StatusCode, Bytes);

/// A connection that is kept alive. It moves only while an exchange on it is awaited.
pub(crate) struct Wire {
    sender: SendRequest<Empty<Bytes>>,
    /// Absent once the connection has closed: it is dropped then, which tells the sender.
    driver: Option<Pin<Box<Driver>>>,
    host: HeaderValue,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("cannot connect: {0}")]
    Connect(#[source] io::Error),
    #[error("the connection broke: {0}")]
    Broken(#[from] hyper::Error),
    #[error("the path `{0}` is not one")]
    Path(String),
    #[error("the answer broke off or is longer than {MAX_BODY} bytes")]
    Body,
    #[error("no answer within {} s", PATIENCE.as_secs())]
    Slow,
}

impl Wire {
    /// Connects.
    pub(crate) async fn connect(address: SocketAddr) -> Result<Self, Failure> {
        let stream = TcpStream::connect(address).await.map_err(Failure::Connect)?;
        // Without it a small request waits for the peer's acknowledgement (Nagle's algorithm).
        stream.set_nodelay(true).map_err(Failure::Connect)?;
        let (sender, driver) = handshake(TokioIo::new(stream)).await?;
        let host = HeaderValue::from_str(&address.to_string())
            .expect("digits, dots, colons and brackets may stand in a header");
        Ok(Self { sender, driver: Some(Box::pin(driver)), host })
    }

    /// Sends one request without a body and reads the whole answer.
    pub(crate) async fn exchange(&mut self, method: Method, path: &str) -> Result<Answer, Failure> {
        let Self { sender, driver, host } = self;
        let mut request = Request::new(Empty::new());
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().map_err(|_| Failure::Path(path.to_owned()))?;
        request.headers_mut().insert(header::HOST, host.clone());
        let mut exchange = pin!(async {
            sender.ready().await?;
            let response = sender.send_request(request).await?;
            let status = response.status();
            let body = Limited::new(response.into_body(), MAX_BODY).collect().await;
            Ok((status, body.map_err(|_| Failure::Body)?.to_bytes()))
        });
        if let Some(open) = driver {
            tokio::select! {
                answer = exchange.as_mut() => return answer,
                // It closed. Whether the answer came before that, the exchange knows.
                _ = open => *driver = None,
            }
        }
        exchange.await
    }

    /// Whether another exchange may be tried.
    pub(crate) fn is_open(&self) -> bool {
        self.driver.is_some() && !self.sender.is_closed()
    }
}

/// The answer to `GET path` on a connection of its own.
pub(crate) async fn get(address: SocketAddr, path: &str) -> Result<Answer, Failure> {
    once(address, Method::GET, path).await
}

/// The answer to an empty `POST path` on a connection of its own.
pub(crate) async fn post(address: SocketAddr, path: &str) -> Result<Answer, Failure> {
    once(address, Method::POST, path).await
}

async fn once(address: SocketAddr, method: Method, path: &str) -> Result<Answer, Failure> {
    let exchange = async { Wire::connect(address).await?.exchange(method, path).await };
    timeout(PATIENCE, exchange).await.unwrap_or(Err(Failure::Slow))
}

#[cfg(test)]
mod tests;
