//! What the agent reads of the cluster, and the one thing that it does there: delete a pod that came too early.

use hyper::StatusCode;
use serde_json::{Value, json};
use weft_kubernetes::{ApiServer, RequestError};

/// Name of the agent's DaemonSet.
const DAEMON_SET: &str = "weft-cni";

/// The cluster that the node belongs to.
#[derive(Clone)]
pub struct Cluster {
    api: ApiServer,
    namespace: String,
    node: String,
}

impl Cluster {
    /// By way of `api`, for the agent in `namespace` on `node`.
    pub fn new(api: ApiServer, namespace: &str, node: &str) -> Self {
        Self { api, namespace: namespace.to_owned(), node: node.to_owned() }
    }

    /// The pod of this name; none if there is none.
    pub async fn pod(&self, namespace: &str, name: &str) -> Result<Option<Value>, RequestError> {
        self.api.get(&format!("/api/v1/namespaces/{namespace}/pods/{name}")).await
    }

    /// The pods of this node that have not come to run: a `PodList`.
    pub async fn pending(&self) -> Result<Value, RequestError> {
        let selector = format!("spec.nodeName%3D{}%2Cstatus.phase%3DPending", self.node);
        let list = self.api.get(&format!("/api/v1/pods?fieldSelector={selector}")).await?;
        Ok(list.unwrap_or_default())
    }

    /// Deletes this very pod, unless it is gone or has a successor.
    pub async fn delete(&self, namespace: &str, name: &str, uid: &str) -> Result<(), RequestError> {
        let path = format!("/api/v1/namespaces/{namespace}/pods/{name}");
        let options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid}});
        match self.api.delete(&path, &options).await {
            Err(RequestError::Refused { status: StatusCode::NOT_FOUND | StatusCode::CONFLICT, .. }) => Ok(()),
            other => other,
        }
    }

    /// Whether the mesh is still to redirect connections here. Where nobody knows the agent any more, its rights were
    /// taken away with it.
    pub async fn is_installed(&self) -> Result<bool, RequestError> {
        let path = format!("/apis/apps/v1/namespaces/{}/daemonsets/{DAEMON_SET}", self.namespace);
        match self.api.get(&path).await {
            Ok(Some(set)) => Ok(set["metadata"]["deletionTimestamp"].is_null()),
            Ok(None)
            | Err(RequestError::Refused {
                status: StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, ..
            }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}
