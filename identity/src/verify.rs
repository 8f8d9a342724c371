//! Is this certificate the peer's, and whose is it? The chain by webpki, the name by our own rules.

use std::fmt;

use rustls::{SignatureScheme, crypto::WebPkiSupportedAlgorithms};
use rustls_pki_types::{CertificateDer, UnixTime};
use webpki::{EndEntityCert, KeyUsage, VerifiedPath, aws_lc_rs as algorithms};

use crate::{
    bundle::TrustBundle,
    certificate::{self, Malformed, Unnamed},
    pem::CERTIFICATES_MAX,
    spiffe::{SpiffeId, TrustDomain},
};

/// Which end of the connection the peer is. Its certificate must be meant for that (RFC 5280, section
/// 4.2.1.12).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The peer accepted the connection.
    Server,
    /// The peer opened the connection.
    Client,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Server => "server",
            Self::Client => "client",
        })
    }
}

/// Who the peer may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// This workload and no other.
    Exactly(SpiffeId),
    /// Any workload of the mesh.
    Member(TrustDomain),
}

/// Why a peer is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Distrust {
    /// Not a certificate.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// More certificates than any honest chain has.
    #[error("the peer sent {0} certificates; at most {CERTIFICATES_MAX} are read")]
    LongChain(usize),
    /// The chain does not lead to a root of the bundle, or breaks a rule on its way.
    #[error("the certificate chain does not hold: {0}")]
    Chain(#[from] webpki::Error),
    /// The certificate is not meant for the end of the connection at which the peer stands.
    #[error("the certificate is not meant for a TLS {0}: its extended key usage does not say so")]
    Usage(Role),
    /// RSA, Ed25519, or a curve nobody asked for.
    #[error("the key of the certificate is not an ECDSA key on P-256 or P-384")]
    Key,
    /// It names nobody, or too many.
    #[error(transparent)]
    Name(#[from] Unnamed),
    /// A workload of another mesh.
    #[error("the peer is {found}, of another trust domain than {expected}")]
    OtherTrustDomain {
        /// Who the certificate names.
        found: SpiffeId,
        /// Whose members are welcome.
        expected: TrustDomain,
    },
    /// Another workload of this mesh.
    #[error("the peer is {found}; {expected} was expected")]
    OtherIdentity {
        /// Who the certificate names.
        found: SpiffeId,
        /// Who should be there.
        expected: SpiffeId,
    },
}

/// Signatures that are taken: in a handshake ECDSA on the two curves, in a chain RSA of 2048 bits and more
/// beside that, since the root above a mesh may be a company's own.
pub(crate) static ALGORITHMS: WebPkiSupportedAlgorithms = WebPkiSupportedAlgorithms {
    all: &[
        algorithms::ECDSA_P256_SHA256,
        algorithms::ECDSA_P384_SHA384,
        algorithms::RSA_PKCS1_2048_8192_SHA256,
        algorithms::RSA_PKCS1_2048_8192_SHA384,
        algorithms::RSA_PKCS1_2048_8192_SHA512,
    ],
    mapping: &[
        (SignatureScheme::ECDSA_NISTP256_SHA256, &[algorithms::ECDSA_P256_SHA256]),
        (SignatureScheme::ECDSA_NISTP384_SHA384, &[algorithms::ECDSA_P384_SHA384]),
    ],
};

/// Who the peer is, if `leaf` is good for `role`, leads to a root of `bundle` at `now`, and names somebody
/// `expected`. That the peer holds the key as well is for the handshake to show.
pub fn verify_peer(
    leaf: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    bundle: &TrustBundle,
    expected: &Expected,
    role: Role,
    now: UnixTime,
) -> Result<SpiffeId, Distrust> {
    verify_chain(leaf, intermediates, bundle, role, now)?;
    let certificate = certificate::parse(leaf)?;
    // webpki lets a certificate without any extended key usage pass for every use.
    let usage = certificate.extended_key_usage().ok().flatten().map(|extension| extension.value);
    let fits = usage.is_some_and(|usage| match role {
        Role::Server => usage.server_auth,
        Role::Client => usage.client_auth,
    });
    if !fits {
        return Err(Distrust::Usage(role));
    }
    if certificate::curve(certificate.public_key()).is_none() {
        return Err(Distrust::Key);
    }
    let found = certificate::spiffe_id(&certificate)?;
    match expected {
        Expected::Exactly(expected) if found != *expected => {
            Err(Distrust::OtherIdentity { found, expected: expected.clone() })
        }
        Expected::Member(expected) if !found.is_member_of(expected) => {
            Err(Distrust::OtherTrustDomain { found, expected: expected.clone() })
        }
        _ => Ok(found),
    }
}

/// Signatures, validity, CA flags, path lengths and name constraints, from the leaf to a root. A leaf that is
/// a CA is refused here.
fn verify_chain(
    leaf: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    bundle: &TrustBundle,
    role: Role,
    now: UnixTime,
) -> Result<(), Distrust> {
    let length = intermediates.len() + 1;
    if length > CERTIFICATES_MAX {
        return Err(Distrust::LongChain(length));
    }
    let usage = match role {
        Role::Server => KeyUsage::server_auth(),
        Role::Client => KeyUsage::client_auth(),
    };
    let root_is_valid = |path: &VerifiedPath<'_>| bundle.check_validity(path.anchor(), now);
    EndEntityCert::try_from(leaf)?.verify_for_usage(
        ALGORITHMS.all,
        bundle.anchors(),
        intermediates,
        now,
        usage,
        None, // No revocation lists: certificates live for a day.
        Some(&root_is_valid),
    )?;
    Ok(())
}

/// Who stands at the other end of a connection, by the certificates its handshake verified. To call it with
/// any others is to believe a stranger.
pub fn peer_identity(verified: &[CertificateDer<'_>]) -> Result<SpiffeId, Distrust> {
    let leaf = verified.first().ok_or(Malformed)?;
    Ok(certificate::spiffe_id(&certificate::parse(leaf)?)?)
}
