//! Whether connections of this process really go through the redirect. That needs no right, so it is what can be seen
//! where the rules themselves cannot be read.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    time::Duration,
};

use rustix::process::geteuid;
use socket2::SockRef;

use super::{arguments::Settings, original::original_destination};

/// Addresses that nobody has (RFC 5737, RFC 3849): whoever answers there is the redirect's end.
const NOBODY: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1))];
/// A connection within a machine takes far less.
const WAIT: Duration = Duration::from_secs(2);
/// Connections of others that may come in between.
const STRANGERS_MAX: usize = 16;

/// Why the redirect is not in force, or cannot be seen.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// This process is exempt.
    #[error(
        "this process runs as user {0}, the sidecar's, whose connections are not redirected: give this container \
         another `runAsUser`"
    )]
    Exempt(u32),
    /// Connections leave.
    #[error(
        "a connection to {target} did not come to port {port} of this pod ({source}): the redirect is not in force. \
         Without `weft-init`, the CNI mode must have installed it: see that its DaemonSet runs on this node, then \
         delete this pod, so that it is made anew"
    )]
    NotRedirected {
        /// Where the connection was to go.
        target: SocketAddr,
        /// Where it should have come.
        port: u16,
        /// What happened to it.
        source: io::Error,
    },
    /// The kernel tells another destination.
    #[error("a connection to {target} was redirected, but the kernel says that it was meant for {found}")]
    Misled {
        /// Where the connection was to go.
        target: SocketAddr,
        /// Where it was meant to go, by the kernel.
        found: SocketAddr,
    },
    /// Nothing leads outside.
    #[error(
        "neither IPv4 nor IPv6 has a route out of this pod, so no connection can show whether the redirect is in force"
    )]
    NoRoute,
    /// A connection within the pod was led astray.
    #[error("a connection within this pod did not arrive ({0}): something redirects loopback as well")]
    Loopback(io::Error),
    /// The port cannot be listened on.
    #[error("port {port} cannot be listened on: {source}")]
    Listen {
        /// Which.
        port: u16,
        /// Why.
        source: io::Error,
    },
}

/// Connects to where nobody is, and sees the connections arrive. Returns their destinations: one for each family that
/// has a route, none if all ports are skipped.
pub fn probe(settings: &Settings) -> Result<Vec<SocketAddr>, ProbeError> {
    let uid = geteuid().as_raw();
    if uid == settings.proxy_uid {
        return Err(ProbeError::Exempt(uid));
    }
    within_the_pod().map_err(ProbeError::Loopback)?;
    // 80 is as good as any, and what a reader of a packet dump would expect.
    let mut ports = (80..=u16::MAX).chain(1..80);
    let Some(port) = ports.find(|port| !settings.skip_outbound.contains(*port)) else {
        return Ok(Vec::new());
    };
    let targets = NOBODY.map(|address| SocketAddr::new(address, port));
    let targets: Vec<SocketAddr> = targets.into_iter().filter(|target| has_route(*target)).collect();
    if targets.is_empty() {
        return Err(ProbeError::NoRoute);
    }
    for target in &targets {
        is_redirected(*target, settings.outbound_port)?;
    }
    Ok(targets)
}

/// A connection to `target` comes to `port`.
fn is_redirected(target: SocketAddr, port: u16) -> Result<(), ProbeError> {
    let loopback: IpAddr = match target {
        SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    let listener = TcpListener::bind((loopback, port));
    let not_redirected = |source| ProbeError::NotRedirected { target, port, source };
    let stream = TcpStream::connect_timeout(&target, WAIT).map_err(not_redirected)?;
    let listener = match listener {
        Ok(listener) => listener,
        // The sidecar runs already, and answered where nobody is.
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Ok(()),
        Err(source) => return Err(ProbeError::Listen { port, source }),
    };
    let arrived = arrival(&listener, &stream).and_then(|arrived| original_destination(&arrived));
    match arrived {
        Ok(found) if found == target => Ok(()),
        Ok(found) => Err(ProbeError::Misled { target, found }),
        Err(source) => Err(not_redirected(source)),
    }
}

/// A listener of this process is reached without a detour.
fn within_the_pod() -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let stream = TcpStream::connect_timeout(&listener.local_addr()?, WAIT)?;
    arrival(&listener, &stream).map(|_| ())
}

/// The other end of `stream`, if it comes to `listener`.
fn arrival(listener: &TcpListener, stream: &TcpStream) -> io::Result<TcpStream> {
    // The kernel obeys it in `accept` too.
    SockRef::from(listener).set_read_timeout(Some(WAIT))?;
    let own = stream.local_addr()?;
    for _ in 0..STRANGERS_MAX {
        let (arrived, peer) = listener.accept()?;
        if peer == own {
            return Ok(arrived);
        }
    }
    Err(io::Error::other("too many others connected meanwhile"))
}

/// Whether the kernel knows a way to `target`. To connect over UDP asks for that, and sends nothing.
fn has_route(target: SocketAddr) -> bool {
    let any: IpAddr = match target {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    UdpSocket::bind((any, 0)).and_then(|socket| socket.connect(target)).is_ok()
}
