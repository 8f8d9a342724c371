//! Certificates and keys as text (RFC 7468).

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustls_pki_types::{
    CertificateDer,
    pem::{PemObject, SectionKind},
};
use zeroize::Zeroizing;

/// Most certificates that a chain or a trust bundle may hold. Path building is exponential in the worst case,
/// and the chain comes from whoever connects.
pub const CERTIFICATES_MAX: usize = 16;

/// Why a PEM text is no list of certificates.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum InvalidPem {
    /// Not PEM: the reason in the parser's words.
    #[error("not PEM: {0}")]
    Syntax(String),
    /// A section of another kind.
    #[error(
        "the PEM text holds a section that is no certificate ({0:?}); only `BEGIN CERTIFICATE` may stand there"
    )]
    Other(SectionKind),
    /// No section at all.
    #[error("the PEM text holds no `BEGIN CERTIFICATE`")]
    Empty,
    /// More than [`CERTIFICATES_MAX`].
    #[error("the PEM text holds more than {CERTIFICATES_MAX} certificates")]
    TooMany,
}

/// Every certificate of a PEM text, in its order. A private key or anything else in it is refused: it stands
/// there by mistake, and mistakes with keys should be loud.
pub fn certificates(text: &str) -> Result<Vec<CertificateDer<'static>>, InvalidPem> {
    let mut found = Vec::new();
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(text.as_bytes()) {
        match section.map_err(|e| InvalidPem::Syntax(e.to_string()))? {
            (SectionKind::Certificate, der) => found.push(CertificateDer::from(der)),
            (other, _) => return Err(InvalidPem::Other(other)),
        }
        if found.len() > CERTIFICATES_MAX {
            return Err(InvalidPem::TooMany);
        }
    }
    if found.is_empty() { Err(InvalidPem::Empty) } else { Ok(found) }
}

/// `der` as a PEM section. Wiped when dropped, since it may be a key.
pub(crate) fn encode(label: &str, der: &[u8]) -> Zeroizing<String> {
    /// RFC 7468, section 2.
    const LINE: usize = 64;
    let base64 = Zeroizing::new(STANDARD.encode(der));
    let frame = 2 * ("-----BEGIN -----\n".len() + label.len());
    // Sized beforehand: a growing string leaves copies behind that nobody wipes.
    let mut text = Zeroizing::new(String::with_capacity(base64.len() + base64.len() / LINE + 1 + frame));
    for part in ["-----BEGIN ", label, "-----\n"] {
        text.push_str(part);
    }
    let mut rest = base64.as_str();
    while !rest.is_empty() {
        // Base64 is ASCII: every index is a character boundary.
        let (line, tail) = rest.split_at(rest.len().min(LINE));
        text.push_str(line);
        text.push('\n');
        rest = tail;
    }
    for part in ["-----END ", label, "-----\n"] {
        text.push_str(part);
    }
    text
}

#[cfg(test)]
mod tests;
