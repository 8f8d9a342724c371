//! Why there is no answer: what went wrong between a request and its answer.

use std::{io, path::PathBuf, time::Duration};

use hyper::StatusCode;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// A file cannot be read or used.
    #[error("{path}: {reason}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The host is neither a name nor an address.
    #[error("the API server's host `{0}` is neither a name nor an address")]
    Host(String),
    /// No connection, or no TLS.
    #[error("no connection to the API server: {0}")]
    Connect(io::Error),
    /// It broke.
    #[error("the connection to the API server broke: {0}")]
    Broken(#[from] hyper::Error),
    /// What came is too long, or no JSON.
    #[error("the API server's answer cannot be used: {0}")]
    Answer(String),
    /// It takes too long.
    #[error("the API server gave no answer within {} s", .0.as_secs())]
    Slow(Duration),
    /// A watch says nothing any more, not even that nothing happens.
    #[error("the API server has been silent for {} s", .0.as_secs())]
    Silent(Duration),
    /// It says no.
    #[error("the API server answered {status}: {message}")]
    Refused {
        /// With which status.
        status: StatusCode,
        /// And which words.
        message: String,
    },
}

impl RequestError {
    /// Whether the API server said no with this status.
    pub fn is(&self, code: StatusCode) -> bool {
        matches!(self, Self::Refused { status, .. } if *status == code)
    }
}
