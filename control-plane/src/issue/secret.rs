//! The authority in a Secret that all replicas share: loaded, or made at the first start.

use std::time::SystemTime;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hyper::StatusCode;
use serde_json::{Value, json};
use weft_identity::{
    TrustDomain,
    authority::{Authority, InvalidAuthority},
    request::KeyError,
};
use weft_kubernetes::{ApiServer, RequestError, api_server::Write};

/// The Secret with the authority, of type `kubernetes.io/tls`.
pub const SECRET: &str = "weft-identity";

/// Why there is no authority.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The API server says no, or nothing. May be tried again.
    #[error("Secret {SECRET}: {0}")]
    Request(#[from] RequestError),
    /// A field of it cannot be used.
    #[error("Secret {SECRET}: {0} is missing, or is not text in base64")]
    Field(&'static str),
    /// What it holds is no authority.
    #[error("Secret {SECRET}: {0}")]
    Invalid(#[from] InvalidAuthority),
    /// A key could not be written down.
    #[error("Secret {SECRET}: {0}")]
    Key(#[from] KeyError),
    /// It was there when it was to be made, and is not when it is read.
    #[error("Secret {SECRET} comes and goes: somebody else deletes it")]
    Vanished,
}

impl SecretError {
    /// Whether it may be another one if it is tried again.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Request(_) | Self::Vanished)
    }
}

/// The authority in the Secret `weft-identity` of `namespace`, which is made if there is none. Of several replicas that
/// make one, the first wins, and the others use its.
pub async fn share(
    api: &ApiServer,
    namespace: &str,
    trust_domain: &TrustDomain,
    now: SystemTime,
) -> Result<Authority, SecretError> {
    let all = format!("/api/v1/namespaces/{namespace}/secrets");
    let one = format!("{all}/{SECRET}");
    if let Some(secret) = api.get(&one).await? {
        return load(trust_domain, &secret);
    }
    let authority = Authority::create(trust_domain.clone(), now)?;
    match api.send(Write::Create, &all, &secret(&authority)?).await {
        Ok(_) => {
            tracing::info!(secret = SECRET, "made a certificate authority");
            Ok(authority)
        }
        Err(error) if error.is(StatusCode::CONFLICT) => {
            let secret = api.get(&one).await?.ok_or(SecretError::Vanished)?;
            load(trust_domain, &secret)
        }
        Err(error) => Err(error.into()),
    }
}

fn secret(authority: &Authority) -> Result<Value, SecretError> {
    Ok(json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": { "name": SECRET, "labels": { "app.kubernetes.io/part-of": "weft" } },
        "type": "kubernetes.io/tls",
        "data": {
            "tls.crt": STANDARD.encode(authority.certificate_pem()),
            "tls.key": STANDARD.encode(authority.key_pem()?.as_bytes()),
        },
    }))
}

fn load(trust_domain: &TrustDomain, secret: &Value) -> Result<Authority, SecretError> {
    let text = |field: &'static str| {
        let encoded = secret["data"][field].as_str().ok_or(SecretError::Field(field))?;
        let bytes = STANDARD.decode(encoded).map_err(|_| SecretError::Field(field))?;
        String::from_utf8(bytes).map_err(|_| SecretError::Field(field))
    };
    let key = zeroize::Zeroizing::new(text("tls.key")?);
    Ok(Authority::load(trust_domain.clone(), &text("tls.crt")?, &key)?)
}

#[cfg(test)]
mod tests;
