//! What one call says about the health of where it went.

use std::{fmt, time::Duration};

/// How a call ended, as a breaker counts it. Every admitted call reports exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was served.
    Success,
    /// It was not, and the other side is to blame.
    Failure(Failure),
    /// The other side asked for less. `retry_after` is the time it named (RFC 9110, 10.2.3).
    Overload {
        /// How long it asked to be left alone.
        retry_after: Option<Duration>,
    },
    /// It says nothing about the other side.
    Ignored,
}

/// In which way a call failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No connection came about.
    Connect,
    /// The TLS handshake failed, or the peer was not who it had to be.
    Tls,
    /// The stream or connection ended before the response headers.
    Reset,
    /// Time ran out.
    Timeout,
    /// The response headers came, but later than the policy takes for healthy.
    Slow,
    /// An HTTP status that the policy counts as a failure.
    Status(u16),
    /// A gRPC status that counts as a failure.
    Grpc(tonic::Code),
    /// The body broke off soon after good headers.
    Body,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect => f.write_str("no connection"),
            Self::Tls => f.write_str("TLS or identity failure"),
            Self::Reset => f.write_str("reset before the response headers"),
            Self::Timeout => f.write_str("timeout"),
            Self::Slow => f.write_str("slow response"),
            Self::Status(status) => write!(f, "status {status}"),
            Self::Grpc(code) => write!(f, "gRPC status {} ({code:?})", *code as i32),
            Self::Body => f.write_str("body broken off"),
        }
    }
}
