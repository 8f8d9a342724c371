//! The redirect as a pod meets it: real rules in real network namespaces, and real connections through them.
//!
//! All of it needs root, so each test passes as an empty shell, and says so, unless `WEFT_ROOT_TESTS=1` demands it.

// Where connections go that leave the pod, that come into it, and that stay within.
mod inbound;
mod outbound;
mod within;
// The rules themselves: how they come and stay.
mod rules;
mod verify;

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
};

use weft_proxy::redirect::{self, original_destination};
use weft_tests::{
    config,
    namespace::{Namespace, Pod},
};

/// The user of sidecars.
const SIDECAR: u32 = 2112;
/// Ports of the sidecar for redirected connections, on all addresses of both families.
const OUTBOUND: &str = "[::]:4140";
const INBOUND: &str = "[::]:4143";

/// A pod whose connections are redirected as `weft-proxy init` with these `flags` does it; `None` where tests must do
/// without root.
fn pod(test: &str, flags: &[&str]) -> Option<Pod> {
    let pod = bare_pod(test)?;
    init(&pod, flags);
    Some(pod)
}

/// A pod without a redirect.
fn bare_pod(test: &str) -> Option<Pod> {
    if config::root_tests() {
        return Some(Pod::start());
    }
    // Past `eprintln!`, which the test harness keeps to itself where nothing fails.
    let told = writeln!(io::stderr(), "SKIPPED {test}: WEFT_ROOT_TESTS=1 demands it, and root");
    told.expect("stderr takes a line");
    None
}

/// Runs `weft-proxy init` in the pod.
fn init(pod: &Pod, flags: &[&str]) {
    let said = pod.pod.run(|| redirect::init(flags));
    said.unwrap_or_else(|error| panic!("init {flags:?}: {error}"));
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// `address` and `port`, of either family.
fn at(address: &str, port: u16) -> SocketAddr {
    SocketAddr::new(address.parse().unwrap_or_else(|error| panic!("{address}: {error}")), port)
}

/// A connection from `from` to `to` as user `uid`, which must come to `listener`, wherever that is.
fn arrives(from: &Namespace, uid: u32, to: SocketAddr, listener: &TcpListener) -> TcpStream {
    let shown = listener.local_addr().expect("a listener has an address");
    let stream = from.connect(uid, to).unwrap_or_else(|error| panic!("user {uid} to {to}: {error}"));
    let (arrived, peer) = listener
        .accept()
        .unwrap_or_else(|error| panic!("user {uid} to {to} does not come to {shown}: {error}"));
    let own = stream.local_addr().expect("a connection has an address");
    assert_eq!((peer.ip().to_canonical(), peer.port()), (own.ip(), own.port()), "to {to} at {shown}");
    carries(&stream, &arrived);
    arrived
}

/// The same, and the listener must find out that `to` was meant.
fn is_redirected(from: &Namespace, uid: u32, to: SocketAddr, listener: &TcpListener) {
    let arrived = arrives(from, uid, to, listener);
    let found = original_destination(&arrived).unwrap_or_else(|error| panic!("to {to}: {error}"));
    assert_eq!(found, to);
}

/// The same, but nothing must have changed on the way.
fn is_direct(from: &Namespace, uid: u32, to: SocketAddr, listener: &TcpListener) {
    let arrived = arrives(from, uid, to, listener);
    let local = arrived.local_addr().expect("a connection has an address");
    assert_eq!((local.ip().to_canonical(), local.port()), (to.ip(), to.port()));
    let error = original_destination(&arrived).expect_err("nothing was redirected");
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{error}");
}

/// Bytes go both ways.
fn carries<'a>(mut one: &'a TcpStream, mut other: &'a TcpStream) {
    let mut read = [0; 4];
    for _ in 0..2 {
        one.write_all(b"weft").expect("a connection takes bytes");
        other.read_exact(&mut read).expect("the other end gets them");
        assert_eq!(&read, b"weft");
        (one, other) = (other, one);
    }
}
