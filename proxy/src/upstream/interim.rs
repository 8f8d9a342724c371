//! What an upstream says before its response.

use http::{Request, Response};
use hyper::body::Incoming;

use super::{Peer, failed::SendError, pool::Lease};
use crate::http::{interim::Interim, replay::RequestBody};

type Sent = Result<(Response<Incoming>, Lease), SendError>;

/// Sends `request` to `peer` by `send`. What is said before the response, `interim` is told.
pub async fn hear<F: Future<Output = Sent>>(
    interim: Option<&Interim>,
    peer: &Peer,
    mut request: Request<RequestBody>,
    send: impl FnOnce(Request<RequestBody>) -> F,
) -> Sent {
    let Some(interim) = interim else { return send(request).await };
    let folds = peer.folds();
    interim.listen(&mut request, folds);
    let sending = async {
        let (response, lease) = send(request).await?;
        if !folds {
            return Ok((response, lease));
        }
        Ok((interim.unfold(response).await?, lease))
    };
    interim.unless_flooded(sending).await?
}
