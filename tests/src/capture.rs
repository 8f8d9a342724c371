//! Somebody on the machine who reads every packet, as root may: what the kernel itself sees of all connections.

use std::{
    io::{self, Read},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use socket2::{Domain, Protocol, Socket, Type};

/// Every protocol (linux/if_ether.h), in the byte order that a packet socket takes it in.
const ETH_P_ALL: u16 = 0x0003;
/// Header of an Ethernet frame, which loopback has too.
const ETHERNET_BYTES: usize = 14;
/// TCP, in the header of an IP packet.
const TCP: u8 = 6;
/// Header of an IPv6 packet without extensions, as those with TCP are.
const IPV6_BYTES: usize = 40;

/// A capture that runs. Dropped, it stops.
pub struct Capture {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Vec<Segment>>>,
}

/// What one TCP segment carried.
pub struct Segment {
    ports: [u16; 2],
    payload: Vec<u8>,
}

impl Capture {
    /// Begins to read every packet of the network namespace. Fails without the right to.
    pub fn start() -> io::Result<Self> {
        let socket =
            Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(i32::from(ETH_P_ALL.to_be()))))?;
        socket.set_read_timeout(Some(Duration::from_millis(50)))?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread =
            thread::Builder::new().name("capture".to_owned()).spawn(move || read(socket, &stopped))?;
        Ok(Self { stop, thread: Some(thread) })
    }

    /// Stops, and gives out what was read.
    pub fn finish(mut self) -> Vec<Segment> {
        self.stop.store(true, Relaxed);
        let thread = self.thread.take().expect("only this takes it, and takes the capture with it");
        thread.join().expect("reading packets does not panic")
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
    }
}

/// Everything that went to or came from the port of `address`.
pub fn bytes_of(segments: &[Segment], address: SocketAddr) -> Vec<u8> {
    let of_port = segments.iter().filter(|segment| segment.ports.contains(&address.port()));
    of_port.flat_map(|segment| segment.payload.iter().copied()).collect()
}

fn read(mut socket: Socket, stopped: &AtomicBool) -> Vec<Segment> {
    let mut segments = Vec::new();
    let mut frame = vec![0; 256 * 1024];
    // After the last request everything is queued already: reading ends when there is nothing more.
    loop {
        match socket.read(&mut frame) {
            Ok(read) => segments.extend(segment(&frame[..read])),
            Err(_) if stopped.load(Relaxed) => return segments,
            Err(_) => {}
        }
    }
}

/// The TCP segment in an Ethernet frame with IPv4 or IPv6 (RFC 791, 3.1; RFC 8200, 3; RFC 9293, 3.1).
fn segment(frame: &[u8]) -> Option<Segment> {
    let packet = frame.get(ETHERNET_BYTES..)?;
    let first = *packet.first()?;
    let (protocol_at, header_bytes) = match first >> 4 {
        4 => (9, usize::from(first & 0x0f) * 4),
        6 => (6, IPV6_BYTES),
        _ => return None,
    };
    if *packet.get(protocol_at)? != TCP {
        return None;
    }
    let segment = packet.get(header_bytes..)?;
    let port = |at: usize| Some(u16::from_be_bytes([*segment.get(at)?, *segment.get(at + 1)?]));
    let header_bytes = usize::from(*segment.get(12)? >> 4) * 4;
    Some(Segment { ports: [port(0)?, port(2)?], payload: segment.get(header_bytes..)?.to_vec() })
}
