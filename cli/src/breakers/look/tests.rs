use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::*;
use crate::breakers::breaker::{
    State,
    tests::{CALLER, OPEN},
};

#[test]
fn open_ones_are_first_then_it_goes_by_name() {
    let look = Look::of(&[("default/web", OPEN), ("default/caller", CALLER)]);
    let rows: Vec<_> = look
        .breakers
        .iter()
        .map(|one| (one.state, one.key.workload.as_str(), one.key.endpoint.as_str()))
        .collect();
    let expected = [
        (State::Open, "default/caller", "10.0.0.2:80"),
        (State::Open, "default/web", ""),
        (State::HalfOpen, "default/caller", "10.0.0.3:80"),
        (State::Closed, "default/caller", ""),
        (State::Closed, "default/caller", "10.0.0.1:80"),
    ];
    assert_eq!(rows, expected);
}

fn sidecar(workload: &str, admin: SocketAddr) -> Sidecar {
    Sidecar { workload: workload.to_owned(), admin }
}

/// Answers one request.
async fn answer(listener: TcpListener, status: &str, body: &str) {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut request = [0; 1024];
    assert!(stream.read(&mut request).await.unwrap() > 0);
    let length = body.len();
    let response =
        format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
    stream.write_all(response.as_bytes()).await.unwrap();
}

#[tokio::test]
async fn who_does_not_answer_hides_nobody() {
    let bind = async || TcpListener::bind("127.0.0.1:0").await.unwrap();
    let [fine, stranger, ill, absent] = [bind().await, bind().await, bind().await, bind().await];
    let sidecars = [
        sidecar("default/absent", absent.local_addr().unwrap()),
        sidecar("default/stranger", stranger.local_addr().unwrap()),
        sidecar("default/ill", ill.local_addr().unwrap()),
        sidecar("default/web", fine.local_addr().unwrap()),
    ];
    drop(absent);
    let (look, (), (), ()) = tokio::join!(
        Look::at(&sidecars),
        answer(stranger, "200 OK", "weft_xds_connected_proxies 1\n"),
        answer(ill, "503 Service Unavailable", OPEN),
        answer(fine, "200 OK", OPEN),
    );
    assert_eq!((look.asked, look.breakers.len()), (4, 1));
    let reasons: Vec<_> = look
        .unanswered
        .iter()
        .map(|missed| (missed.sidecar.workload.as_str(), missed.reason.to_string()))
        .collect();
    assert_eq!(reasons.len(), 3, "{reasons:?}");
    assert!(reasons[0].1.contains("cannot connect"), "{reasons:?}");
    assert!(reasons[1].1.contains("200") && reasons[1].1.contains("no sidecar"), "{reasons:?}");
    assert!(reasons[2].1.contains("503"), "{reasons:?}");
}

#[tokio::test(start_paused = true)]
async fn a_silent_sidecar_is_waited_for_two_seconds() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let started = tokio::time::Instant::now();
    let look = Look::at(&[sidecar("default/api", listener.local_addr().unwrap())]).await;
    assert_eq!(started.elapsed().as_secs(), 2);
    assert_eq!(look.unanswered[0].reason.to_string(), "no answer within 2 s");
}

#[tokio::test(start_paused = true)]
async fn all_are_asked_at_once() {
    let listeners = [(); 3].map(|()| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    let sidecars =
        listeners.each_ref().map(|listener| sidecar("default/api", listener.local_addr().unwrap()));
    let started = tokio::time::Instant::now();
    let look = Look::at(&sidecars).await;
    assert_eq!((look.unanswered.len(), started.elapsed().as_secs()), (3, 2));
}
