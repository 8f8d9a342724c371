//! The roots to trust.

use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};

use crate::{
    certificate::{self, Malformed, Validity},
    pem::{self, InvalidPem},
};

/// One or more roots: during a rotation the old and the new one stand side by side.
#[derive(Clone, Debug)]
pub struct TrustBundle {
    anchors: Vec<TrustAnchor<'static>>,
    /// How long each of the anchors is valid, in the same order: webpki takes an anchor as timeless, we do
    /// not.
    validities: Vec<Validity>,
}

/// Why a text is no trust bundle.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum InvalidBundle {
    /// It is no list of certificates.
    #[error("trust bundle: {0}")]
    Pem(#[from] InvalidPem),
    /// A certificate of it cannot be read. Counted from 1.
    #[error("trust bundle, certificate {0}: {Malformed}")]
    Malformed(usize),
    /// A certificate of it may not sign others. Counted from 1.
    #[error(
        "trust bundle, certificate {0}: it is no certificate authority (basic constraints `CA:TRUE` are missing)"
    )]
    NoAuthority(usize),
}

impl TrustBundle {
    /// At least one root, and nothing that is none.
    pub fn from_pem(text: &str) -> Result<Self, InvalidBundle> {
        Self::from_der(&pem::certificates(text)?)
    }

    pub(crate) fn from_der(roots: &[CertificateDer<'_>]) -> Result<Self, InvalidBundle> {
        let mut bundle = Self { anchors: Vec::new(), validities: Vec::new() };
        for (root, number) in roots.iter().zip(1..) {
            let malformed = InvalidBundle::Malformed(number);
            let parsed = certificate::parse(root).map_err(|_| malformed.clone())?;
            if !parsed.is_ca() {
                return Err(InvalidBundle::NoAuthority(number));
            }
            bundle.validities.push(certificate::validity(&parsed).ok_or_else(|| malformed.clone())?);
            let anchor = webpki::anchor_from_trusted_cert(root).map_err(|_| malformed)?;
            bundle.anchors.push(anchor.to_owned());
        }
        Ok(bundle)
    }

    /// How long each root is valid, in the order of the text.
    pub fn validities(&self) -> &[Validity] {
        &self.validities
    }

    pub(crate) fn anchors(&self) -> &[TrustAnchor<'static>] {
        &self.anchors
    }

    /// Fails if `anchor`, one of [`Self::anchors`], is not valid at `now`. Of roots that are equal but for
    /// their validity (a root renewed with its key), one that is valid suffices.
    pub(crate) fn check_validity(
        &self,
        anchor: &TrustAnchor<'_>,
        now: UnixTime,
    ) -> Result<(), webpki::Error> {
        let seconds = |time: std::time::SystemTime| {
            UnixTime::since_unix_epoch(time.duration_since(std::time::UNIX_EPOCH).unwrap_or_default())
        };
        let mut verdict = Err(webpki::Error::UnknownIssuer);
        for (known, validity) in self.anchors.iter().zip(&self.validities) {
            if known != anchor {
                continue;
            }
            let (not_before, not_after) = (seconds(validity.not_before), seconds(validity.not_after));
            verdict = match () {
                () if now < not_before => Err(webpki::Error::CertNotValidYet { time: now, not_before }),
                () if now > not_after => Err(webpki::Error::CertExpired { time: now, not_after }),
                () => return Ok(()),
            };
        }
        verdict
    }
}

#[cfg(test)]
mod tests;
