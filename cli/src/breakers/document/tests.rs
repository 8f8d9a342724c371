use std::net::SocketAddr;

use serde_json::json;

use super::*;
use crate::{
    breakers::{
        breaker::tests::{CALLER, OPEN},
        look::Reason,
        sidecars::Sidecar,
    },
    wire::Failure,
};

#[test]
fn fields_are_as_documented() {
    let mut look = Look::of(&[("default/caller", CALLER), ("default/web", OPEN)]);
    let admin = SocketAddr::from(([127, 0, 0, 1], 14191));
    let sidecar = Sidecar { workload: "default/api".to_owned(), admin };
    look.unanswered.push(Unanswered { sidecar, reason: Reason::Silent(Failure::Slow) });
    look.breakers.truncate(2);
    let expected = json!({
        "breakers": [
            {
                "workload": "default/caller",
                "scope": "endpoint",
                "destination": "default/api:80",
                "endpoint": "10.0.0.2:80",
                "state": "open",
                "trips": { "total": 5, "byReason": { "probe_failed": 1, "share": 4 } },
                "rejected": 12,
                "suppressed": 6,
                "probes": { "succeeded": 3, "failed": 1 },
                "outcomes": { "ok": 80, "err": 20, "ignored": 7, "stale": 8 },
                "inFlight": 3,
                "limit": 100,
                "fallbacks": { "open": 5, "failure": 2 },
            },
            {
                "workload": "default/web",
                "scope": "target",
                "destination": "default/users:80",
                "endpoint": null,
                "state": "open",
                "trips": { "total": 1, "byReason": { "consecutive": 1 } },
                "rejected": 0,
                "suppressed": 0,
                "probes": { "succeeded": 0, "failed": 0 },
                "outcomes": { "ok": 0, "err": 0, "ignored": 0, "stale": 0 },
                "inFlight": 0,
                "limit": null,
                "fallbacks": { "open": 0, "failure": 0 },
            },
        ],
        "unanswered": [
            { "workload": "default/api", "admin": "127.0.0.1:14191", "reason": "no answer within 2 s" },
        ],
    });
    assert_eq!(serde_json::to_value(Document::of(&look)).unwrap(), expected);
}
