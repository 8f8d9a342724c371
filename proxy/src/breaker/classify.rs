//! What each way for a call to end means to breaker and retry: one table.

use std::time::Duration;

use tonic::Code;
use weft_api::circuit_breaker::{Failures, StatusRange};

use super::outcome::{Failure, Outcome};

/// A body that breaks off within this time of its headers is the endpoint's failure; later it may be anything.
const BODY_BLAME: Duration = Duration::from_secs(10);

/// How a call, or one try of it, ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The connection was refused or unreachable.
    ConnectFailed,
    /// The connection did not come about in time.
    ConnectTimedOut,
    /// The TLS handshake failed, or the peer's identity was another one.
    TlsFailed,
    /// REFUSED_STREAM, or GOAWAY with a last stream id below this one: not processed (RFC 9113, 8.7).
    RefusedStream,
    /// A reused connection had been closed before a byte of the response: the race of keep-alive.
    StaleConnection,
    /// Reset or end of stream before the response headers.
    ResetBeforeHeaders,
    /// A response.
    Response {
        /// Its status.
        status: u16,
        /// Its `retry-after`.
        retry_after: Option<Duration>,
        /// From the start of the request to the response headers.
        headers_after: Duration,
    },
    /// A gRPC response, whose HTTP status is 200.
    Grpc {
        /// Its `grpc-status`.
        code: Code,
        /// From the start of the request to the response headers.
        headers_after: Duration,
    },
    /// No response headers within the time of one try.
    PerTryTimeout,
    /// The caller's time was spent before this destination had any.
    DeadlineSpent,
    /// The caller went away.
    ClientCancelled,
    /// This proxy refused: limits, authorization, its own overload.
    LocalReject,
    /// The body broke off after good headers.
    BodyBroken {
        /// How long after the headers.
        after: Duration,
    },
}

/// Whether a call that ended so may be tried again, budget and deadline permitting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retryable {
    /// No.
    Never,
    /// Yes: nothing of it was processed.
    Always,
    /// If doing it twice is as good as doing it once.
    IfIdempotent,
    /// If the policy names this status.
    IfListed(u16),
    /// If both.
    IfIdempotentAndListed(u16),
}

impl Retryable {
    /// Decides for a request (idempotent: RFC 9110, 9.2.2) and the statuses that its retry policy names.
    pub fn permits(self, is_idempotent: bool, listed: &[StatusRange]) -> bool {
        let names = |status| listed.iter().any(|range| range.contains(status));
        match self {
            Self::Never => false,
            Self::Always => true,
            Self::IfIdempotent => is_idempotent,
            Self::IfListed(status) => names(status),
            Self::IfIdempotentAndListed(status) => is_idempotent && names(status),
        }
    }
}

/// What an event means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// To the breaker.
    pub outcome: Outcome,
    /// To retry.
    pub retryable: Retryable,
}

/// The table. `failures` is the policy's word on which responses are failures. `starved`: this proxy's own runtime
/// lagged, so that what looks like slowness of the other side may be its own.
pub fn classify(event: Event, failures: &Failures, starved: bool) -> Verdict {
    let timeout = if starved { Outcome::Ignored } else { Outcome::Failure(Failure::Timeout) };
    let (outcome, retryable) = match event {
        Event::ConnectFailed => (Outcome::Failure(Failure::Connect), Retryable::Always),
        Event::ConnectTimedOut => (timeout, Retryable::Always),
        Event::TlsFailed => (Outcome::Failure(Failure::Tls), Retryable::Always),
        Event::RefusedStream | Event::StaleConnection => (Outcome::Ignored, Retryable::Always),
        Event::ResetBeforeHeaders => (Outcome::Failure(Failure::Reset), Retryable::IfIdempotent),
        Event::PerTryTimeout => (timeout, Retryable::IfIdempotent),
        Event::DeadlineSpent | Event::ClientCancelled | Event::LocalReject => {
            (Outcome::Ignored, Retryable::Never)
        }
        Event::BodyBroken { after } if after <= BODY_BLAME => {
            (Outcome::Failure(Failure::Body), Retryable::Never)
        }
        Event::BodyBroken { .. } => (Outcome::Ignored, Retryable::Never),
        Event::Response { status, retry_after, headers_after } => (
            of_status(status, retry_after, failures).unwrap_or(of_delay(headers_after, failures, starved)),
            retryable_status(status),
        ),
        Event::Grpc { code, headers_after } => (
            of_code(code).unwrap_or(of_delay(headers_after, failures, starved)),
            // As the HTTP status that means the same.
            if code == Code::Unavailable { Retryable::IfListed(503) } else { Retryable::Never },
        ),
    };
    Verdict { outcome, retryable }
}

/// `None`: a status that is no failure.
fn of_status(status: u16, retry_after: Option<Duration>, failures: &Failures) -> Option<Outcome> {
    let is_failure = failures.http.iter().any(|range| range.contains(status));
    match status {
        429 => Some(Outcome::Overload { retry_after }),
        503 if is_failure && retry_after.is_some() => Some(Outcome::Overload { retry_after }),
        _ => is_failure.then_some(Outcome::Failure(Failure::Status(status))),
    }
}

/// `None`: a code that is no failure of the server.
fn of_code(code: Code) -> Option<Outcome> {
    match code {
        Code::Unavailable | Code::Internal | Code::Unknown | Code::DataLoss | Code::DeadlineExceeded => {
            Some(Outcome::Failure(Failure::Grpc(code)))
        }
        Code::ResourceExhausted => Some(Outcome::Overload { retry_after: None }),
        _ => None,
    }
}

fn of_delay(headers_after: Duration, failures: &Failures, starved: bool) -> Outcome {
    match failures.slower_than {
        Some(limit) if headers_after > limit.get() && !starved => Outcome::Failure(Failure::Slow),
        _ => Outcome::Success,
    }
}

fn retryable_status(status: u16) -> Retryable {
    match status {
        502..=504 => Retryable::IfIdempotentAndListed(status),
        501 | 505 => Retryable::Never,
        500..=599 => Retryable::IfListed(status),
        _ => Retryable::Never,
    }
}

#[cfg(test)]
mod tests;
