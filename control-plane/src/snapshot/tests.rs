use weft_xds::Version;

use super::*;

fn empty() -> Snapshot {
    Snapshot::new(Resource {
        name: names::RESOURCE_TRUST_BUNDLE.to_owned(),
        aliases: Vec::new(),
        version: Version::of(10, b"roots"),
        body: "roots".into(),
    })
}

fn changes(snapshot: &Snapshot, since: u64) -> Option<Vec<&str>> {
    Some(snapshot.changes_since(since)?.map(|(_, name)| name).collect())
}

#[test]
fn changes_are_remembered_until_there_are_too_many() {
    let mut snapshot = empty();
    assert_eq!(changes(&snapshot, 10), Some(vec![]));
    for generation in 11..11 + LOG_MAX as u64 {
        snapshot.advance(generation, vec![(Kind::Cluster, generation.to_string())]);
    }
    assert_eq!(changes(&snapshot, 10).map(|names| names.len()), Some(LOG_MAX));
    assert_eq!(changes(&snapshot, snapshot.generation() - 1), Some(vec!["74"]));
    snapshot.advance(100, Vec::new());
    assert_eq!(changes(&snapshot, 10), None, "whoever is that far behind looks at everything");
    assert_eq!(changes(&snapshot, 11).map(|names| names.len()), Some(LOG_MAX - 1));
}

#[test]
fn names_that_are_no_names_lead_nowhere() {
    let snapshot = empty();
    for name in ["", ":", "/", "a/b", "a.b:80", ".svc.cluster.local:80", "1.2.3.4:80", "trust-bundle"] {
        for kind in [Kind::Cluster, Kind::Endpoints, Kind::Listener, Kind::Routes] {
            assert!(snapshot.get(kind, name, "default").is_none(), "{name}");
        }
    }
    assert!(snapshot.get(Kind::Secret, "trust-bundle", "default").is_some());
}
