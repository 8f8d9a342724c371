//! Whatever happened before: what is published is what the last store alone gives, and whoever follows the changes that
//! are told has all of it.

use super::*;
use crate::resolve::tests::History;

const HISTORIES: u64 = 6;
const STEPS: u64 = 50;
/// Those of the mesh, and one in which nothing is.
const NAMESPACES: [&str; 3] = ["a", "b", "elsewhere"];

/// Everything that subscribers can see, by whom it is and by which name.
fn seen(snapshot: &Snapshot) -> BTreeMap<(Kind, String, &'static str), Bytes> {
    let mut seen = BTreeMap::new();
    let tables = [&snapshot.services, &snapshot.pods];
    for published in tables.into_iter().flat_map(|table| table.values()).flat_map(|all| all.iter()) {
        let Resource { name, aliases, .. } = published.resource.as_ref();
        for (name, namespace) in
            [name].into_iter().chain(aliases).flat_map(|name| NAMESPACES.map(|one| (name, one)))
        {
            if let Some(found) = snapshot.get(published.kind, name, namespace) {
                seen.insert((published.kind, name.clone(), namespace), found.body.clone());
            }
        }
    }
    seen
}

fn entrances(snapshot: &Snapshot) -> BTreeMap<(&ObjectName, &str), Bytes> {
    let all = snapshot.workloads.iter().chain(snapshot.pod_entrances.iter());
    all.map(|(name, one)| ((name, one.service_account.as_str()), one.listener.body.clone())).collect()
}

#[test]
fn what_is_published_is_what_the_last_store_alone_gives() {
    for seed in 0..HISTORIES {
        let (mut history, mut compiler) = (History::new(seed), compiler());
        let mut before = compiler.snapshot().clone();
        for step in 0..STEPS {
            history.step();
            let now = compiler.compile(&history.store, 2000 + step).snapshot;
            let alone = super::compiler().compile(&history.store, 2000).snapshot;
            let (was, is) = (seen(&before), seen(&now));
            assert_eq!(is, seen(&alone), "history {seed}, step {step}");
            assert_eq!(entrances(&now), entrances(&alone), "history {seed}, step {step}");
            let told: BTreeSet<_> = now.changes_since(before.generation()).unwrap().collect();
            for key @ (kind, name, _) in was.keys().chain(is.keys()).filter(|key| was.get(key) != is.get(key))
            {
                assert!(told.contains(&(*kind, name)), "history {seed}, step {step}: {key:?} is not told of");
            }
            let entered = entrances(&before) == entrances(&now);
            assert!(entered || told.contains(&(Kind::Listener, "inbound")), "history {seed}, step {step}");
            before = now;
        }
    }
}
