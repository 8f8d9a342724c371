//! The generations in a Secret, and their roots in the webhook configuration: what all replicas share.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hyper::StatusCode;
use serde_json::{Map, Value, json};
use weft_kubernetes::{ApiServer, RequestError, api_server::Write};

use super::generations::{Generations, InvalidGenerations};

/// Under which name the fields are owned that the injector writes.
const FIELD_MANAGER: &str = "weft-injector";

/// The objects of the injector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// Namespace of the Secret.
    pub namespace: String,
    /// The Secret.
    pub secret: String,
    /// The MutatingWebhookConfiguration.
    pub webhook_configuration: String,
}

/// The cluster that the injector runs in.
#[derive(Clone)]
pub struct Cluster {
    api: ApiServer,
    names: Names,
}

/// What is kept, and the version by which it can be replaced.
#[derive(Clone)]
pub struct Kept {
    /// The certificates.
    pub generations: Generations,
    /// `metadata.resourceVersion`.
    version: String,
}

/// What came of writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// It is kept.
    Kept,
    /// Another replica was first: read again.
    Conflict,
}

/// Why the cluster cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The API server said no, or nothing.
    #[error("{object}: {source}")]
    Request {
        /// What was asked for.
        object: String,
        /// What came of it.
        source: RequestError,
    },
    /// The Secret is not what it must be.
    #[error("Secret {name}: {source}")]
    Secret {
        /// Its name.
        name: String,
        /// What is wrong with it.
        source: InvalidGenerations,
    },
    /// There is nothing to announce roots in.
    #[error("there is no MutatingWebhookConfiguration {0}: is the chart installed?")]
    NoConfiguration(String),
}

impl Cluster {
    /// By way of `api`.
    pub fn new(api: ApiServer, names: Names) -> Self {
        Self { api, names }
    }

    /// What is kept; none if nothing is.
    pub async fn read(&self) -> Result<Option<Kept>, ClusterError> {
        let name = &self.names.secret;
        let failed = |source| ClusterError::Request { object: format!("Secret {name}"), source };
        let Some(secret) = self.api.get(&self.secret_path(name)).await.map_err(failed)? else {
            return Ok(None);
        };
        let fields = fields(&secret);
        let generations = Generations::from_fields(|field| fields.get(field).map(Vec::as_slice))
            .map_err(|source| ClusterError::Secret { name: name.clone(), source })?;
        let version = secret.pointer("/metadata/resourceVersion").and_then(Value::as_str).unwrap_or_default();
        Ok(Some(Kept { generations, version: version.to_owned() }))
    }

    /// Keeps `generations` in place of `replaced`; without one, if nothing is kept yet.
    pub async fn write(
        &self,
        generations: &Generations,
        replaced: Option<&Kept>,
    ) -> Result<Written, ClusterError> {
        let name = &self.names.secret;
        let data: Map<String, Value> = generations
            .to_fields()
            .into_iter()
            .map(|(field, bytes)| (field, Value::from(STANDARD.encode(bytes))))
            .collect();
        let mut secret = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name},
            "type": "kubernetes.io/tls",
            "data": data,
        });
        let (how, path) = match replaced {
            None => (Write::Create, self.secret_path("")),
            Some(kept) => {
                // An API server refuses to replace another version than this.
                secret["metadata"]["resourceVersion"] = json!(kept.version);
                (Write::Replace, self.secret_path(name))
            }
        };
        let path = format!("{path}?fieldManager={FIELD_MANAGER}");
        match self.api.send(how, &path, &secret).await {
            Ok(_) => Ok(Written::Kept),
            // There already, or another version.
            Err(error) if error.is(StatusCode::CONFLICT) => Ok(Written::Conflict),
            // Deleted meanwhile.
            Err(error) if replaced.is_some() && error.is(StatusCode::NOT_FOUND) => Ok(Written::Conflict),
            Err(source) => Err(ClusterError::Request { object: format!("Secret {name}"), source }),
        }
    }

    /// Tells API servers to believe `roots` (PEM) and no others, unless they do already.
    pub async fn announce(&self, roots: &str) -> Result<(), ClusterError> {
        let name = &self.names.webhook_configuration;
        let failed =
            |source| ClusterError::Request { object: format!("MutatingWebhookConfiguration {name}"), source };
        let path = format!("/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/{name}");
        let kept = self.api.get(&path).await.map_err(failed)?;
        let kept = kept.ok_or_else(|| ClusterError::NoConfiguration(name.clone()))?;
        let webhooks = kept.get("webhooks").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let bundle = json!(STANDARD.encode(roots));
        if webhooks.iter().all(|webhook| webhook.pointer("/clientConfig/caBundle") == Some(&bundle)) {
            return Ok(());
        }
        // By name only what is ours: the rest stays whose it is.
        let ours: Vec<Value> = webhooks
            .iter()
            .map(|webhook| json!({"name": webhook["name"], "clientConfig": {"caBundle": bundle}}))
            .collect();
        let apply = json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": name},
            "webhooks": ours,
        });
        let path = format!("{path}?fieldManager={FIELD_MANAGER}&force=true");
        self.api.send(Write::Apply, &path, &apply).await.map_err(failed)?;
        tracing::info!(name, "announced the webhook's roots");
        Ok(())
    }

    /// Path of the Secret `name`; of all of them without one.
    fn secret_path(&self, name: &str) -> String {
        let all = format!("/api/v1/namespaces/{}/secrets", self.names.namespace);
        if name.is_empty() { all } else { format!("{all}/{name}") }
    }
}

/// The fields of a Secret; those that are no base64 are left out.
fn fields(secret: &Value) -> BTreeMap<String, Vec<u8>> {
    let data = secret.get("data").and_then(Value::as_object);
    data.into_iter()
        .flatten()
        .filter_map(|(name, value)| Some((name.clone(), STANDARD.decode(value.as_str()?).ok()?)))
        .collect()
}
