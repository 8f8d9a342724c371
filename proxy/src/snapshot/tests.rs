use super::*;

#[tokio::test]
async fn waiting_ends_with_the_snapshot_that_has_it() {
    let snapshots = Snapshots::default();
    let find = |snapshot: &Snapshot| snapshot.destinations.get("a").map(|_| ());
    let wait = snapshots.wait_for(find);
    let change = async {
        snapshots.store(Snapshot::default());
        tokio::task::yield_now().await;
        let destinations = HashMap::from([(Arc::from("a"), Destination::Unknown)]);
        snapshots.store(Snapshot { destinations, ..Snapshot::default() });
    };
    tokio::join!(wait, change);
}
