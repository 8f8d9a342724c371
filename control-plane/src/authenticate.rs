//! Who asks: a bearer token in, the workload that holds it out.

mod review;

use std::time::SystemTime;

use weft_identity::token::{LocalAuthenticator, Refusal, Workload};
use weft_kubernetes::RequestError;

pub use review::{NotAWorkload, Reviewer};

/// Whom the control plane asks whether a token is good.
pub enum Authenticator {
    /// Its own key: local mode.
    Local(LocalAuthenticator),
    /// The API server of the cluster.
    Review(Reviewer),
}

/// Why nobody is let in. None of the messages holds a part of the token.
#[derive(Debug, thiserror::Error)]
pub enum Denied {
    /// The token is not good.
    #[error(transparent)]
    Local(#[from] Refusal),
    /// The API server says that it is not good, or it is not a workload's.
    #[error(transparent)]
    Review(#[from] NotAWorkload),
    /// Nobody can say so at the moment: ask again.
    #[error("the token cannot be reviewed now: {0}")]
    Unknown(#[from] RequestError),
}

impl Authenticator {
    /// Who holds `token`, if it is good at `now`.
    pub async fn authenticate(&self, token: &str, now: SystemTime) -> Result<Workload, Denied> {
        match self {
            Self::Local(local) => Ok(local.authenticate(token, now)?),
            Self::Review(reviewer) => reviewer.review(token).await,
        }
    }
}
