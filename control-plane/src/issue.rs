//! A signing request in, a certificate out: for whom the token says, whatever the request says.

mod authority;
mod secret;

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use aws_lc_rs::hmac;
use weft_identity::{
    SpiffeId, TrustDomain,
    authority::{Authority, Issued, SignError},
    csr::{Csr, InvalidCsr},
    rate::{RequestLimit, TooManyRequests},
    request::{HostIdentity, Identity, InvalidIdentity, KeyError, KeyPair},
    spiffe::InvalidSpiffeId,
    token::Workload,
};

pub use authority::{AuthorityError, load_or_create};
pub use secret::{SecretError, share};

/// Workloads that are counted at once: more than one control plane serves.
const WORKLOADS_MAX: usize = 65_536;

/// Signs for those who were authenticated, and not too often.
pub struct Issuer {
    authority: Authority,
    lifetime: Duration,
    limit: Mutex<RequestLimit>,
}

/// Why somebody gets no certificate.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// Asked too often.
    #[error(transparent)]
    TooMany(#[from] TooManyRequests),
    /// The request is not sound.
    #[error(transparent)]
    Csr(#[from] InvalidCsr),
    /// The token names somebody who cannot have an identity.
    #[error(transparent)]
    Name(#[from] InvalidSpiffeId),
    /// The authority could not sign.
    #[error(transparent)]
    Sign(#[from] SignError),
}

impl Refused {
    /// One word, for metrics.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::TooMany(_) => "too_many",
            Self::Csr(_) => "csr",
            Self::Name(_) => "name",
            Self::Sign(_) => "sign",
        }
    }
}

/// Why the control plane has no certificate of its own.
#[derive(Debug, thiserror::Error)]
pub enum OwnIdentityError {
    /// No key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// No certificate.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// A certificate that does not fit.
    #[error(transparent)]
    Identity(#[from] InvalidIdentity),
}

impl Issuer {
    /// What keys of sessions are made from: the same for all who have the authority, and nothing that tells of its key.
    ///
    /// # Errors
    /// When the authority's key cannot be written.
    pub fn session_secret(&self) -> Result<hmac::Tag, KeyError> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.authority.key_pem()?.as_bytes());
        Ok(hmac::sign(&key, b"weft session persistence"))
    }

    /// Signs with `authority` certificates that are good for `lifetime`.
    pub fn new(authority: Authority, lifetime: Duration) -> Self {
        Self { authority, lifetime, limit: Mutex::new(RequestLimit::new(WORKLOADS_MAX)) }
    }

    /// Where the authority vouches.
    pub fn trust_domain(&self) -> &TrustDomain {
        self.authority.trust_domain()
    }

    /// The roots that everybody trusts, PEM.
    pub fn roots_pem(&self) -> &str {
        self.authority.certificate_pem()
    }

    /// Signs the key of `csr_pem` for `workload`, which was authenticated.
    pub fn issue(
        &self,
        workload: &Workload,
        csr_pem: &str,
        now: Instant,
        clock: SystemTime,
    ) -> Result<Issued, Refused> {
        let id = workload.spiffe_id(self.trust_domain())?;
        let who = format!("{}/{}/{}", workload.namespace, workload.pod, workload.pod_uid);
        // The limit stands in front of the work that it limits. It holds nothing that a panic could leave half done.
        self.limit.lock().unwrap_or_else(PoisonError::into_inner).take(&who, now)?;
        Ok(self.authority.sign(&Csr::from_pem(csr_pem)?, &id, self.lifetime, clock)?)
    }

    /// A new key and certificate for the control plane itself.
    pub fn own_identity(&self, id: &SpiffeId, clock: SystemTime) -> Result<Identity, OwnIdentityError> {
        let key = KeyPair::generate()?;
        let csr = Csr::from_pem(&key.csr_pem()?).map_err(Refused::from)?;
        let issued = self.authority.sign(&csr, id, self.lifetime, clock).map_err(Refused::from)?;
        Ok(Identity::new(&key, &issued.chain_pem)?)
    }

    /// A new key and certificate for the control plane itself, for clients who know it by one of `hosts`.
    pub fn own_host_identity(
        &self,
        hosts: &[&str],
        clock: SystemTime,
    ) -> Result<HostIdentity, OwnIdentityError> {
        let key = KeyPair::generate()?;
        let csr = Csr::from_pem(&key.csr_pem()?).map_err(Refused::from)?;
        let issued = self.authority.sign_hosts(&csr, hosts, self.lifetime, clock).map_err(Refused::from)?;
        Ok(HostIdentity::new(&key, &issued.chain_pem)?)
    }
}

#[cfg(test)]
mod tests;
