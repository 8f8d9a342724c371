use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, duplex},
    time::Instant,
};

use super::*;
use crate::{metrics::Registry, readiness::Readiness};

fn pages() -> Arc<Pages> {
    Arc::new(Pages { registry: Registry::new("test"), readiness: Readiness::new(), routes: Vec::new() })
}

#[tokio::test(start_paused = true)]
async fn a_client_that_sends_no_request_is_cut() {
    for begin in ["", "GET /live HTTP/1.1\r\nhost: te"] {
        let (mut client, server) = duplex(1024);
        client.write_all(begin.as_bytes()).await.unwrap();
        let start = Instant::now();
        serve(server, pages()).await;
        assert_eq!(start.elapsed(), HEAD_WAIT, "after {begin:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_cut() {
    let (mut client, server) = duplex(64);
    let start = Instant::now();
    let request = b"GET /metrics HTTP/1.1\r\nhost: test\r\n\r\n";
    let (written, ()) = tokio::join!(client.write_all(request), serve(server, pages()));
    written.unwrap();
    assert_eq!(start.elapsed(), CONNECTION_WAIT);
}

#[tokio::test(start_paused = true)]
async fn a_connection_carries_one_request() {
    let (mut client, server) = duplex(1024);
    let request = "GET /live HTTP/1.1\r\nhost: test\r\n\r\n";
    client.write_all(request.repeat(2).as_bytes()).await.unwrap();
    let start = Instant::now();
    serve(server, pages()).await;
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 1, "{answer}");
    assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
    assert_eq!(start.elapsed(), Duration::ZERO);
}
