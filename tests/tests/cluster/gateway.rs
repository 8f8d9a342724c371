//! Kinds of the Gateway API, as far as an API server must know them to keep their objects.

use serde_json::json;

use crate::{cluster, place::kubectl};

/// A kind, defined for as long as it is needed.
pub(crate) struct Kind {
    definition: String,
    /// Whether somebody else's cluster has it anyway.
    keep: bool,
}

impl Kind {
    /// Defines a kind (`HTTPRoute`), if the cluster does not have it, and waits until it can be used.
    pub(crate) fn define(kind: &str) -> Self {
        let singular = kind.to_lowercase();
        let group = "gateway.networking.k8s.io";
        let name = format!("{singular}s.{group}");
        let definition = format!("customresourcedefinition/{name}");
        let keep = cluster().is_given();
        if !keep {
            let anything = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
            let object = json!({
                "apiVersion": "apiextensions.k8s.io/v1",
                "kind": "CustomResourceDefinition",
                "metadata": { "name": name, "annotations": { "api-approved.kubernetes.io": "unapproved" } },
                "spec": {
                    "group": group,
                    "scope": "Namespaced",
                    "names": {
                        "kind": kind,
                        "listKind": format!("{kind}List"),
                        "plural": format!("{singular}s"),
                        "singular": singular,
                    },
                    "versions": [{
                        "name": "v1",
                        "served": true,
                        "storage": true,
                        "subresources": { "status": {} },
                        "schema": { "openAPIV3Schema": anything },
                    }],
                },
            });
            cluster().apply(&object.to_string()).expect("an API server takes definitions");
        }
        kubectl(&["wait", &definition, "--for=condition=established", "--timeout=60s"]);
        Self { definition, keep }
    }

    /// Removes the kind with all its objects. Somebody else's cluster keeps it.
    pub(crate) fn remove(self) {
        if !self.keep {
            kubectl(&["delete", &self.definition]);
        }
    }
}
