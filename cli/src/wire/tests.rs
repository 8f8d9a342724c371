use std::future::pending;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::*;

/// Answers each request on one connection with the next of `answers`, then closes it.
async fn server(listener: &TcpListener, answers: &[&str]) {
    let (mut stream, _) = listener.accept().await.unwrap();
    for answer in answers {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(stream.read_u8().await.unwrap());
        }
        stream.write_all(answer.as_bytes()).await.unwrap();
    }
}

const FINE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfine";
const FAILED: &str = "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n";
const LAST: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nbye";

#[tokio::test]
async fn a_wire_carries_one_exchange_after_the_other_until_it_closes() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::join!(server(&listener, &[FINE, FAILED, LAST]), async {
        let mut wire = Wire::connect(address).await.unwrap();
        let mut get = async || wire.exchange(Method::GET, "/").await;
        assert_eq!(get().await.unwrap(), (StatusCode::OK, Bytes::from("fine")));
        assert_eq!(get().await.unwrap().0, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(get().await.unwrap().1, "bye");
        assert!(get().await.is_err());
        assert!(!wire.is_open());
    });
}

#[tokio::test]
async fn nobody_there_is_a_failure_to_connect() {
    // Bound and dropped: nothing listens on this port.
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    assert!(matches!(get(address, "/ready").await, Err(Failure::Connect(_))));
}

#[tokio::test(start_paused = true)]
async fn a_process_that_does_not_answer_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let silent = async {
        let _held = listener.accept().await.unwrap();
        pending::<()>().await;
    };
    tokio::select! {
        () = silent => unreachable!("it never ends"),
        answer = get(address, "/ready") => assert!(matches!(answer, Err(Failure::Slow))),
    }
}
