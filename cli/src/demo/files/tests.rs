use std::fs;

use weft_api::circuit_breaker::FallbackCause;
use weft_control_plane::watch;

use super::*;

fn addresses() -> Addresses {
    let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
    Addresses {
        api: at(1),
        api_inbound: at(2),
        api_admin: at(3),
        frontend: at(4),
        frontend_inbound: at(5),
        frontend_admin: at(6),
        ambassador: at(7),
    }
}

#[test]
fn the_control_plane_finds_nothing_wrong_with_them() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(MESH), mesh(&addresses())).unwrap();
    fs::write(folder.path().join(RETRY), retry()).unwrap();
    fs::write(folder.path().join(BREAKER), breaker()).unwrap();
    let store = watch::check(folder.path()).unwrap();
    assert_eq!((store.services.len(), store.workloads.len(), store.retries.len()), (1, 2, 1));
    let policy = store.circuit_breakers.values().next().unwrap();
    let fallback = policy.spec.settings.fallback.as_ref().unwrap();
    assert_eq!(fallback.causes, [FallbackCause::Open, FallbackCause::Failure]);
    let body: serde_json::Value = serde_json::from_str(&fallback.body).unwrap();
    assert_eq!(body["message"], CANNED);
}
