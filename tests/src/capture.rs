//! Somebody on the machine who reads every packet, as root may: what the kernel itself sees of all connections.

use std::{
    collections::BTreeMap,
    io::{self, Read},
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
    thread: Option<JoinHandle<Captured>>,
}

/// What was read: the bytes of each direction of each connection, by the ports that they came from and went to.
#[derive(Default)]
pub struct Captured(BTreeMap<[u16; 2], Vec<u8>>);

impl Capture {
    /// Begins to read every packet of the network namespace that this thread is in. Fails without the right to.
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
    pub fn finish(mut self) -> Captured {
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

impl Captured {
    /// What went to or came from this port, of any address.
    #[must_use]
    pub fn of_port(&self, port: u16) -> Self {
        let of_port = self.0.iter().filter(|(ports, _)| ports.contains(&port));
        Self(of_port.map(|(ports, bytes)| (*ports, bytes.clone())).collect())
    }

    /// What was read here and there.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        for (ports, bytes) in other.0 {
            self.0.entry(ports).or_default().extend(bytes);
        }
        self
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.0.values().all(Vec::is_empty)
    }

    /// Whether `text` can be read in it.
    pub fn holds(&self, text: impl AsRef<[u8]>) -> bool {
        let text = text.as_ref();
        self.0.values().any(|bytes| bytes.windows(text.len()).any(|window| window == text))
    }

    fn take(&mut self, frame: &[u8]) {
        if let Some((ports, payload)) = segment(frame) {
            self.0.entry(ports).or_default().extend_from_slice(payload);
        }
    }
}

fn read(mut socket: Socket, stopped: &AtomicBool) -> Captured {
    let mut captured = Captured::default();
    let mut frame = vec![0; 256 * 1024];
    // After the last request everything is queued already: reading ends when there is nothing more.
    loop {
        match socket.read(&mut frame) {
            Ok(read) => captured.take(&frame[..read]),
            Err(_) if stopped.load(Relaxed) => return captured,
            Err(_) => {}
        }
    }
}

/// The ports and the payload of a TCP segment in an Ethernet frame with IPv4 or IPv6 (RFC 791, 3.1; RFC 8200, 3; RFC 9293,
/// 3.1).
fn segment(frame: &[u8]) -> Option<([u16; 2], &[u8])> {
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
    Some(([port(0)?, port(2)?], segment.get(header_bytes..)?))
}
