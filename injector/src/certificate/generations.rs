//! The webhook's own certificates: the one in use, the next one, and the roots of both and of the one before. Pure.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose,
};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::shown::{InvalidCertificate, certified, end};

/// How long a certificate is in use, about.
const LIFE: Duration = Duration::from_hours(90 * 24);
/// The next one takes over when so much of the life is left.
const LEFT: Duration = Duration::from_hours(30 * 24);
/// Clocks may differ by so much.
const BACKDATED: Duration = Duration::from_mins(5);
/// Roots that are announced at once: of the certificate before, the one in use, and the next.
const ROOTS: usize = 3;

/// Certificates for one name.
#[derive(Clone)]
pub struct Generations {
    current: Pair,
    next: Pair,
    /// PEM, the oldest first.
    roots: Vec<String>,
}

/// A certificate and its key, PEM.
#[derive(Clone)]
struct Pair {
    certificate: String,
    key: Zeroizing<String>,
    end: SystemTime,
}

/// Why these are no generations.
#[derive(Debug, thiserror::Error)]
pub enum InvalidGenerations {
    /// A field is not there, or is no text.
    #[error(
        "it holds no {0}, so it was not made by the injector: delete it, or set certificate.source to `files`"
    )]
    Missing(&'static str),
    /// A certificate is none.
    #[error("{field}: {source}; delete it, and the injector makes a new one")]
    Certificate {
        /// Which one.
        field: &'static str,
        /// What is wrong with it.
        source: InvalidCertificate,
    },
    /// The roots are none.
    #[error("ca.crt holds no certificates: delete the whole, and the injector makes a new one")]
    Roots,
}

impl Generations {
    /// New ones for the DNS name `name`. The next ends as much later than the first as it is used later.
    ///
    /// # Errors
    /// When the cryptographic library fails, or `name` cannot stand in a certificate.
    pub fn create(name: &str, now: SystemTime) -> Result<Self, rcgen::Error> {
        let (current, first) = make(name, now, now + LIFE)?;
        let (next, second) = make(name, now, now + 2 * LIFE)?;
        Ok(Self { current, next, roots: vec![first, second] })
    }

    /// What must be written if these are not good any more: the next takes over, and another next is made. None as
    /// long as they are good.
    pub fn renewed(&self, name: &str, now: SystemTime) -> Result<Option<Self>, rcgen::Error> {
        let due = |pair: &Pair| pair.end.duration_since(now).is_ok_and(|left| left > LEFT);
        if due(&self.current) {
            return Ok(None);
        }
        if !due(&self.next) {
            // Nobody was here for months: nothing of it is worth keeping.
            return Self::create(name, now).map(Some);
        }
        let (next, root) = make(name, now, now + 2 * LIFE)?;
        let known = self.roots.len().saturating_sub(ROOTS - 1);
        let roots = self.roots[known..].iter().cloned().chain([root]).collect();
        Ok(Some(Self { current: self.next.clone(), next, roots }))
    }

    /// Certificate and key in use, PEM.
    pub fn current(&self) -> (&str, &str) {
        (&self.current.certificate, &self.current.key)
    }

    /// The roots that API servers shall believe, PEM.
    pub fn roots(&self) -> String {
        self.roots.concat()
    }

    /// As the fields of a Secret.
    pub fn to_fields(&self) -> BTreeMap<String, Vec<u8>> {
        let roots = self.roots();
        [
            ("ca.crt", roots.as_str()),
            ("next.crt", &self.next.certificate),
            ("next.key", &self.next.key),
            ("tls.crt", &self.current.certificate),
            ("tls.key", &self.current.key),
        ]
        .map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec()))
        .into()
    }

    /// From the fields of a Secret.
    pub fn from_fields<'a>(get: impl Fn(&str) -> Option<&'a [u8]>) -> Result<Self, InvalidGenerations> {
        let text = |field: &'static str| {
            let bytes = get(field).ok_or(InvalidGenerations::Missing(field))?;
            std::str::from_utf8(bytes).map_err(|_| InvalidGenerations::Missing(field))
        };
        let pair = |certificate: &'static str, key: &'static str| {
            Pair::read(text(certificate)?, text(key)?)
                .map_err(|source| InvalidGenerations::Certificate { field: certificate, source })
        };
        let (next, current) = (pair("next.crt", "next.key")?, pair("tls.crt", "tls.key")?);
        let roots = roots(text("ca.crt")?);
        if roots.is_empty() {
            return Err(InvalidGenerations::Roots);
        }
        Ok(Self { current, next, roots })
    }
}

impl Pair {
    fn read(certificate: &str, key: &str) -> Result<Self, InvalidCertificate> {
        let chain = certified(certificate, key)?.cert;
        let end = end(&chain).ok_or(InvalidCertificate::Certificate)?;
        Ok(Self { certificate: certificate.to_owned(), key: Zeroizing::new(key.to_owned()), end })
    }
}

/// Each certificate of a PEM text as a text of its own; none if one of them is none.
fn roots(text: &str) -> Vec<String> {
    const END: &str = "-----END CERTIFICATE-----";
    let texts: Vec<String> = text
        .split_inclusive(END)
        .map(str::trim)
        .filter(|text| !text.is_empty())
        .map(|text| format!("{text}\n"))
        .collect();
    let fine = texts.iter().all(|text| CertificateDer::from_pem_slice(text.as_bytes()).is_ok());
    if fine { texts } else { Vec::new() }
}

/// A certificate for `name` and the root that vouches for it (PEM). The root's key is forgotten here: it can vouch for
/// nothing else.
fn make(name: &str, now: SystemTime, end: SystemTime) -> Result<(Pair, String), rcgen::Error> {
    let root_key = KeyPair::generate()?;
    let mut root = params("weft-injector root", now, end);
    root.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    root.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let root_certificate = root.self_signed(&root_key)?;

    let key = KeyPair::generate()?;
    let mut leaf = params("weft-injector", now, end);
    leaf.subject_alt_names = vec![rcgen::SanType::DnsName(name.try_into()?)];
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    leaf.use_authority_key_identifier_extension = true;
    let certificate = leaf.signed_by(&key, &Issuer::from_params(&root, &root_key))?;
    let key = Zeroizing::new(key.serialize_pem());
    Ok((Pair { certificate: certificate.pem(), key, end }, root_certificate.pem()))
}

fn params(name: &str, now: SystemTime, end: SystemTime) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = OffsetDateTime::from(now - BACKDATED);
    params.not_after = OffsetDateTime::from(end);
    params
}

#[cfg(test)]
mod tests;
