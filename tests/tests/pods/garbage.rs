//! Bytes of those who mean ill, on connections that the redirect leads to the sidecars.

use std::net::SocketAddr;

use http::{Method, StatusCode};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};
use weft_tests::{
    backend::{Backend, Reply},
    client::{Version, request},
    garbage::{client_hello, garbage},
    patience::{until, within},
    pods::{Cluster, Family},
};

use crate::{HTTP1, cluster, open, service};

/// Pieces of garbage on each way.
const SEEDS: u64 = 100;

/// Sends garbage, and hears what comes until the end of the connection, or resets it at once.
async fn spoil(mut stream: TcpStream, seed: u64, bytes: Vec<u8>) {
    // Whoever has heard enough ends the connection meanwhile.
    let _ = stream.write_all(&bytes).await;
    if seed.is_multiple_of(4) {
        return stream.set_zero_linger().expect("a socket takes it");
    }
    let _ = stream.shutdown().await;
    let mut heard = Vec::new();
    let _ = within("somebody ends the connection", stream.read_to_end(&mut heard)).await;
}

async fn serves(cluster: &Cluster) {
    for name in ["strict", "open"] {
        let to = service(cluster, name, Family::V4, HTTP1);
        let answer = open(cluster, "client", to, Version::Http1).await.send(request(Method::GET, "/")).await;
        let answer = answer.unwrap_or_else(|error| panic!("{name}: {error:#}"));
        assert_eq!(answer.status, StatusCode::OK, "{name}: {answer:?}");
    }
}

#[tokio::test]
async fn root_garbage_on_redirected_connections_leaves_nothing_behind() {
    let test = "root_garbage_on_redirected_connections_leaves_nothing_behind";
    let Some(cluster) = cluster(test).await else { return };
    let _apps = ["strict", "open"]
        .map(|pod| Backend::at(cluster.listen(pod, HTTP1), pod, Version::Http1, Reply::Status(200)));
    let hello = client_hello(&cluster.roots());
    let sidecars = ["client", "strict", "open"];
    serves(&cluster).await;
    let before = sidecars.map(|pod| cluster.census(pod).descriptors);
    let pod = |name| SocketAddr::new(cluster.address(name, Family::V4), HTTP1);
    let ways = [
        // Out of a pod, and into two of them: one that takes mTLS only, and one that takes everything.
        ("client", service(&cluster, "strict", Family::V4, HTTP1)),
        ("client", service(&cluster, "bare", Family::V4, HTTP1)),
        ("bare", pod("strict")),
        ("bare", pod("open")),
    ];
    for (from, to) in ways {
        let mut at_once = JoinSet::new();
        for seed in 0..SEEDS {
            // Where nobody listens, nobody takes it.
            let Ok(stream) = cluster.connect(from, to) else { continue };
            at_once.spawn(spoil(stream, seed, garbage(seed, &hello)));
        }
        at_once.join_all().await;
    }
    serves(&cluster).await;
    for (pod, before) in sidecars.into_iter().zip(before) {
        until(&format!("the sidecar of {pod} lets go of what was dropped"), async || {
            (cluster.census(pod).descriptors <= before).then_some(())
        })
        .await;
        assert!(!cluster.log(pod).contains("panicked"), "{pod}: {}", cluster.log(pod));
    }
}
