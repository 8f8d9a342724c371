//! A new connection: TCP, then mTLS where a sidecar is at the other end.

use std::{fmt, io, net::SocketAddr, sync::Arc, time::Duration};

use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{TlsConnector, client::TlsStream};
use weft_api::names;

use super::{Mesh, Peer};
use crate::http::transport::Transport;

/// A TCP connection must be there within this time.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// A TLS handshake must be over within this time.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// A TCP peer that has been silent for so long is asked for a sign of life, so often, at this pause: one that is gone without
/// a word, as with its node, is noticed after 30 s, and not after the hour that opaque connections may be idle.
const SILENCE: Duration = Duration::from_secs(15);
const SIGN_PAUSE: Duration = Duration::from_secs(5);
const SIGNS: u32 = 3;
/// Bytes that were sent to it may be unacknowledged for as long.
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);

/// Why there is no connection. Clones go to everybody who waited for it.
#[derive(Clone, Debug)]
pub enum ConnectError {
    /// TCP: refused or unreachable.
    Tcp(Arc<str>),
    /// TCP or TLS: no answer in time.
    TimedOut(Arc<str>),
    /// TLS: failed, or the peer is not who it must be.
    Tls(Arc<str>),
    /// HTTP/2 did not come up.
    Http(Arc<str>),
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(reason) => write!(f, "TCP: {reason}"),
            Self::TimedOut(reason) => write!(f, "timed out: {reason}"),
            Self::Tls(reason) => write!(f, "TLS: {reason}"),
            Self::Http(reason) => write!(f, "HTTP: {reason}"),
        }
    }
}

/// What a dialled connection runs over.
pub type Io = Transport<TcpStream, Box<TlsStream<TcpStream>>>;

/// A connection to `peer` for requests.
pub async fn dial(peer: &Peer) -> Result<Io, ConnectError> {
    let stream = connect(peer.address, CONNECT_TIMEOUT).await?;
    match &peer.mesh {
        None => Ok(Io::Plain(stream)),
        Some(mesh) => handshake(peer, mesh, &mesh.config, stream).await,
    }
}

/// A connection to `peer` for bytes that nobody looks at.
pub async fn dial_opaque(peer: &Peer) -> Result<Io, ConnectError> {
    dial_as(peer, names::ALPN_MESH_TCP).await
}

/// A connection to `peer` for something else than its pool is for: a sidecar is told so by `alpn`.
pub(super) async fn dial_as(peer: &Peer, alpn: &[u8]) -> Result<Io, ConnectError> {
    let stream = connect(peer.address, CONNECT_TIMEOUT).await?;
    match &peer.mesh {
        None => Ok(Io::Plain(stream)),
        Some(mesh) => {
            // Next to the handshake a copy costs nothing, and most peers never need one.
            let mut config = ClientConfig::clone(&mesh.config);
            config.alpn_protocols = vec![alpn.to_vec()];
            handshake(peer, mesh, &Arc::new(config), stream).await
        }
    }
}

/// A TCP connection to `address` that is there within `limit`.
pub async fn connect(address: SocketAddr, limit: Duration) -> Result<TcpStream, ConnectError> {
    let tcp = |error: io::Error| ConnectError::Tcp(format!("{address}: {error}").into());
    let stream = timeout(limit, TcpStream::connect(address))
        .await
        .map_err(|_| ConnectError::TimedOut(format!("{address}: no connection within {limit:?}").into()))?
        .map_err(tcp)?;
    stream.set_nodelay(true).map_err(tcp)?;
    watch(&stream).map_err(tcp)?;
    Ok(stream)
}

/// Lets the kernel notice that the peer of `socket` is gone without a word. Connections have it from their listener.
pub fn watch<'s>(socket: impl Into<SockRef<'s>>) -> io::Result<()> {
    let socket = socket.into();
    let signs = TcpKeepalive::new().with_time(SILENCE).with_interval(SIGN_PAUSE).with_retries(SIGNS);
    socket.set_tcp_keepalive(&signs)?;
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED))
}

async fn handshake(
    peer: &Peer,
    mesh: &Mesh,
    config: &Arc<ClientConfig>,
    stream: TcpStream,
) -> Result<Io, ConnectError> {
    let tls = |error: io::Error| {
        ConnectError::Tls(format!("{} as {}: {error}", peer.address, mesh.identity).into())
    };
    // The verifier looks for the SPIFFE id, not for a name; an address sends no SNI.
    let name = ServerName::IpAddress(peer.address.ip().into());
    let connector = TlsConnector::from(Arc::clone(config));
    let stream = timeout(HANDSHAKE_TIMEOUT, connector.connect(name, stream))
        .await
        .map_err(|_| {
            ConnectError::TimedOut(
                format!("{}: no handshake within {HANDSHAKE_TIMEOUT:?}", peer.address).into(),
            )
        })?
        .map_err(tls)?;
    Ok(Io::Mesh(Box::new(stream)))
}
