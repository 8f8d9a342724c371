//! What the end of a try is to breakers, and by which fault it is answered.

use std::time::Duration;

use http::{Response, header::RETRY_AFTER};
use hyper::body::Incoming;

use crate::{
    breaker::Event,
    exchange::grpc_status,
    fault::Fault,
    upstream::{ConnectError, SendError},
};

/// Response headers are there.
pub(super) fn of_response(response: &Response<Incoming>, headers_after: Duration) -> Event {
    // A gRPC call that fails at once has its status in the headers, and no body.
    if let Some(code) = grpc_status(response.headers()) {
        return Event::Grpc { code, headers_after };
    }
    let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let retry_after = retry_after.map(Duration::from_secs);
    Event::Response { status: response.status().as_u16(), retry_after, headers_after }
}

/// There are none.
pub(super) fn of_sending(error: &SendError) -> (Event, Option<Fault>) {
    let (event, fault) = match error {
        SendError::Connect(error) => of_connecting(error),
        SendError::Overflow => (Event::LocalReject, Fault::Overflow),
        SendError::Refused => (Event::RefusedStream, Fault::UpstreamRefused),
        SendError::Stale => (Event::StaleConnection, Fault::UpstreamReset),
        SendError::Reset(_) | SendError::Ended(_) | SendError::Unasked => {
            (Event::ResetBeforeHeaders, Fault::UpstreamReset)
        }
        SendError::Malformed(_) | SendError::TwoLengths | SendError::Interim(_) => {
            (Event::ResetBeforeHeaders, Fault::UpstreamMalformed)
        }
        SendError::Caller => (Event::ClientCancelled, Fault::ClientCancelled),
        SendError::BadBody => (Event::ClientCancelled, Fault::BadRequest),
    };
    (event, Some(fault))
}

/// There was not even a connection.
pub(super) fn of_connecting(error: &ConnectError) -> (Event, Fault) {
    match error {
        ConnectError::TimedOut(_) => (Event::ConnectTimedOut, Fault::ConnectFailed),
        ConnectError::Tcp(_) | ConnectError::Http(_) => (Event::ConnectFailed, Fault::ConnectFailed),
        ConnectError::Tls(_) => (Event::TlsFailed, Fault::TlsFailed),
    }
}
