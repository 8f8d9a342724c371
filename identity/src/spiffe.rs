//! The name that a certificate carries: `spiffe://<trust domain>/ns/<namespace>/sa/<service account>`.

use std::{fmt, str::FromStr, sync::Arc};

/// Longest trust domain, in bytes (SPIFFE-ID, section 2.1 and 2.3).
pub const TRUST_DOMAIN_BYTES_MAX: usize = 255;
/// Longest SPIFFE id, in bytes (SPIFFE-ID, section 2.3).
pub const ID_BYTES_MAX: usize = 2048;

const SCHEME: &str = "spiffe://";
/// Longest namespace, in bytes: a label of RFC 1123, as Kubernetes demands of namespaces.
const NAMESPACE_BYTES_MAX: usize = 63;
/// Longest service account, in bytes: a subdomain of RFC 1123, as Kubernetes demands of service accounts.
const SERVICE_ACCOUNT_BYTES_MAX: usize = 253;

/// The name of a mesh, and of the roots that vouch within it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrustDomain(Arc<str>);

/// Why a text is not a trust domain (SPIFFE-ID, section 2.1).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTrustDomain {
    /// Nothing stands where the trust domain should.
    #[error("the trust domain is empty")]
    Empty,
    /// More than [`TRUST_DOMAIN_BYTES_MAX`].
    #[error("the trust domain has {0} bytes; at most {TRUST_DOMAIN_BYTES_MAX} are allowed")]
    TooLong(usize),
    /// A character outside `a-z 0-9 . _ -`: also upper case, `@` of a user, `:` of a port, `%`, NUL.
    #[error("the trust domain holds {0:?}; only lower-case letters, digits, `.`, `_` and `-` are allowed")]
    Character(char),
}

impl TrustDomain {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TrustDomain {
    type Err = InvalidTrustDomain;

    fn from_str(text: &str) -> Result<Self, InvalidTrustDomain> {
        check_trust_domain(text)?;
        Ok(Self(text.into()))
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The identity of a workload, in its one canonical form: equal ids are equal byte for byte.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpiffeId {
    uri: Arc<str>,
    /// Where the trust domain ends within `uri`.
    trust_domain_end: usize,
    /// Where the namespace ends within `uri`.
    namespace_end: usize,
}

/// Why a text is not the SPIFFE id of a workload of this mesh.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSpiffeId {
    /// More than [`ID_BYTES_MAX`].
    #[error("the SPIFFE id has {0} bytes; at most {ID_BYTES_MAX} are allowed")]
    TooLong(usize),
    /// Another scheme, or `SPIFFE` in upper case.
    #[error("the SPIFFE id does not begin with `spiffe://`, in lower case")]
    Scheme,
    /// The part between `spiffe://` and the next `/`.
    #[error(transparent)]
    TrustDomain(#[from] InvalidTrustDomain),
    /// Segments are missing, empty, too many, or not the expected words.
    #[error("the path of the SPIFFE id is not exactly `/ns/<namespace>/sa/<service account>`")]
    Path,
    /// The namespace is no RFC 1123 label.
    #[error(
        "the namespace of the SPIFFE id is not 1 to {NAMESPACE_BYTES_MAX} lower-case letters, digits and `-`, with \
         a letter or digit at both ends"
    )]
    Namespace,
    /// The service account is no RFC 1123 subdomain.
    #[error(
        "the service account of the SPIFFE id is not 1 to {SERVICE_ACCOUNT_BYTES_MAX} lower-case letters, digits, \
         `-` and `.`, with a letter or digit at both ends of each part"
    )]
    ServiceAccount,
}

impl SpiffeId {
    /// The id of `service_account` in `namespace`.
    pub fn workload(
        trust_domain: &TrustDomain,
        namespace: &str,
        service_account: &str,
    ) -> Result<Self, InvalidSpiffeId> {
        if !is_label(namespace) {
            return Err(InvalidSpiffeId::Namespace);
        }
        if !is_subdomain(service_account) {
            return Err(InvalidSpiffeId::ServiceAccount);
        }
        let mut uri = format!("{SCHEME}{trust_domain}");
        let trust_domain_end = uri.len();
        uri.push_str("/ns/");
        uri.push_str(namespace);
        let namespace_end = uri.len();
        uri.push_str("/sa/");
        uri.push_str(service_account);
        Ok(Self { uri: uri.into(), trust_domain_end, namespace_end })
    }

    /// The whole URI.
    pub fn as_str(&self) -> &str {
        &self.uri
    }

    /// The trust domain, without scheme.
    pub fn trust_domain(&self) -> &str {
        &self.uri[SCHEME.len()..self.trust_domain_end]
    }

    /// The namespace.
    pub fn namespace(&self) -> &str {
        &self.uri[self.trust_domain_end + "/ns/".len()..self.namespace_end]
    }

    /// The service account.
    pub fn service_account(&self) -> &str {
        &self.uri[self.namespace_end + "/sa/".len()..]
    }

    /// Whether `trust_domain` is the one of this id.
    pub fn is_member_of(&self, trust_domain: &TrustDomain) -> bool {
        self.trust_domain() == trust_domain.as_str()
    }
}

impl FromStr for SpiffeId {
    type Err = InvalidSpiffeId;

    /// Accepts the canonical form and nothing that a URI parser would turn into it: no `%`, no dot segments,
    /// no empty segments, no user, port, query or fragment.
    fn from_str(text: &str) -> Result<Self, InvalidSpiffeId> {
        if text.len() > ID_BYTES_MAX {
            return Err(InvalidSpiffeId::TooLong(text.len()));
        }
        let rest = text.strip_prefix(SCHEME).ok_or(InvalidSpiffeId::Scheme)?;
        let mut segments = rest.split('/');
        let trust_domain = segments.next().unwrap_or_default();
        check_trust_domain(trust_domain)?;
        let (Some("ns"), Some(namespace), Some("sa"), Some(service_account), None) =
            (segments.next(), segments.next(), segments.next(), segments.next(), segments.next())
        else {
            return Err(InvalidSpiffeId::Path);
        };
        if !is_label(namespace) {
            return Err(InvalidSpiffeId::Namespace);
        }
        if !is_subdomain(service_account) {
            return Err(InvalidSpiffeId::ServiceAccount);
        }
        let trust_domain_end = SCHEME.len() + trust_domain.len();
        let namespace_end = trust_domain_end + "/ns/".len() + namespace.len();
        Ok(Self { uri: text.into(), trust_domain_end, namespace_end })
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.uri)
    }
}

impl fmt::Debug for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.uri)
    }
}

fn check_trust_domain(text: &str) -> Result<(), InvalidTrustDomain> {
    if text.is_empty() {
        return Err(InvalidTrustDomain::Empty);
    }
    if text.len() > TRUST_DOMAIN_BYTES_MAX {
        return Err(InvalidTrustDomain::TooLong(text.len()));
    }
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-');
    match text.chars().find(|&c| !allowed(c)) {
        Some(other) => Err(InvalidTrustDomain::Character(other)),
        None => Ok(()),
    }
}

/// RFC 1123 label, lower case.
fn is_label(text: &str) -> bool {
    text.len() <= NAMESPACE_BYTES_MAX && is_subdomain_part(text)
}

/// RFC 1123 subdomain, lower case. Like Kubernetes, it bounds the whole and not each part.
fn is_subdomain(text: &str) -> bool {
    text.len() <= SERVICE_ACCOUNT_BYTES_MAX && text.split('.').all(is_subdomain_part)
}

fn is_subdomain_part(text: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    let (Some(&first), Some(&last)) = (bytes.first(), bytes.last()) else { return false };
    alphanumeric(first) && alphanumeric(last) && bytes.iter().all(|&b| alphanumeric(b) || b == b'-')
}

#[cfg(test)]
mod tests;
