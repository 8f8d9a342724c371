//! Certificates grow old, and nobody notices.

use weft_api::{Duration, bootstrap::MeshHttp};
use weft_tests::{
    backend::Backend,
    load::Load,
    mesh::Mesh,
    patience::until,
    plan::{Plan, Service},
};

use crate::WEFT;

/// The shortest life that a certificate may be given: it is renewed after 24 to 36 s.
const LIFETIME: Duration = Duration::from_secs(60);

async fn not_after(mesh: &Mesh, process: &str) -> f64 {
    let metrics = mesh.metrics(process).await;
    metrics.get("weft_certificate_not_after_seconds", &[]).expect("a ready sidecar has a certificate")
}

#[tokio::test]
async fn certificates_are_renewed_under_traffic() {
    let app = Backend::healthy("api").await;
    let mut plan = Plan::of(vec![Service::meshed("api", &[app.address()])]);
    plan.certificate_lifetime = LIFETIME;
    // Each concurrent request is another connection then, and another handshake.
    plan.mesh_http = MeshHttp::Http1;
    let mesh = Mesh::start(WEFT, &plan).await;
    let load = Load::start(mesh.entrance("api"), 2);
    let mut before = Vec::new();
    for process in mesh.sidecars() {
        let first = not_after(&mesh, &process).await;
        before.push((process, first));
    }
    for (process, first) in &before {
        until("the certificate is renewed", async || {
            (not_after(&mesh, process).await > *first).then_some(())
        })
        .await;
    }
    // More callers than there are connections: the new certificates are shown and believed.
    let more = Load::start(mesh.entrance("api"), 8);
    more.more(200).await;
    for tally in [load.stop().await, more.stop().await] {
        assert_eq!(tally.failed, 0, "{:?}", tally.failures);
    }
}
