//! The control plane: turns what people write into what proxies do, and gives out identities.
//!
//! A change goes out from top to bottom: files or an API server say what people want, compiling makes resources of
//! it, and a session for each subscriber pushes what is new to it.
#![warn(missing_docs)]

// The life of the process.
pub mod run;
// A change goes out: objects come in, from files or an API server,
pub mod watch;
// become resources,
pub mod compile;
// and go to every proxy that asked for them,
pub mod push;
// as does the certificate of each, once it is known who asks.
pub mod authenticate;
pub mod issue;
// What becomes of it goes back into the cluster: status, by one replica of several, and roots to trust.
pub mod status;
pub mod bundles;
pub mod lease;
// What the verbs hand each other: all resources of one moment,
pub mod snapshot;
// what belongs together,
pub mod resolve;
// and the objects as people wrote them.
pub mod store;
// What the process is told at start,
pub mod config;
// what it counts,
pub mod metrics;
// and text that knows its lines.
pub mod document;

pub use config::{Config, InCluster};
pub use run::{ControlPlane, Error, run, run_in_cluster};
