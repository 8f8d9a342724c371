//! Connections to endpoints and to the local application. Each worker has pools of its own, so a connection never
//! leaves its thread.

// Connections, kept and shared.
mod pool;
// One that requests share.
mod link;
// What is said before a response.
mod interim;
// Why there is no answer.
mod failed;
// A new connection.
mod dial;
// Whether anybody is there.
mod heard;

pub use dial::{ConnectError, Io, connect, dial, dial_opaque, watch};
pub use failed::SendError;
pub use interim::hear;
pub use pool::{Lease, Pools};

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use rustls::ClientConfig;

use crate::http::serve::Version;

/// Somebody to connect to: an address, and who must be there. Services over the same pods share their peers, and so
/// their connections.
#[derive(Debug)]
pub struct Peer {
    id: u64,
    /// Connections of earlier generations serve no further request.
    generation: AtomicU64,
    /// Where.
    pub address: SocketAddr,
    /// Which HTTP is spoken there.
    pub version: Version,
    /// mTLS and the SPIFFE id expected. `None` = plaintext: the application itself.
    pub mesh: Option<Mesh>,
}

/// How to reach another sidecar.
#[derive(Debug)]
pub struct Mesh {
    /// SPIFFE id that the peer's certificate must carry.
    pub identity: Arc<str>,
    /// Verifies just that, and offers the ALPN of the peer's `version`.
    pub config: Arc<ClientConfig>,
}

impl Peer {
    /// A peer with a pool of its own.
    pub fn new(address: SocketAddr, version: Version, mesh: Option<Mesh>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self { id: NEXT.fetch_add(1, Relaxed), generation: AtomicU64::new(0), address, version, mesh }
    }

    /// From now on no worker sends a request over a connection that stands already: it proves nothing about a peer that
    /// may have fallen silent. What is under way on it goes on.
    fn distrust_connections(&self) {
        self.generation.fetch_add(1, Relaxed);
    }

    fn generation(&self) -> u64 {
        self.generation.load(Relaxed)
    }

    /// Whether its responses come with interim ones inside: from another sidecar by HTTP/2.
    pub fn folds(&self) -> bool {
        self.mesh.is_some() && self.version == Version::Http2
    }

    /// SPIFFE id that the peer must have; `None` for plaintext.
    pub fn identity(&self) -> Option<&Arc<str>> {
        self.mesh.as_ref().map(|mesh| &mesh.identity)
    }
}

#[cfg(test)]
mod tests;
