//! A certificate signing request, of which nothing counts but the public key.

use aws_lc_rs::signature::{self, UnparsedPublicKey};
use rcgen::SubjectPublicKeyInfo;
use rustls_pki_types::{CertificateSigningRequestDer, pem::PemObject};
use x509_parser::{
    certification_request::X509CertificationRequest,
    oid_registry::{OID_SIG_ECDSA_WITH_SHA256, OID_SIG_ECDSA_WITH_SHA384},
    prelude::FromDer,
};

use crate::certificate::{self, Curve};

/// Largest request, in bytes of PEM. An honest one has about 500.
pub const CSR_BYTES_MAX: usize = 8 * 1024;

/// A public key whose holder has shown to have the private key. Names, CA flags and extensions of the request
/// have been thrown away: who the holder is, the holder's token says.
#[derive(Clone, Debug)]
pub struct Csr {
    key: SubjectPublicKeyInfo,
}

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCsr {
    /// More than [`CSR_BYTES_MAX`].
    #[error("the certificate request has {0} bytes; at most {CSR_BYTES_MAX} are read")]
    TooLong(usize),
    /// Not one PEM section `CERTIFICATE REQUEST`, or something before or behind it.
    #[error("the certificate request is not exactly one PEM section `CERTIFICATE REQUEST`")]
    Pem,
    /// Not DER, or not PKCS #10 (RFC 2986), or bytes behind its end.
    #[error("the certificate request is not PKCS #10 in DER, or has bytes behind its end")]
    Malformed,
    /// RSA, Ed25519, another curve, a compressed point.
    #[error(
        "the key of the certificate request is not an ECDSA key on P-256 or P-384, as an uncompressed point"
    )]
    Key,
    /// Signed with another algorithm than the key's own.
    #[error("the certificate request is not signed with ECDSA and the hash that fits its curve")]
    Algorithm,
    /// The private key did not sign this.
    #[error("the signature of the certificate request is wrong")]
    Signature,
}

impl Csr {
    /// Reads a request and checks its signature.
    pub fn from_pem(text: &str) -> Result<Self, InvalidCsr> {
        if text.len() > CSR_BYTES_MAX {
            return Err(InvalidCsr::TooLong(text.len()));
        }
        let section = text
            .trim_ascii()
            .strip_prefix("-----BEGIN CERTIFICATE REQUEST-----")
            .and_then(|rest| rest.strip_suffix("-----END CERTIFICATE REQUEST-----"));
        if section.is_none_or(|body| body.contains('-')) {
            return Err(InvalidCsr::Pem);
        }
        let der =
            CertificateSigningRequestDer::from_pem_slice(text.as_bytes()).map_err(|_| InvalidCsr::Pem)?;
        Self::from_der(&der)
    }

    fn from_der(der: &[u8]) -> Result<Self, InvalidCsr> {
        let Ok(([], request)) = X509CertificationRequest::from_der(der) else {
            return Err(InvalidCsr::Malformed);
        };
        let info = &request.certification_request_info;
        let key = &info.subject_pki;
        let (algorithm, verify, point_bytes) = match certificate::curve(key) {
            Some(Curve::P256) => (OID_SIG_ECDSA_WITH_SHA256, &signature::ECDSA_P256_SHA256_ASN1, 65),
            Some(Curve::P384) => (OID_SIG_ECDSA_WITH_SHA384, &signature::ECDSA_P384_SHA384_ASN1, 97),
            None => return Err(InvalidCsr::Key),
        };
        // SEC 1, section 2.3.3: 4 says that both coordinates follow.
        let point = key.subject_public_key.data.as_ref();
        if point.len() != point_bytes || point.first() != Some(&4) {
            return Err(InvalidCsr::Key);
        }
        if request.signature_algorithm.algorithm != algorithm {
            return Err(InvalidCsr::Algorithm);
        }
        UnparsedPublicKey::new(verify, point)
            .verify(info.raw, &request.signature_value.data)
            .map_err(|_| InvalidCsr::Signature)?;
        let oid = algorithm.as_bytes();
        let algorithm = framed(0x30, &framed(0x06, oid));
        let signature = framed(0x03, &[&[0], request.signature_value.data.as_ref()].concat());
        // What is not signed stands around what is, and the parser reads it with forbearance.
        if framed(0x30, &[info.raw, &algorithm, &signature].concat()) != der {
            return Err(InvalidCsr::Malformed);
        }
        let key = SubjectPublicKeyInfo::from_der(key.raw).map_err(|_| InvalidCsr::Key)?;
        Ok(Self { key })
    }

    pub(crate) fn public_key(&self) -> &SubjectPublicKeyInfo {
        &self.key
    }
}

/// `content` in DER, behind its tag and the shortest form of its length (X.690, section 10.1).
fn framed(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let digits = &length[length.iter().take_while(|&&byte| byte == 0).count()..];
    let header = match digits {
        [] => vec![tag, 0],
        &[short @ ..0x80] => vec![tag, short],
        // At most eight digits, the bytes of a `usize`.
        long => [&[tag, 0x80 | long.len() as u8], long].concat(),
    };
    [&header, content].concat()
}

#[cfg(test)]
mod tests;
