//! TLS handshakes at full pace, of clients who show a certificate. Each connection is closed as soon as its handshake is
//! done, and counts once the server has closed it too.

use std::{
    net::{SocketAddr, TcpStream},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use rustls::{ClientConfig, ClientConnection};
use rustls_pki_types::ServerName;

use crate::generator::{Report, histogram};

/// Handshakes under way at once, on a thread each.
pub const AT_ONCE: usize = 8;
/// How long a server may be silent in a handshake.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// Those who connect to one server.
#[derive(Debug)]
pub struct Handshakes {
    /// What the client shows, and whom it believes. Nothing of one handshake may help another one.
    pub config: Arc<ClientConfig>,
    /// Whom it asks for.
    pub name: ServerName<'static>,
    /// Where it connects.
    pub server: SocketAddr,
}

impl Handshakes {
    /// Makes handshakes one after the other, [`AT_ONCE`] at a time, for so long.
    ///
    /// # Errors
    /// If one of them fails at either side.
    pub fn run(&self, length: Duration) -> Result<Report> {
        let start = Instant::now();
        let one_by_one = || {
            let mut latencies_ns = histogram();
            while start.elapsed() < length {
                let begun = Instant::now();
                self.one()?;
                latencies_ns.record(begun.elapsed().as_nanos() as u64)?;
            }
            Ok::<_, anyhow::Error>(latencies_ns)
        };
        let mut latencies_ns = histogram();
        thread::scope(|scope| {
            let threads: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(one_by_one)).collect();
            threads.into_iter().try_for_each(|thread| {
                let one = thread.join().expect("a handshake ends with an error and does not panic")?;
                Ok::<_, anyhow::Error>(latencies_ns.add(one)?)
            })
        })?;
        Ok(Report { latencies_ns, took: start.elapsed() })
    }

    /// Makes one handshake, and returns how the keys were agreed on.
    ///
    /// # Errors
    /// If it fails at either side.
    pub fn one(&self) -> Result<String> {
        let mut socket = TcpStream::connect(self.server).context("connecting for a handshake")?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(SILENCE_MAX))?;
        let mut tls = ClientConnection::new(Arc::clone(&self.config), self.name.clone())?;
        while tls.is_handshaking() {
            tls.complete_io(&mut socket).context("a handshake")?;
        }
        tls.send_close_notify();
        while tls.wants_write() {
            tls.write_tls(&mut socket)?;
        }
        // The client is done before the server has seen its certificate. If the server does not take it, here comes why.
        while tls.read_tls(&mut socket).context("the end of a connection after its handshake")? > 0 {
            tls.process_new_packets().context("the server's answer to a handshake")?;
        }
        let group = tls.negotiated_key_exchange_group().context("a handshake without a key exchange")?;
        Ok(format!("{:?}", group.name()))
    }
}

#[cfg(test)]
mod tests;
