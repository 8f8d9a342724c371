//! How a request fails on its way to an upstream.

use std::{error::Error as _, io};

use http::{
    HeaderMap, Request,
    header::{CONTENT_LENGTH, TRANSFER_ENCODING},
};
use hyper::client::conn::TrySendError;

use super::dial::ConnectError;
use crate::http::{interim::InterimError, replay::RequestBody, source::BodyError};

/// Why there are no response headers.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// No connection came about.
    #[error("{0}")]
    Connect(ConnectError),
    /// A limit on connections is reached.
    #[error("a limit on connections is reached")]
    Overflow,
    /// The peer refused the stream, or announced its end before it: nothing was processed.
    #[error("the peer refused the stream")]
    Refused,
    /// The connection was closed before the request was written to it, twice in a row.
    #[error("the connection was closed before the request was written")]
    Stale,
    /// The connection or stream ended after the request, before response headers.
    #[error("{0}")]
    Reset(hyper::Error),
    /// A kept connection ended after the request was written to it, before response headers, or a new one was reset. The
    /// peer may have been about to close it, or its listener, and never have read the request.
    #[error("{0}, on a connection that ended")]
    Ended(hyper::Error),
    /// The response cannot be understood, or is beyond all bounds.
    #[error("{0}")]
    Malformed(hyper::Error),
    /// The response says twice how long it is: whoever believes the other one sees another response behind it (RFC 9112,
    /// 6.3).
    #[error("the response has both a transfer-encoding and a content-length")]
    TwoLengths,
    /// There are interim responses, and no final one that could be passed on.
    #[error("{0}")]
    Interim(InterimError),
    /// The peer left HTTP, which it was not asked for.
    #[error("the peer switched protocols, unasked")]
    Unasked,
    /// The caller's own body broke off.
    #[error("the caller's body broke off")]
    Caller,
    /// The caller's own body is malformed.
    #[error("the caller's body is malformed")]
    BadBody,
}

/// HTTP did not come up.
pub(super) fn http_failed(error: &hyper::Error) -> SendError {
    SendError::Connect(ConnectError::Http(error.to_string().into()))
}

/// A send that failed, with the request if none of it was written.
pub(super) struct Failed {
    pub(super) error: SendError,
    pub(super) unsent: Option<Box<Request<RequestBody>>>,
}

impl From<InterimError> for SendError {
    fn from(error: InterimError) -> Self {
        match error {
            InterimError::Broken(error) => Self::Reset(error),
            error => Self::Interim(error),
        }
    }
}

impl From<SendError> for Failed {
    fn from(error: SendError) -> Self {
        Self { error, unsent: None }
    }
}

impl From<TrySendError<Request<RequestBody>>> for Failed {
    fn from(mut failed: TrySendError<Request<RequestBody>>) -> Self {
        match failed.take_message() {
            Some(request) => Self { error: SendError::Stale, unsent: Some(Box::new(request)) },
            None => send_error(failed.into_error()).into(),
        }
    }
}

/// Whether the connection ended, and did not break off within bytes that cannot be understood.
pub(super) fn has_ended(error: &hyper::Error) -> bool {
    error.is_incomplete_message() || is_reset(error)
}

/// Whether the peer reset the connection, as the kernel does with those that nobody has accepted when nobody listens any
/// more.
pub(super) fn is_reset(error: &hyper::Error) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
    let kind = cause.map(io::Error::kind);
    matches!(kind, Some(io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe))
}

/// Whether a response says twice how long it is.
pub(super) fn has_two_lengths(headers: &HeaderMap) -> bool {
    headers.contains_key(TRANSFER_ENCODING) && headers.contains_key(CONTENT_LENGTH)
}

fn send_error(error: hyper::Error) -> SendError {
    if error.is_parse() {
        return SendError::Malformed(error);
    }
    // hyper wraps what happened below it, and its own predicates do not tell these cases apart.
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(body) = inner.downcast_ref::<BodyError>() {
            return match body {
                body if body.is_malformed() => SendError::BadBody,
                BodyError::Caller(_) | BodyError::Incomplete => SendError::Caller,
                BodyError::Superseded => SendError::Reset(error),
            };
        }
        if let Some(h2) = inner.downcast_ref::<h2::Error>() {
            // After GOAWAY only streams beyond its last id fail: the peer has not touched them (RFC 9113, 6.8).
            let refused =
                h2.reason() == Some(h2::Reason::REFUSED_STREAM) || (h2.is_go_away() && h2.is_remote());
            return if refused {
                SendError::Refused
            } else if h2.is_library() {
                // What this side found wrong with the other one's frames.
                SendError::Malformed(error)
            } else if h2.is_reset() && !h2.is_remote() {
                // hyper ends a stream for one reason: its request has no end.
                SendError::Caller
            } else {
                SendError::Reset(error)
            };
        }
        cause = inner.source();
    }
    SendError::Reset(error)
}
