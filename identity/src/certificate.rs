//! What a certificate says, read strictly.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls_pki_types::CertificateDer;
use x509_parser::{
    certificate::X509Certificate,
    extensions::GeneralName,
    oid_registry::{OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, Oid},
    prelude::FromDer,
    x509::SubjectPublicKeyInfo,
};

use crate::spiffe::{InvalidSpiffeId, SpiffeId};

/// Why bytes are no certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an X.509 certificate in DER, or one with bytes behind its end")]
pub struct Malformed;

/// Why a certificate names nobody.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unnamed {
    /// The extension with the names is absent.
    #[error("the certificate has no subject alternative name; it must have exactly one, a SPIFFE id")]
    NoNames,
    /// The extension stands there twice, or cannot be read.
    #[error("the subject alternative names of the certificate cannot be read")]
    Unreadable,
    /// Two URIs, or a URI beside a DNS name, an address or an e-mail: which of them counts is then a matter
    /// of taste, and two readers with two tastes are a hole.
    #[error("the certificate has {0} subject alternative names; it must have exactly one, a SPIFFE id")]
    ManyNames(usize),
    /// The one name is no URI.
    #[error("the subject alternative name of the certificate is no URI; it must be a SPIFFE id")]
    NoUri,
    /// The one name is a URI, but not the id of a workload.
    #[error(transparent)]
    Id(#[from] InvalidSpiffeId),
}

/// When a certificate is valid, both ends included (RFC 5280, section 4.1.2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// First moment.
    pub not_before: SystemTime,
    /// Last moment.
    pub not_after: SystemTime,
}

/// An elliptic curve that keys of the mesh may lie on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Curve {
    P256,
    P384,
}

/// The one certificate that `der` is, to the last byte.
pub(crate) fn parse<'a>(der: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, Malformed> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        _ => Err(Malformed),
    }
}

/// The id in a certificate that names exactly one, and nothing else.
pub(crate) fn spiffe_id(certificate: &X509Certificate<'_>) -> Result<SpiffeId, Unnamed> {
    let names = match certificate.subject_alternative_name() {
        Ok(Some(extension)) => &extension.value.general_names,
        Ok(None) => return Err(Unnamed::NoNames),
        Err(_) => return Err(Unnamed::Unreadable),
    };
    match names.as_slice() {
        [] => Err(Unnamed::NoNames),
        [GeneralName::URI(uri)] => Ok(uri.parse()?),
        [_] => Err(Unnamed::NoUri),
        many => Err(Unnamed::ManyNames(many.len())),
    }
}

/// When `certificate` is valid; `None` if it ends or begins before 1970, or too late for this machine's
/// clock.
pub(crate) fn validity(certificate: &X509Certificate<'_>) -> Option<Validity> {
    let moment = |seconds: i64| UNIX_EPOCH.checked_add(Duration::from_secs(u64::try_from(seconds).ok()?));
    let validity = certificate.validity();
    Some(Validity {
        not_before: moment(validity.not_before.timestamp())?,
        not_after: moment(validity.not_after.timestamp())?,
    })
}

/// The curve of an ECDSA key; `None` for every other kind of key (RFC 5480, section 2.1).
pub(crate) fn curve(key: &SubjectPublicKeyInfo<'_>) -> Option<Curve> {
    if key.algorithm.algorithm != OID_KEY_TYPE_EC_PUBLIC_KEY {
        return None;
    }
    let curve: Oid<'_> = key.algorithm.parameters.as_ref()?.as_oid().ok()?;
    [(OID_EC_P256, Curve::P256), (OID_NIST_EC_P384, Curve::P384)]
        .into_iter()
        .find_map(|(oid, known)| (oid == curve).then_some(known))
}

#[cfg(test)]
mod tests;
