//! Snapshots go out: a server for all proxies, and a session for each.

mod roster;
mod server;
mod service;
mod session;
mod view;

use std::sync::Arc;

use tokio::sync::watch;
use weft_runtime::Shutdown;

use crate::{authenticate::Authenticator, issue::Issuer, metrics::Metrics, snapshot::Snapshot};

pub use roster::Roster;
pub use server::{AcceptError, Server};

/// What every session needs.
pub struct Shared {
    /// The newest snapshot.
    pub snapshots: watch::Receiver<Arc<Snapshot>>,
    /// Who signs.
    pub issuer: Arc<Issuer>,
    /// Who says whether a token is good.
    pub authenticator: Authenticator,
    /// Who is connected.
    pub roster: Roster,
    /// What is counted.
    pub metrics: Metrics,
    /// When it all ends.
    pub shutdown: Shutdown,
}

#[cfg(test)]
mod tests;
