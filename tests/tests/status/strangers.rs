//! A control plane that the API server does not know hears of nothing and can let nobody in.

use serde_json::json;
use weft_control_plane::{ControlPlane, InCluster};
use weft_runtime::Shutdown;
use weft_tests::{api_server::ApiServer, metrics, patience::until};

#[tokio::test]
async fn a_replica_is_ready_for_as_long_as_its_own_token_is_taken() {
    let api = ApiServer::start().await;
    api.answers("POST /api/v1/namespaces/weft-system/secrets", 201, json!({}));
    // A watch of it ends at once, and so it is asked for again and again.
    let none = json!({ "kind": "NamespaceList", "metadata": { "resourceVersion": "1" }, "items": [] });
    api.answers("GET /api/v1/namespaces", 200, none);
    let config = InCluster {
        listen: ([127, 0, 0, 1], 0).into(),
        admin: ([127, 0, 0, 1], 0).into(),
        trust_domain: "cluster.local".to_owned(),
        certificate_lifetime: "24h".parse().unwrap(),
        pod: "weft-control-plane-1".to_owned(),
        namespace: "weft-system".to_owned(),
        api_server: api.place(),
    };
    let (_trigger, shutdown) = Shutdown::manual();
    let started = ControlPlane::start_in_cluster(&config, shutdown).await.unwrap();
    let admin = started.as_ref().expect("nobody ends it").admin_addr();
    let ready = async |expected: bool| {
        let what = if expected { "it is ready" } else { "it is not ready" };
        until(what, async || (metrics::is_ready(admin).await == expected).then_some(())).await;
    };
    ready(true).await;
    api.knows_nobody(true);
    ready(false).await;
    api.knows_nobody(false);
    ready(true).await;
}
