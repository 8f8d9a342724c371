//! Connections that come and say nothing, or begin something and never end it: each is let go within its time, and none
//! is missed by the others.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::timeout,
};
use weft_tests::{garbage::client_hello, patience::until};

use crate::Town;

/// Whoever says nothing has 5 s, a head of a request 10 s, and HTTP/2 without any request 25 s; the rest is for a busy
/// machine.
const LIMIT: Duration = Duration::from_secs(40);
/// Connections of each kind, at each listener.
const OF_EACH: usize = 5;
/// Kinds of them that begin to speak HTTP: to the others nothing is said.
const SPOKEN: usize = 3;

#[tokio::test]
async fn whoever_does_not_come_to_the_point_is_let_go() {
    let town = Town::start().await;
    let mesh = &town.mesh;
    let hello = client_hello(&mesh.roots());
    let openings: [&[u8]; 7] = [
        b"",
        b"G",
        b"PRI * HTTP/2.0\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\nx: ",
        &hello[..3],
        &hello[..hello.len() - 1],
    ];
    let mut waiting = JoinSet::new();
    for door in [mesh.entrance("strict"), mesh.inbound("strict-0"), mesh.inbound("open-0")] {
        for opening in openings {
            for _ in 0..OF_EACH {
                let opening = opening.to_vec();
                waiting.spawn(async move {
                    let mut stream = TcpStream::connect(door).await.expect("somebody listens");
                    stream.write_all(&opening).await.expect("it is open");
                    let mut heard = Vec::new();
                    let ended = timeout(LIMIT, stream.read_to_end(&mut heard)).await;
                    let shown = String::from_utf8_lossy(&opening).into_owned();
                    assert!(ended.is_ok(), "after {LIMIT:?} {door} is still open to `{shown}`");
                });
            }
        }
    }
    // Meanwhile others are served.
    town.serves().await;
    waiting.join_all().await;
    for process in ["web-proxy", "strict-0-proxy", "open-0-proxy"] {
        until(
            &format!("{process} says of those who began to speak HTTP that they were too slow"),
            async || {
                let log = mesh.access_log(process);
                let slow = log.iter().filter(|line| line["fault"] == "request_timeout").count();
                (slow == SPOKEN * OF_EACH).then_some(())
            },
        )
        .await;
    }
    town.is_as_before().await;
}
