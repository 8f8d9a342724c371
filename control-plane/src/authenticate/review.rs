//! The API server reviews a token (`TokenReview`, authentication.k8s.io/v1).

use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;
use tokio::sync::Semaphore;
use weft_api::names;
use weft_identity::token::{TOKEN_BYTES_MAX, Workload};
use weft_kubernetes::{ApiServer, RequestError, api_server::Write};

use super::Denied;

/// Reviews at once: when a control plane is gone, all of its proxies come.
const REVIEWS_MAX: usize = 32;

const PATH: &str = "/apis/authentication.k8s.io/v1/tokenreviews";
/// What the API server says beside the name of who holds a token that is bound to a pod.
const POD_NAME: &str = "authentication.kubernetes.io/pod-name";
const POD_UID: &str = "authentication.kubernetes.io/pod-uid";

/// Has tokens reviewed by an API server.
pub struct Reviewer {
    api: ApiServer,
    permits: Semaphore,
}

/// Why a token is not believed to be a workload's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAWorkload {
    /// Longer than any token is.
    #[error("the token has {0} bytes; at most {TOKEN_BYTES_MAX} are read")]
    TooLong(usize),
    /// The API server does not take it.
    #[error("the API server does not take the token: {0}")]
    Unauthenticated(String),
    /// It was made for somebody else, who may have passed it on.
    #[error("the token is not for the audience {}", names::TOKEN_AUDIENCE)]
    Audience,
    /// It belongs to a user, or to something else that is no service account.
    #[error("the token is not that of a service account")]
    NotAccount,
    /// It names no pod: whoever made it may be anywhere, and it does not end with a pod.
    #[error("the token is not bound to a pod: mount it as a projected volume")]
    NotBound,
}

/// `status` of a TokenReview.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Status {
    authenticated: bool,
    user: User,
    audiences: Vec<String>,
    error: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct User {
    username: String,
    extra: BTreeMap<String, Vec<String>>,
}

#[derive(Deserialize)]
struct Review {
    #[serde(default)]
    status: Status,
}

impl Reviewer {
    /// Asks `api`.
    pub fn new(api: ApiServer) -> Self {
        Self { api, permits: Semaphore::new(REVIEWS_MAX) }
    }

    /// Who holds `token`. Takes as long as a request to the API server may, and the wait for those before.
    pub(super) async fn review(&self, token: &str) -> Result<Workload, Denied> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(NotAWorkload::TooLong(token.len()).into());
        }
        let review = json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": { "token": token, "audiences": [names::TOKEN_AUDIENCE] },
        });
        let _permit = self.permits.acquire().await.expect("nobody closes the semaphore");
        let answer = self.api.send(Write::Create, PATH, &review).await?;
        let review: Review =
            serde_json::from_value(answer).map_err(|error| RequestError::Answer(error.to_string()))?;
        Ok(workload(review.status)?)
    }
}

/// The workload that a review speaks of. Everything about it comes from here.
fn workload(status: Status) -> Result<Workload, NotAWorkload> {
    if !status.authenticated {
        return Err(NotAWorkload::Unauthenticated(status.error));
    }
    // An API server that does not know audiences names none: the token would be good for anything.
    if !status.audiences.iter().any(|audience| audience == names::TOKEN_AUDIENCE) {
        return Err(NotAWorkload::Audience);
    }
    let User { username, mut extra } = status.user;
    let account = username.strip_prefix("system:serviceaccount:").and_then(|name| name.split_once(':'));
    let (namespace, service_account) = account.ok_or(NotAWorkload::NotAccount)?;
    let mut only = |key: &str| match extra.remove(key).as_deref() {
        Some([value]) if !value.is_empty() => Ok(value.clone()),
        _ => Err(NotAWorkload::NotBound),
    };
    Ok(Workload {
        namespace: namespace.to_owned(),
        service_account: service_account.to_owned(),
        pod: only(POD_NAME)?,
        pod_uid: only(POD_UID)?,
    })
}

#[cfg(test)]
mod tests;
