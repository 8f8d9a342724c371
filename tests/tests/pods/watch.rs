//! Peers that are gone without a word, as when their node dies: the kernel notices.

use std::fs;

use tokio::io::AsyncReadExt;
use weft_api::names;
use weft_tests::{
    patience::{until, within},
    pods::{Cluster, Family},
};

use crate::{
    MYSQL, cluster,
    opaque::{GREETING, greeter},
    service,
};

/// A state and a timer of /proc/net/tcp (proc_net_tcp of the kernel's documentation): 1 is an established connection, 2 the
/// timer that asks a silent peer for a sign of life.
const ESTABLISHED: &str = "01";
const SIGNS: &str = "02";
/// Longest that such a timer waits here: 15 s, in hundredths.
const SILENCE: u32 = 1_500;

/// A connection of a sidecar: where it goes, its timer, and when that is due, in hundredths of a second.
#[derive(Debug)]
struct Watched {
    remote_port: u16,
    timer: String,
    due: u32,
}

/// All connections of the sidecar of a pod.
fn connections(cluster: &Cluster, pod: &str) -> Vec<Watched> {
    let read = || ["tcp", "tcp6"].map(|file| fs::read_to_string(format!("/proc/thread-self/net/{file}")));
    let texts = cluster.pod(pod).run(read).map(|text| text.expect("the kernel has IPv4 and IPv6"));
    let read = |row: &str| {
        let columns: Vec<&str> = row.split_whitespace().collect();
        let [_, _, remote, state, _, timer, _, uid, ..] = columns.as_slice() else { return None };
        let (_, remote_port) = remote.split_once(':')?;
        let (timer, due) = timer.split_once(':')?;
        let due = u32::from_str_radix(due, 16).ok()?;
        let remote_port = u16::from_str_radix(remote_port, 16).ok()?;
        let is_its = *state == ESTABLISHED && uid.parse() == Ok(names::PROXY_UID);
        is_its.then(|| Watched { remote_port, timer: timer.to_owned(), due })
    };
    texts.iter().flat_map(|text| text.lines().filter_map(read)).collect()
}

#[tokio::test]
async fn root_every_connection_is_watched_for_silence() {
    let Some(cluster) = cluster("root_every_connection_is_watched_for_silence").await else { return };
    let _app = greeter(cluster.listen("strict", MYSQL), GREETING);
    for family in Family::ALL {
        let to = service(&cluster, "strict", family, MYSQL);
        let mut stream = cluster.connect("client", to).unwrap_or_else(|error| panic!("{to}: {error}"));
        let greeting = within("the greeting comes", stream.read_exact(&mut [0; GREETING.len()])).await;
        greeting.unwrap_or_else(|error| panic!("{to}: {error}"));
        for pod in ["client", "strict"] {
            // What has just been said may yet have to be acknowledged, which is another timer.
            until(&format!("all connections of {pod} are watched"), async || {
                let mut connections = connections(&cluster, pod);
                // The stream of the configuration has signs of life of its own, over HTTP/2.
                connections.retain(|connection| connection.remote_port != names::XDS_PORT);
                assert!(connections.len() >= 2, "{pod}: both sides of one, and it has {connections:?}");
                connections.iter().all(|it| it.timer == SIGNS && it.due <= SILENCE).then_some(())
            })
            .await;
        }
    }
}
