//! The roots to trust, in each namespace that has pods of the mesh: their sidecars read them before they ask anything.
//!
//! What is wanted is compared with what is there. So a ConfigMap that somebody changes or deletes comes back.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    sync::{mpsc, watch},
    time::sleep,
};
use weft_api::names;
use weft_kubernetes::{
    ApiServer,
    api_server::Write,
    watch::{Change, Resource, follow},
};
use weft_runtime::Shutdown;

/// Under which name the fields are owned that the control plane writes.
const FIELD_MANAGER: &str = "weft-control-plane";
/// After a write that failed, it is tried again after this long; the pause doubles
const RETRY: Duration = Duration::from_secs(1);
/// up to this: a namespace that is being deleted takes nothing, and may be so for long.
const RETRY_MAX: Duration = Duration::from_mins(1);
/// Changes that wait to be looked at.
const CHANGES_MAX: usize = 64;

/// Namespaces with pods of the mesh, or with pods to come.
pub type Namespaces = Arc<BTreeSet<String>>;

/// Every bundle that there is, as it is known to the API server.
const RESOURCE: Resource<()> =
    Resource { kind: (), path: "/api/v1/configmaps", field_selector: "metadata.name=weft-trust-bundle" };

/// Keeps `roots_pem` in the `namespaces` of the mesh until the process drains. Every replica does: all write the same,
/// and no namespace waits for one of them.
pub async fn keep(
    api: ApiServer,
    roots_pem: String,
    mut namespaces: watch::Receiver<Namespaces>,
    shutdown: Shutdown,
) {
    let (sender, mut changes) = mpsc::channel(CHANGES_MAX);
    let mut bundles = Bundles { roots_pem, held: BTreeMap::new() };
    // What is there is known before anything is written over it.
    let mut is_known = false;
    let watching = follow(&api, &RESOURCE, |object| Bundle::read(&object), &sender);
    let mut watching = std::pin::pin!(watching);
    let mut retry = None;
    loop {
        if is_known {
            let missing = bundles.missing(&namespaces.borrow_and_update());
            let mut all = true;
            for namespace in missing {
                all &= bundles.write(&api, &namespace).await;
            }
            retry = (!all).then(|| retry.map_or(RETRY, |before: Duration| (before * 2).min(RETRY_MAX)));
        }
        tokio::select! {
            () = watching.as_mut() => return,
            Some(((), change)) = changes.recv() => {
                is_known = true;
                bundles.apply(change);
            }
            Ok(()) = namespaces.changed() => {}
            () = sleep(retry.unwrap_or_default()), if retry.is_some() => {}
            () = shutdown.draining() => return,
        }
    }
}

/// A bundle that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Bundle {
    namespace: String,
    roots: Option<String>,
}

impl Bundle {
    fn read(config_map: &Value) -> Self {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        Self {
            namespace: text(&config_map["metadata"]["namespace"]).unwrap_or_default(),
            roots: text(&config_map["data"][names::TRUST_BUNDLE_KEY]),
        }
    }
}

struct Bundles {
    roots_pem: String,
    /// What is there, by namespace.
    held: BTreeMap<String, Option<String>>,
}

impl Bundles {
    fn apply(&mut self, change: Change<Bundle>) {
        match change {
            Change::Listed(all) => {
                self.held = all.into_iter().map(|bundle| (bundle.namespace, bundle.roots)).collect();
            }
            Change::Applied(bundle) => drop(self.held.insert(bundle.namespace, bundle.roots)),
            Change::Removed(bundle) => drop(self.held.remove(&bundle.namespace)),
            Change::Absent => self.held.clear(),
        }
    }

    /// Those of `namespaces` whose bundle is not there, or another one.
    fn missing(&self, namespaces: &BTreeSet<String>) -> Vec<String> {
        let is_right = |namespace: &&String| {
            self.held.get(*namespace).is_some_and(|roots| roots.as_deref() == Some(self.roots_pem.as_str()))
        };
        namespaces.iter().filter(|namespace| !is_right(namespace)).cloned().collect()
    }

    async fn write(&mut self, api: &ApiServer, namespace: &str) -> bool {
        let name = names::TRUST_BUNDLE_CONFIG_MAP;
        let bundle = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": { "name": name, "labels": { "app.kubernetes.io/part-of": "weft" } },
            "data": { names::TRUST_BUNDLE_KEY: self.roots_pem },
        });
        let path = format!(
            "/api/v1/namespaces/{namespace}/configmaps/{name}?fieldManager={FIELD_MANAGER}&force=true"
        );
        match api.send(Write::Apply, &path, &bundle).await {
            Ok(_) => {
                tracing::info!(namespace, "wrote the roots to trust");
                // The watch says so, too, a moment later.
                self.held.insert(namespace.to_owned(), Some(self.roots_pem.clone()));
                true
            }
            Err(error) => {
                tracing::warn!(namespace, %error, "the roots to trust cannot be written: trying again");
                false
            }
        }
    }
}

#[cfg(test)]
mod tests;
