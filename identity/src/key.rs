//! Private keys: ECDSA on P-256 or P-384, held by the cryptographic library, which wipes them.

use std::{fmt, sync::Arc};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
        KeyPair as _,
    },
};
use rustls::{
    SignatureAlgorithm, SignatureScheme,
    sign::{Signer, SigningKey},
};
use rustls_pki_types::{PrivateKeyDer, SubjectPublicKeyInfoDer, pem::PemObject};
use zeroize::Zeroizing;

use crate::{certificate::Curve, pem};

/// Why there is no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The text holds no private key in PEM.
    #[error("no private key in PEM: `BEGIN PRIVATE KEY` or `BEGIN EC PRIVATE KEY` is expected")]
    NotPem,
    /// RSA, Ed25519, another curve, or an encrypted key.
    #[error(
        "the private key is not an ECDSA key on P-256 or P-384; `openssl ecparam -name prime256v1 -genkey` makes one"
    )]
    Unsupported,
    /// The cryptographic library failed, for want of memory or randomness.
    #[error("the cryptographic library failed to make or use a key")]
    Library,
}

/// A private key. A clone is the same key, not a copy of it.
#[derive(Clone)]
pub(crate) struct Key {
    pair: Arc<EcdsaKeyPair>,
    curve: Curve,
}

impl Key {
    /// A new key on P-256.
    pub(crate) fn generate() -> Result<Self, KeyError> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).map_err(|_| KeyError::Library)?;
        Ok(Self { pair: Arc::new(pair), curve: Curve::P256 })
    }

    /// The first private key in a PEM text, in PKCS #8 (RFC 5958) or SEC 1 (RFC 5915).
    pub(crate) fn from_pem(text: &str) -> Result<Self, KeyError> {
        let der =
            Zeroizing::new(PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|_| KeyError::NotPem)?);
        let parse = |algorithm: &'static EcdsaSigningAlgorithm| match &*der {
            PrivateKeyDer::Pkcs8(der) => EcdsaKeyPair::from_pkcs8(algorithm, der.secret_pkcs8_der()).ok(),
            PrivateKeyDer::Sec1(der) => {
                EcdsaKeyPair::from_private_key_der(algorithm, der.secret_sec1_der()).ok()
            }
            _ => None,
        };
        [(&ECDSA_P256_SHA256_ASN1_SIGNING, Curve::P256), (&ECDSA_P384_SHA384_ASN1_SIGNING, Curve::P384)]
            .into_iter()
            .find_map(|(algorithm, curve)| parse(algorithm).map(|pair| Self { pair: Arc::new(pair), curve }))
            .ok_or(KeyError::Unsupported)
    }

    /// The private key in PKCS #8. Wiped when dropped.
    pub(crate) fn to_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        // The library's own document wipes itself as well.
        let document = self.pair.to_pkcs8v1().map_err(|_| KeyError::Library)?;
        Ok(Zeroizing::new(document.as_ref().to_vec()))
    }

    /// The private key in PKCS #8 and PEM. Wiped when dropped.
    pub(crate) fn to_pem(&self) -> Result<Zeroizing<String>, KeyError> {
        Ok(pem::encode("PRIVATE KEY", &self.to_pkcs8()?))
    }

    /// The curve.
    pub(crate) fn curve(&self) -> Curve {
        self.curve
    }

    /// The public key as an uncompressed point (SEC 1, section 2.3.3).
    pub(crate) fn public_point(&self) -> &[u8] {
        self.pair.public_key().as_ref()
    }

    /// The public key as a certificate holds it (RFC 5280, section 4.1.2.7).
    pub(crate) fn public_key_info(&self) -> Vec<u8> {
        rcgen::PublicKeyData::subject_public_key_info(self)
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let signature = self.pair.sign(&SystemRandom::new(), message).map_err(|_| KeyError::Library)?;
        Ok(signature.as_ref().to_vec())
    }

    fn scheme(&self) -> SignatureScheme {
        match self.curve {
            Curve::P256 => SignatureScheme::ECDSA_NISTP256_SHA256,
            Curve::P384 => SignatureScheme::ECDSA_NISTP384_SHA384,
        }
    }
}

impl fmt::Debug for Key {
    /// Says what kind of key it is, and nothing of the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({:?})", self.curve)
    }
}

impl rcgen::PublicKeyData for Key {
    fn der_bytes(&self) -> &[u8] {
        self.public_point()
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        match self.curve {
            Curve::P256 => &rcgen::PKCS_ECDSA_P256_SHA256,
            Curve::P384 => &rcgen::PKCS_ECDSA_P384_SHA384,
        }
    }
}

impl rcgen::SigningKey for Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Key::sign(self, message).map_err(|_| rcgen::Error::RingUnspecified)
    }
}

impl SigningKey for Key {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        offered.contains(&self.scheme()).then(|| Box::new(self.clone()) as Box<dyn Signer>)
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        Some(self.public_key_info().into())
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

impl Signer for Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        Key::sign(self, message).map_err(|e| rustls::Error::General(e.to_string()))
    }

    fn scheme(&self) -> SignatureScheme {
        Key::scheme(self)
    }
}

#[cfg(test)]
mod tests;
