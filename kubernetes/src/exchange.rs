//! One request and its answer, on a connection of its own, driven by whoever waits for it.
//!
//! HTTP/1.1: an answer that is long in coming, as a watch is, then stands in nobody's way, and nothing is shared that
//! could break under others.

use std::{io, pin::Pin, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Response, StatusCode, body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{Place, RequestError};

/// A connection on which nothing comes is looked after by the kernel: asked this often whether it is there,
const KEEPALIVE: Duration = Duration::from_secs(10);
/// and given up when nothing is acknowledged for this long.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(30);

type Connection = http1::Connection<TokioIo<TlsStream<TcpStream>>, Full<Bytes>>;

/// An answer whose body is still coming.
pub(crate) struct Exchange {
    status: StatusCode,
    body: Incoming,
    /// Drives the connection; absent once it has ended.
    connection: Option<Pin<Box<Connection>>>,
}

impl Exchange {
    /// Sends `request`, and waits for the head of the answer.
    pub(crate) async fn begin(
        place: &Place,
        name: ServerName<'static>,
        tls: &TlsConnector,
        request: Request<Full<Bytes>>,
    ) -> Result<Self, RequestError> {
        let stream = connect(place).await.map_err(RequestError::Connect)?;
        let stream = tls.connect(name, stream).await.map_err(RequestError::Connect)?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let mut connection = Some(Box::pin(connection));
        let mut response = std::pin::pin!(sender.send_request(request));
        let response: Response<Incoming> = tokio::select! {
            response = response.as_mut() => response?,
            // It closed. Whether the answer came before that, the request knows.
            () = driven(&mut connection) => response.await?,
        };
        let status = response.status();
        Ok(Self { status, body: response.into_body(), connection })
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    /// The next piece of the body; `None` at its end. May be dropped at any time, and loses nothing.
    pub(crate) async fn piece(&mut self) -> Result<Option<Bytes>, RequestError> {
        loop {
            let frame = tokio::select! {
                // What has come is handed on before the end of the connection is noticed.
                biased;
                frame = self.body.frame() => frame,
                () = driven(&mut self.connection) => self.body.frame().await,
            };
            match frame {
                None => return Ok(None),
                Some(frame) => {
                    // What is no data is trailers.
                    if let Ok(piece) = frame?.into_data() {
                        return Ok(Some(piece));
                    }
                }
            }
        }
    }

    /// The rest of the body, of at most `bytes_max` bytes.
    pub(crate) async fn rest(&mut self, bytes_max: usize) -> Result<Vec<u8>, RequestError> {
        let mut rest = Vec::new();
        while let Some(piece) = self.piece().await? {
            if rest.len() + piece.len() > bytes_max {
                return Err(RequestError::Answer(format!("it has more than {bytes_max} bytes")));
            }
            rest.extend_from_slice(&piece);
        }
        Ok(rest)
    }
}

/// Drives a connection until it ends; one that has ended is waited for for ever.
async fn driven(connection: &mut Option<Pin<Box<Connection>>>) {
    match connection {
        Some(running) => {
            // Why it broke is what the request or the body says.
            let _ = running.as_mut().await;
            *connection = None;
        }
        None => std::future::pending().await,
    }
}

async fn connect(place: &Place) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((place.host.as_str(), place.port)).await?;
    stream.set_nodelay(true)?;
    let socket = SockRef::from(&stream);
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE))?;
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX))?;
    Ok(stream)
}
