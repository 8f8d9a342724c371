use super::*;

fn bundle(namespace: &str, roots: &str) -> Bundle {
    Bundle::read(&json!({"metadata": {"namespace": namespace}, "data": {"ca.crt": roots}}))
}

#[test]
fn a_bundle_is_written_where_it_is_wanted_and_not_there_or_another_one() {
    let mut bundles = Bundles { roots_pem: "new".to_owned(), held: BTreeMap::new() };
    let namespaces = ["old", "right", "none"].map(str::to_owned).into();
    bundles.apply(Change::Listed(vec![
        bundle("old", "old"),
        bundle("right", "new"),
        bundle("elsewhere", "old"),
    ]));
    assert_eq!(bundles.missing(&namespaces), ["none", "old"]);
    bundles.apply(Change::Removed(bundle("right", "new")));
    bundles.apply(Change::Applied(bundle("none", "new")));
    assert_eq!(bundles.missing(&namespaces), ["old", "right"]);
    bundles.apply(Change::Applied(Bundle::read(&json!({"metadata": {"namespace": "none"}}))));
    assert_eq!(bundles.missing(&namespaces), ["none", "old", "right"], "its data is gone");
}

#[test]
fn the_watch_asks_for_the_bundles_alone() {
    assert_eq!(RESOURCE.field_selector, format!("metadata.name={}", names::TRUST_BUNDLE_CONFIG_MAP));
}
