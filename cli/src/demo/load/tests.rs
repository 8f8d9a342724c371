use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use super::*;

/// What the server answers in turn, whichever connection the request came on.
const ANSWERS: [(&str, &str); 3] = [("200 OK", "fine"), ("500 No", "sorry"), ("200 OK", "<h1>CANNED</h1>")];

async fn page(listener: TcpListener) {
    let turn = Arc::new(AtomicUsize::new(0));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                connections.spawn(answer(accepted.unwrap().0, Arc::clone(&turn)));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn answer(mut stream: TcpStream, turn: Arc<AtomicUsize>) {
    loop {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let Ok(byte) = stream.read_u8().await else { return };
            request.push(byte);
        }
        let (status, body) = ANSWERS[turn.fetch_add(1, Relaxed) % ANSWERS.len()];
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        stream.write_all(answer.as_bytes()).await.unwrap();
    }
}

#[tokio::test]
async fn every_request_is_counted_once_by_what_came_of_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let load = Load::start(listener.local_addr().unwrap(), 500, "CANNED").unwrap();
    let plays = async {
        let first = load.play(30).await.unwrap();
        (first, load.play(3).await.unwrap())
    };
    let (first, second) = tokio::select! {
        () = page(listener) => unreachable!("it never ends"),
        tallies = plays => tallies,
    };
    assert_eq!((first.sent, first.ended, first.latency.count()), (30, 30, 30));
    assert_eq!((second.sent, second.ended), (3, 3));
    let all = load.tally();
    assert_eq!((all.sent, all.ended), (33, 33));
    assert_eq!((all.failed, all.canned), (11, 11));
}

#[tokio::test]
async fn a_page_that_cannot_be_reached_is_a_failure() {
    let nowhere = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let load = Load::start(nowhere, 1000, "CANNED").unwrap();
    let tally = load.play(5).await.unwrap();
    assert_eq!((tally.ended, tally.failed), (5, 5));
}

#[tokio::test]
async fn a_server_that_stalls_does_not_slow_the_others_down() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let load = Load::start(listener.local_addr().unwrap(), 200, "CANNED").unwrap();
    let stalls = async {
        // Twenty connections are accepted, and none is answered, before the first answer: closed loop users would wait.
        let mut held = Vec::new();
        while held.len() < 20 {
            held.push(listener.accept().await.unwrap().0);
        }
        let mut answers = JoinSet::new();
        for stream in held {
            answers.spawn(answer(stream, Arc::new(AtomicUsize::new(0))));
        }
        answers.join_all().await;
    };
    let (tally, ()) = tokio::join!(
        async {
            let tally = load.play(20).await.unwrap();
            drop(load);
            tally
        },
        stalls
    );
    assert_eq!((tally.ended, tally.failed), (20, 0), "each connection's first answer is a good one");
    // The first one was due 19 intervals of 5 ms before the last one was, and waited for it.
    let slowest = tally.latency.quantile(1.0).unwrap();
    assert!(slowest >= Duration::from_millis(90), "{slowest:?}");
}

#[test]
fn what_a_user_sees_decides() {
    let mut tally = Tally::default();
    let answer = |status, body: &'static str| Ok((status, Bytes::from(body)));
    for answer in [
        answer(StatusCode::OK, "fine"),
        answer(StatusCode::OK, "CANNED"),
        answer(StatusCode::NOT_FOUND, ""),
        answer(StatusCode::SERVICE_UNAVAILABLE, "CANNED"),
        Err(Failure::Slow),
    ] {
        tally.count(Duration::ZERO, answer.as_ref(), "CANNED");
    }
    assert_eq!((tally.ended, tally.failed, tally.canned), (5, 2, 1));
}
