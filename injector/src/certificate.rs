//! How API servers know this process: a certificate for its Service, replaced under running handshakes.
//!
//! Architecture Invariant: what is shown was announced before. A set of three generations makes that so: the roots of
//! the one before, of the one in use and of the next are in `caBundle` together, so a rotation uses a root that API
//! servers have known for months, and a replica that has not noticed it yet is still believed.

// Keeps it up: in a Secret that all replicas share, or in files that somebody else writes.
mod keeper;
mod directory;
// The Secret and the webhook configuration.
mod cluster;
// The generations, purely.
mod generations;
// What handshakes show at the moment.
mod shown;

pub use cluster::{Cluster, ClusterError, Kept, Names, Written};
pub use directory::watch;
pub use generations::{Generations, InvalidGenerations};
pub use keeper::keep;
pub use shown::{InvalidCertificate, Shown};

/// HTTP/2 in a TLS handshake (RFC 9113, section 3.2).
pub const ALPN_H2: &[u8] = b"h2";

#[cfg(test)]
mod tests;
