//! A workload asks for a certificate: a key, a request, and what the answer makes of them.

use std::{fmt, sync::Arc};

use rcgen::{CertificateParams, DistinguishedName};
use rustls::sign::CertifiedKey;
use rustls_pki_types::CertificateDer;

use crate::{
    certificate::{self, Malformed, Unnamed, Validity},
    key::Key,
    pem::{self, InvalidPem},
    spiffe::SpiffeId,
};

pub use crate::key::KeyError;

/// The private key of a workload: on P-256, in memory only. It cannot be read out, printed or written, and is
/// wiped when the last identity made of it is gone.
pub struct KeyPair(Key);

impl KeyPair {
    /// A new key.
    pub fn generate() -> Result<Self, KeyError> {
        Ok(Self(Key::generate()?))
    }

    /// A request for a certificate on this key, in PEM (RFC 2986). It names nobody: who asks is not for the
    /// request to say.
    pub fn csr_pem(&self) -> Result<String, KeyError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.serialize_request(&self.0).and_then(|csr| csr.pem()).map_err(|_| KeyError::Library)
    }
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyPair")
    }
}

/// A key and the certificate that says whose it is: what a workload shows in a handshake.
#[derive(Clone, Debug)]
pub struct Identity {
    id: SpiffeId,
    validity: Validity,
    certified: Arc<CertifiedKey>,
}

/// Why key and certificate make no identity.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum InvalidIdentity {
    /// The chain is no PEM.
    #[error("certificate chain: {0}")]
    Pem(#[from] InvalidPem),
    /// A certificate of the chain cannot be read.
    #[error("certificate chain: {0}")]
    Malformed(#[from] Malformed),
    /// The leaf names nobody, or too many.
    #[error("certificate chain: {0}")]
    Name(#[from] Unnamed),
    /// The leaf is for another key: perhaps for the one of an earlier request.
    #[error("the certificate is for another key than the one it was asked for")]
    OtherKey,
}

impl Identity {
    /// Joins `key` with the certificate that was signed for it: `chain_pem`, the leaf first.
    pub fn new(key: &KeyPair, chain_pem: &str) -> Result<Self, InvalidIdentity> {
        let certified = certified(key, chain_pem)?;
        let leaf = certificate::parse(certified.end_entity_cert().map_err(|_| InvalidPem::Empty)?)?;
        let id = certificate::spiffe_id(&leaf)?;
        let validity = certificate::validity(&leaf).ok_or(Malformed)?;
        Ok(Self { id, validity, certified: Arc::new(certified) })
    }

    /// Whose it is.
    pub fn id(&self) -> &SpiffeId {
        &self.id
    }

    /// When the leaf is valid.
    pub fn validity(&self) -> Validity {
        self.validity
    }

    /// The certificates, the leaf first.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.certified.cert
    }

    pub(crate) fn certified(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.certified)
    }
}

/// A key and a certificate that names hosts: what a server shows to clients who ask for one by name.
#[derive(Clone, Debug)]
pub struct HostIdentity(Arc<CertifiedKey>);

impl HostIdentity {
    /// Joins `key` with the certificate that was signed for it: `chain_pem`, the leaf first.
    pub fn new(key: &KeyPair, chain_pem: &str) -> Result<Self, InvalidIdentity> {
        Ok(Self(Arc::new(certified(key, chain_pem)?)))
    }

    pub(crate) fn certified(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.0)
    }
}

fn certified(key: &KeyPair, chain_pem: &str) -> Result<CertifiedKey, InvalidIdentity> {
    let chain = pem::certificates(chain_pem)?;
    for certificate in &chain {
        certificate::parse(certificate)?;
    }
    let leaf = certificate::parse(chain.first().ok_or(InvalidPem::Empty)?)?;
    if leaf.public_key().raw != key.0.public_key_info() {
        return Err(InvalidIdentity::OtherKey);
    }
    Ok(CertifiedKey::new(chain, Arc::new(key.0.clone())))
}

#[cfg(test)]
mod tests;
