//! Where a redirected connection was meant to go.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    os::fd::AsFd,
};

use socket2::{SockAddr, SockRef};

/// The address that the peer of `stream` connected to before the kernel's redirect led it to this socket
/// (`SO_ORIGINAL_DST`, `IP6T_SO_ORIGINAL_DST`). An IPv4 address is one also on a listener for both families.
///
/// # Errors
/// [`io::ErrorKind::InvalidInput`] where nothing was redirected: somebody connected to the listener itself, and to
/// follow the destination would lead back here. Other kinds are the kernel's.
pub fn original_destination(stream: &impl AsFd) -> io::Result<SocketAddr> {
    let socket = SockRef::from(stream);
    let local = internet(&socket.local_addr()?)?;
    // The kernel keeps both families apart: a connection over IPv4 is asked for as one, whatever its socket is.
    let found = match local.ip() {
        IpAddr::V4(_) => socket.original_dst_v4(),
        IpAddr::V6(_) => socket.original_dst_v6(),
    };
    match found {
        Ok(original) => decide(local, internet(&original)?),
        // The kernel does not track connections here, or not this one.
        Err(error) if is_untracked(&error) => Err(not_redirected(local)),
        Err(error) => Err(error),
    }
}

fn decide(local: SocketAddr, original: SocketAddr) -> io::Result<SocketAddr> {
    if original == local { Err(not_redirected(local)) } else { Ok(original) }
}

/// `ENOENT` from where connections are tracked, `ENOPROTOOPT` from where they are not.
fn is_untracked(error: &io::Error) -> bool {
    const ENOPROTOOPT: i32 = 92;
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(ENOPROTOOPT)
}

fn not_redirected(local: SocketAddr) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        format!(
            "connected to {local}, the sidecar's own listener, and not redirected there: call the application's \
             port instead, and see that `weft-proxy init` ran in this pod"
        ),
    )
}

/// An address as people write it: IPv4 within IPv6 is IPv4, and neither flow nor scope counts.
fn internet(address: &SockAddr) -> io::Result<SocketAddr> {
    let address = address.as_socket().ok_or_else(|| {
        io::Error::new(io::ErrorKind::Unsupported, "only TCP over IP can have been redirected")
    })?;
    Ok(SocketAddr::new(address.ip().to_canonical(), address.port()))
}

#[cfg(test)]
mod tests;
