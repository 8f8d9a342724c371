//! Ports that nobody has: below those that the system gives to outgoing connections, so that none is taken between
//! being chosen and being listened on.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    process,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

/// Linux gives outgoing connections ports from 32768 on.
const FIRST: u32 = 10_240;
const COUNT: u32 = 20_480;

/// Ports given out by this process.
static TAKEN: AtomicU32 = AtomicU32::new(0);

/// A loopback address with a port that is free on every address.
pub fn free() -> SocketAddr {
    loop {
        // Two test programs that run at once begin at different places.
        let start = process::id().wrapping_mul(257);
        let offset = start.wrapping_add(TAKEN.fetch_add(1, Relaxed)) % COUNT;
        let port = u16::try_from(FIRST + offset).expect("the range ends below 65536");
        if TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok() {
            return SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        }
    }
}
