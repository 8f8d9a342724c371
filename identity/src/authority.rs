//! The certificate authority of a mesh: a key, its certificate, and what they put their name to.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyUsagePurpose, PublicKeyData, SanType, SerialNumber,
};
use rustls_pki_types::{CertificateDer, UnixTime};
use time::OffsetDateTime;
use x509_parser::certificate::X509Certificate;
use zeroize::Zeroizing;

use crate::{
    bundle::{InvalidBundle, TrustBundle},
    certificate::{self, Malformed, Validity},
    csr::Csr,
    key::{Key, KeyError},
    pem::{self, InvalidPem},
    spiffe::{SpiffeId, TrustDomain},
    verify::{self, Distrust, Expected, Role},
};

/// How long before now a certificate begins, so that a peer whose clock is behind takes it at once.
pub const BACKDATED: Duration = Duration::from_mins(5);
/// How long a root lives that [`Authority::create`] made: ten years.
pub const ROOT_LIFETIME: Duration = Duration::from_hours(10 * 365 * 24);

/// Signs the certificates of one trust domain.
///
/// One that [`Authority::create`] made is its own root. An issuer beneath a root pays off only if the root's
/// key lies elsewhere, and both would lie in the one secret that the control plane can write; whoever keeps a
/// root offline hands an issuer to [`Authority::load`].
pub struct Authority {
    trust_domain: TrustDomain,
    issuer: Issuer<'static, Key>,
    validity: Validity,
    /// The issuer, and what stands between it and the root, in the order of TLS; empty if the issuer is a
    /// root.
    intermediates_pem: String,
    certificate_pem: String,
}

/// A certificate that was signed just now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// The leaf first, then the intermediates; the root is left out (RFC 8446, section 4.4.2).
    pub chain_pem: String,
    /// When the leaf is valid.
    pub validity: Validity,
}

/// Why there is no authority.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum InvalidAuthority {
    /// The certificate is no PEM.
    #[error("certificate of the authority: {0}")]
    Pem(#[from] InvalidPem),
    /// A certificate of the chain cannot be read.
    #[error("certificate of the authority: {0}")]
    Malformed(#[from] Malformed),
    /// The topmost certificate is no CA.
    #[error("certificate of the authority: {0}")]
    Root(#[from] InvalidBundle),
    /// The first certificate may not sign others.
    #[error(
        "the first certificate of the authority may not sign others: it needs basic constraints `CA:TRUE` and, \
         if it has a key usage, `keyCertSign`"
    )]
    NoAuthority,
    /// The key belongs to another certificate.
    #[error("the private key of the authority does not belong to its first certificate")]
    OtherKey,
    /// The key cannot be read or made.
    #[error("private key of the authority: {0}")]
    Key(#[from] KeyError),
    /// It signs, but nobody would take what it signs: by a name constraint, an extended key usage, a gap in
    /// the chain.
    #[error("nobody would take a certificate of this authority: {0}")]
    Useless(#[source] Distrust),
    /// Signing fails.
    #[error(transparent)]
    Sign(#[from] SignError),
}

/// Why a certificate is not signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The authority vouches within its own trust domain only.
    #[error("{id} is not within the trust domain {trust_domain} of this authority")]
    OtherTrustDomain {
        /// For whom a certificate was asked.
        id: SpiffeId,
        /// Where the authority vouches.
        trust_domain: TrustDomain,
    },
    /// The authority's certificate has ended or not begun: nobody would take what it signs.
    #[error("the certificate of the authority is not valid now; rotate it")]
    NotValid,
    /// No randomness, or a name or time that X.509 cannot hold.
    #[error("cannot write a certificate: {0}")]
    Write(#[from] rcgen::Error),
    /// The clock shows a time that certificates cannot hold.
    #[error("the clock shows a time that a certificate cannot hold")]
    Clock,
}

impl Authority {
    /// A new root, good for [`ROOT_LIFETIME`].
    pub fn create(trust_domain: TrustDomain, now: SystemTime) -> Result<Self, InvalidAuthority> {
        let key = Key::generate()?;
        let serial = random_serial()?;
        let not_after = now.checked_add(ROOT_LIFETIME).ok_or(SignError::Clock)?;
        let validity = Validity { not_before: backdated(now), not_after };
        let mut params = blank(validity, serial.clone())?;
        // Two roots of one mesh stand side by side during a rotation: the name keeps them apart.
        let name = serial.to_string();
        params.distinguished_name.push(DnType::OrganizationName, "Weft");
        params.distinguished_name.push(DnType::CommonName, format!("Weft root {name}"));
        // SPIFFE X.509-SVID, section 3.1: a signing certificate may carry the id of its trust domain, without
        // a path.
        let uri = format!("spiffe://{trust_domain}");
        params.subject_alt_names = vec![SanType::URI(uri.try_into().map_err(SignError::Write)?)];
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate_pem = params.self_signed(&key).map_err(SignError::Write)?.pem();
        Self::with_key(trust_domain, &certificate_pem, key)
    }

    /// An authority from a secret of the form `kubernetes.io/tls`: in `certificate_pem` its certificate
    /// first, then those above it, with or without the root; in `key_pem` its key. It is tried out before it
    /// is believed.
    pub fn load(
        trust_domain: TrustDomain,
        certificate_pem: &str,
        key_pem: &str,
    ) -> Result<Self, InvalidAuthority> {
        Self::with_key(trust_domain, certificate_pem, Key::from_pem(key_pem)?)
    }

    fn with_key(
        trust_domain: TrustDomain,
        certificate_pem: &str,
        key: Key,
    ) -> Result<Self, InvalidAuthority> {
        let chain = pem::certificates(certificate_pem)?;
        let parsed = chain.iter().map(certificate::parse).collect::<Result<Vec<_>, _>>()?;
        let (Some(der), Some(own)) = (chain.first(), parsed.first()) else {
            return Err(InvalidPem::Empty.into());
        };
        if !may_sign(own) {
            return Err(InvalidAuthority::NoAuthority);
        }
        if own.public_key().raw != key.public_key_info() {
            return Err(InvalidAuthority::OtherKey);
        }
        let is_root = |certificate: &X509Certificate<'_>| {
            certificate.subject().as_raw() == certificate.issuer().as_raw()
        };
        let intermediates_pem = chain
            .iter()
            .zip(&parsed)
            .filter(|(_, parsed)| !is_root(parsed))
            .map(|(der, _)| pem::encode("CERTIFICATE", der).to_string())
            .collect();
        let authority = Self {
            trust_domain,
            issuer: Issuer::from_ca_cert_der(der, key).map_err(SignError::Write)?,
            validity: certificate::validity(own).ok_or(Malformed)?,
            intermediates_pem,
            certificate_pem: certificate_pem.to_owned(),
        };
        authority.try_out(&chain, &parsed)?;
        Ok(authority)
    }

    /// Signs a certificate that nobody gets, and verifies it as a peer would: what is wrong with an authority
    /// should come out when it is loaded, and not in the handshakes of a whole mesh.
    fn try_out(
        &self,
        chain: &[CertificateDer<'_>],
        parsed: &[X509Certificate<'_>],
    ) -> Result<(), InvalidAuthority> {
        let (root, _) = chain.split_last().ok_or(InvalidPem::Empty)?;
        let bundle = TrustBundle::from_der(std::slice::from_ref(root))?;
        let id =
            SpiffeId::workload(&self.trust_domain, "try", "out").expect("both names are labels of RFC 1123");
        // The first moment at which the whole chain is valid: whether it is valid now is for `sign` to say.
        let begins = parsed.iter().filter_map(certificate::validity).map(|v| v.not_before).max();
        let now = begins.unwrap_or(self.validity.not_before);
        let issued = self.certify(&Key::generate()?, &id, BACKDATED, now)?;
        let signed = pem::certificates(&issued.chain_pem)?;
        let (leaf, intermediates) = signed.split_first().ok_or(InvalidPem::Empty)?;
        let since_epoch = now.duration_since(UNIX_EPOCH).map_err(|_| SignError::Clock)?;
        let now = UnixTime::since_unix_epoch(since_epoch);
        for role in [Role::Server, Role::Client] {
            verify::verify_peer(leaf, intermediates, &bundle, &Expected::Exactly(id.clone()), role, now)
                .map_err(InvalidAuthority::Useless)?;
        }
        Ok(())
    }

    /// A certificate that says `id` holds the key of `csr`, for `lifetime` from `now` on, or until the
    /// authority's own certificate ends. It serves at both ends of a connection.
    pub fn sign(
        &self,
        csr: &Csr,
        id: &SpiffeId,
        lifetime: Duration,
        now: SystemTime,
    ) -> Result<Issued, SignError> {
        self.certify(csr.public_key(), id, lifetime, now)
    }

    /// A certificate of a server for clients who know it by DNS names only. It names no workload, so nobody of the mesh
    /// believes it.
    pub fn sign_hosts(
        &self,
        csr: &Csr,
        hosts: &[&str],
        lifetime: Duration,
        now: SystemTime,
    ) -> Result<Issued, SignError> {
        let host = |host: &&str| Ok(SanType::DnsName((*host).try_into()?));
        let names = hosts.iter().map(host).collect::<Result<_, SignError>>()?;
        self.issue(csr.public_key(), names, vec![ExtendedKeyUsagePurpose::ServerAuth], lifetime, now)
    }

    fn certify(
        &self,
        key: &impl PublicKeyData,
        id: &SpiffeId,
        lifetime: Duration,
        now: SystemTime,
    ) -> Result<Issued, SignError> {
        if !id.is_member_of(&self.trust_domain) {
            return Err(SignError::OtherTrustDomain {
                id: id.clone(),
                trust_domain: self.trust_domain.clone(),
            });
        }
        let names = vec![SanType::URI(id.as_str().try_into()?)];
        let usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(key, names, usages, lifetime, now)
    }

    fn issue(
        &self,
        key: &impl PublicKeyData,
        names: Vec<SanType>,
        usages: Vec<ExtendedKeyUsagePurpose>,
        lifetime: Duration,
        now: SystemTime,
    ) -> Result<Issued, SignError> {
        if !(self.validity.not_before..self.validity.not_after).contains(&now) {
            return Err(SignError::NotValid);
        }
        let end = now.checked_add(lifetime).unwrap_or(self.validity.not_after);
        let validity = Validity {
            not_before: backdated(now).max(self.validity.not_before),
            not_after: end.min(self.validity.not_after),
        };
        let mut params = blank(validity, random_serial()?)?;
        params.subject_alt_names = names;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = usages;
        params.use_authority_key_identifier_extension = true;
        let leaf = params.signed_by(key, &self.issuer)?.pem();
        Ok(Issued { chain_pem: leaf + &self.intermediates_pem, validity })
    }

    /// Where this authority vouches.
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// When the authority's own certificate is valid. Nothing that it signs outlives it.
    pub fn validity(&self) -> Validity {
        self.validity
    }

    /// The authority's certificate, and those above it if it was loaded with them. Of one that
    /// [`Authority::create`] made, this is the trust bundle.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The private key in PKCS #8, for the secret it is loaded from. Wiped when dropped.
    pub fn key_pem(&self) -> Result<Zeroizing<String>, KeyError> {
        self.issuer.key().to_pem()
    }
}

/// Whether the holder of `certificate` may sign others (RFC 5280, sections 4.2.1.3 and 4.2.1.9).
fn may_sign(certificate: &X509Certificate<'_>) -> bool {
    let usage_allows = match certificate.key_usage() {
        Ok(Some(usage)) => usage.value.key_cert_sign(),
        Ok(None) => true,
        Err(_) => false,
    };
    certificate.is_ca() && usage_allows
}

/// Without names, and without a subject: the URI is the only thing that names anybody.
fn blank(validity: Validity, serial: SerialNumber) -> Result<CertificateParams, SignError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.not_before = date(validity.not_before)?;
    params.not_after = date(validity.not_after)?;
    params.serial_number = Some(serial);
    Ok(params)
}

fn date(time: SystemTime) -> Result<OffsetDateTime, SignError> {
    let seconds = time.duration_since(UNIX_EPOCH).map_err(|_| SignError::Clock)?.as_secs();
    let seconds = i64::try_from(seconds).map_err(|_| SignError::Clock)?;
    OffsetDateTime::from_unix_timestamp(seconds).map_err(|_| SignError::Clock)
}

fn backdated(now: SystemTime) -> SystemTime {
    now.checked_sub(BACKDATED).unwrap_or(now)
}

/// 126 random bits: unique and not to be guessed (RFC 5280, section 4.1.2.2: positive, at most 20 bytes).
fn random_serial() -> Result<SerialNumber, SignError> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| rcgen::Error::RingUnspecified)?;
    // The first bit is the sign; the second, always set, keeps all serial numbers the same length.
    bytes[0] = bytes[0] & 0x7f | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

#[cfg(test)]
mod tests;
