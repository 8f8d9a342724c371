//! What an upstream says before its response.

use std::pin::pin;

use http::{Request, Response};
use hyper::body::Incoming;

use super::{failed::SendError, pool::Lease};
use crate::http::{interim::Interim, replay::RequestBody};

type Sent = Result<(Response<Incoming>, Lease), SendError>;

/// Sends `request` by `send`. What is said before the response, `interim` is told; `folds`: whether that comes inside of it.
pub async fn hear<F: Future<Output = Sent>>(
    interim: Option<&Interim>,
    folds: bool,
    mut request: Request<RequestBody>,
    send: impl FnOnce(Request<RequestBody>) -> F,
) -> Sent {
    if let Some(interim) = interim {
        interim.listen(&mut request, folds);
    }
    let sending = pin!(async {
        let (response, lease) = send(request).await?;
        match interim {
            Some(interim) if folds => Ok((interim.unfold(response).await?, lease)),
            _ => Ok((response, lease)),
        }
    });
    match interim {
        Some(interim) => interim.unless_flooded(sending).await?,
        None => sending.await,
    }
}
