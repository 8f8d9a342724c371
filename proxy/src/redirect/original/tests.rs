use std::{
    net::{Ipv4Addr, Ipv6Addr, TcpListener, TcpStream},
    os::unix::net::UnixStream,
};

use super::*;

/// What a listener at `listen` finds of a connection that `connect` makes to its port.
fn found(listen: IpAddr, connect: IpAddr) -> io::Error {
    let listener = TcpListener::bind((listen, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let _client = TcpStream::connect((connect, port)).unwrap();
    let (stream, _) = listener.accept().unwrap();
    let error = original_destination(&stream).unwrap_err();
    assert!(error.to_string().contains(&SocketAddr::new(connect, port).to_string()), "{error}");
    error
}

#[test]
fn a_connection_to_the_listener_itself_has_no_other_destination() {
    let (v4, v6) = (IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST));
    for (listen, connect) in [(v4, v4), (v6, v6), (Ipv6Addr::UNSPECIFIED.into(), v4)] {
        let error = found(listen, connect);
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{listen} {connect}: {error}");
    }
}

#[test]
fn only_the_very_same_address_is_no_destination() {
    let local: SocketAddr = "10.0.0.7:4140".parse().unwrap();
    assert!(decide(local, local).is_err());
    // Another host may use the port of a sidecar for itself.
    for other in ["10.0.0.8:4140", "10.0.0.7:80", "[2001:db8::1]:4140"] {
        assert_eq!(decide(local, other.parse().unwrap()).unwrap(), other.parse().unwrap());
    }
}

#[test]
fn what_is_not_tcp_is_refused() {
    let (here, _there) = UnixStream::pair().unwrap();
    assert_eq!(original_destination(&here).unwrap_err().kind(), io::ErrorKind::Unsupported);
}
