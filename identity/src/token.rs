//! Who asks: bearer tokens by which a workload proves to the control plane who it is.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, errors::ErrorKind};
use rustls_pki_types::{SubjectPublicKeyInfoDer, pem::PemObject};
use serde::{Deserialize, Serialize};
use x509_parser::{prelude::FromDer, x509::SubjectPublicKeyInfo};
use zeroize::Zeroizing;

use crate::{
    certificate::{self, Curve},
    key::{Key, KeyError},
    pem,
    spiffe::{InvalidSpiffeId, SpiffeId, TrustDomain},
};

/// Longest token that is read, in bytes. Those of Kubernetes have about 1,200.
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;
/// Issuer (`iss`) of the tokens of local mode.
pub const LOCAL_ISSUER: &str = "https://local.weft.dev";

/// A workload whose token was believed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Workload {
    /// Namespace.
    pub namespace: String,
    /// Service account.
    pub service_account: String,
    /// Name of the pod, or of the workload in local mode.
    pub pod: String,
    /// Uid of the pod: another pod of the same name has another.
    pub pod_uid: String,
}

impl Workload {
    /// Under which name the workload gets its certificate.
    pub fn spiffe_id(&self, trust_domain: &TrustDomain) -> Result<SpiffeId, InvalidSpiffeId> {
        SpiffeId::workload(trust_domain, &self.namespace, &self.service_account)
    }

    /// Its name as Kubernetes writes it into tokens.
    fn subject(&self) -> String {
        format!("system:serviceaccount:{}:{}", self.namespace, self.service_account)
    }
}

/// The text is no public key of an issuer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no public key of a local issuer: `BEGIN PUBLIC KEY` with an ECDSA key on P-256 is expected")]
pub struct InvalidPublicKey;

/// Why a token is not believed. None of the messages holds a part of the token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// More than [`TOKEN_BYTES_MAX`].
    #[error("the token has {0} bytes; at most {TOKEN_BYTES_MAX} are read")]
    TooLong(usize),
    /// Not a JWT (RFC 7519), without a claim that must be there, or with an extension that must be understood
    /// and is not.
    #[error("the token is no JWT of a workload")]
    Malformed,
    /// `none`, a shared secret, or any other algorithm than the issuer's.
    #[error("the token is not signed with ES256")]
    Algorithm,
    /// Someone else signed it, or someone changed it.
    #[error("the signature of the token is wrong")]
    Signature,
    /// `iss` is somebody else.
    #[error("the token comes from another issuer")]
    Issuer,
    /// `aud` does not name us: the token was made for somebody else, who may have passed it on.
    #[error("the token is for another audience")]
    Audience,
    /// `nbf` lies ahead.
    #[error("the token is not valid yet: compare the clocks")]
    NotYetValid,
    /// `exp` has passed.
    #[error("the token has expired: read it anew from its file")]
    Expired,
    /// `sub` and the claims of Kubernetes name two different workloads.
    #[error("the token contradicts itself about its subject")]
    Subject,
}

/// Makes the tokens of local mode, in the form of Kubernetes' bound service account tokens.
pub struct LocalIssuer {
    key: Key,
    signing: EncodingKey,
}

impl LocalIssuer {
    /// An issuer with a new key.
    pub fn create() -> Result<Self, KeyError> {
        Self::with_key(Key::generate()?)
    }

    /// An issuer with the key that [`Self::key_pem`] gave out.
    pub fn load(key_pem: &str) -> Result<Self, KeyError> {
        let key = Key::from_pem(key_pem)?;
        // ES256 is ECDSA on P-256 (RFC 7518, section 3.4).
        if key.curve() == Curve::P256 { Self::with_key(key) } else { Err(KeyError::Unsupported) }
    }

    fn with_key(key: Key) -> Result<Self, KeyError> {
        let signing = EncodingKey::from_ec_der(&key.to_pkcs8()?);
        Ok(Self { key, signing })
    }

    /// The private key in PKCS #8, for the file it is loaded from. Wiped when dropped.
    pub fn key_pem(&self) -> Result<Zeroizing<String>, KeyError> {
        self.key.to_pem()
    }

    /// A token for `workload`, to be shown to `audience`, good for `lifetime` from `now` on.
    pub fn issue(
        &self,
        workload: &Workload,
        audience: &str,
        lifetime: Duration,
        now: SystemTime,
    ) -> Result<String, KeyError> {
        let issued = seconds(now);
        let claims = Claims {
            iss: LOCAL_ISSUER.to_owned(),
            sub: workload.subject(),
            aud: vec![audience.to_owned()],
            iat: issued,
            nbf: issued,
            exp: issued.saturating_add(lifetime.as_secs()),
            bound: Bound {
                namespace: workload.namespace.clone(),
                serviceaccount: ServiceAccount { name: workload.service_account.clone() },
                pod: Pod { name: workload.pod.clone(), uid: workload.pod_uid.clone() },
            },
        };
        // Claims are strings and numbers, which JSON can always hold: only the library can fail.
        jsonwebtoken::encode(&Header::new(Algorithm::ES256), &claims, &self.signing)
            .map_err(|_| KeyError::Library)
    }

    /// The public key (RFC 7468, section 13), for [`LocalAuthenticator::from_public_key_pem`] in another process.
    pub fn public_key_pem(&self) -> String {
        pem::encode("PUBLIC KEY", &self.key.public_key_info()).to_string()
    }

    /// The other half: believes what this issuer signed for `audience`.
    pub fn authenticator(&self, audience: &str) -> LocalAuthenticator {
        LocalAuthenticator {
            key: DecodingKey::from_ec_der(self.key.public_point()),
            audience: audience.to_owned(),
        }
    }
}

/// Believes the tokens of one [`LocalIssuer`] for one audience.
pub struct LocalAuthenticator {
    key: DecodingKey,
    audience: String,
}

impl LocalAuthenticator {
    /// Believes what the issuer with this public key signed for `audience`. A private key is refused: it stands there
    /// by mistake.
    pub fn from_public_key_pem(text: &str, audience: &str) -> Result<Self, InvalidPublicKey> {
        let der = SubjectPublicKeyInfoDer::from_pem_slice(text.as_bytes()).map_err(|_| InvalidPublicKey)?;
        let Ok(([], key)) = SubjectPublicKeyInfo::from_der(&der) else { return Err(InvalidPublicKey) };
        let point = key.subject_public_key.data.as_ref();
        // SEC 1, section 2.3.3: 4 says that both coordinates follow, of 32 bytes each on P-256.
        let whole = point.len() == 65 && point.first() == Some(&4);
        if certificate::curve(&key) != Some(Curve::P256) || !whole {
            return Err(InvalidPublicKey);
        }
        Ok(Self { key: DecodingKey::from_ec_der(point), audience: audience.to_owned() })
    }

    /// Who holds `token`, if it is good at `now`.
    pub fn authenticate(&self, token: &str, now: SystemTime) -> Result<Workload, Refusal> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Refusal::TooLong(token.len()));
        }
        let claims = self.verify_signature(token)?;
        if claims.iss != LOCAL_ISSUER {
            return Err(Refusal::Issuer);
        }
        if !claims.aud.contains(&self.audience) {
            return Err(Refusal::Audience);
        }
        // No leeway: issuer and verifier share a clock.
        let now = seconds(now);
        if now < claims.nbf {
            return Err(Refusal::NotYetValid);
        }
        // RFC 7519, section 4.1.4: "on or after" the moment it is expired.
        if now >= claims.exp {
            return Err(Refusal::Expired);
        }
        let Bound { namespace, serviceaccount, pod } = claims.bound;
        let workload =
            Workload { namespace, service_account: serviceaccount.name, pod: pod.name, pod_uid: pod.uid };
        if workload.subject() == claims.sub { Ok(workload) } else { Err(Refusal::Subject) }
    }

    /// The library checks form, algorithm and signature. Claims are ours to check, since it would ask the
    /// clock itself.
    fn verify_signature(&self, token: &str) -> Result<Claims, Refusal> {
        let mut validation = Validation::new(Algorithm::ES256);
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        let verified =
            jsonwebtoken::decode::<Claims>(token, &self.key, &validation).map_err(|e| match e.kind() {
                ErrorKind::InvalidAlgorithm => Refusal::Algorithm,
                ErrorKind::InvalidSignature => Refusal::Signature,
                _ => Refusal::Malformed,
            })?;
        // RFC 7515, section 4.1.11: extensions named here must be understood, and none is.
        if verified.header.crit.is_some() { Err(Refusal::Malformed) } else { Ok(verified.claims) }
    }
}

/// The claims of a bound service account token that count here; `node`, `jti` and whatever else stands beside
/// them does not.
#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Vec<String>,
    iat: u64,
    nbf: u64,
    exp: u64,
    #[serde(rename = "kubernetes.io")]
    bound: Bound,
}

#[derive(Serialize, Deserialize)]
struct Bound {
    namespace: String,
    serviceaccount: ServiceAccount,
    pod: Pod,
}

#[derive(Serialize, Deserialize)]
struct ServiceAccount {
    name: String,
}

#[derive(Serialize, Deserialize)]
struct Pod {
    name: String,
    uid: String,
}

/// Seconds since 1970. A clock before that shows 0, at which no token is valid yet.
fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests;
