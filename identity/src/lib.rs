//! Who somebody is: SPIFFE ids, the certificates that carry them, and the TLS that proves them.
//!
//! Nothing here does I/O, and nothing but a TLS handshake reads a clock: time and tokens come in as values,
//! certificates and verdicts go out as values. The modules stand in reading order, and each uses only those
//! below it.
#![warn(missing_docs)]

// Two workloads meet: TLS configurations whose certificate and roots are replaced while handshakes run.
pub mod tls;
// A workload gets its certificate: it makes a key and asks,
pub mod request;
// and knows when to ask again.
pub mod renewal;
// The control plane finds out who asks,
pub mod token;
// refuses to be asked too often,
pub mod rate;
// and signs,
pub mod authority;
// having taken from the request nothing but a public key.
pub mod csr;
// What both sides rest on: is this certificate the peer's, and whose is it?
pub mod verify;
// The roots to trust.
pub mod bundle;
// Private keys, which never leave the process unless they are the authority's.
mod key;
// What a certificate says, read strictly.
pub mod certificate;
// The text around it.
pub mod pem;
// The name that a certificate carries.
pub mod spiffe;

pub use spiffe::{SpiffeId, TrustDomain};
