//! Bytes that are no requests, at every listener: an answer or an end, a flag that says why, and nothing else.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};
use weft_tests::{
    garbage::{client_hello, garbage},
    patience::{until, within},
};

use crate::Town;

/// Pieces of garbage for each listener.
const SEEDS: u64 = 300;
/// The end of a request after which there is no other.
const CLOSE: &[u8] = b"connection: close\r\n\r\n";
/// Connections at once.
const AT_ONCE: usize = 50;

/// Every listener of the sidecars.
fn doors(town: &Town) -> [SocketAddr; 5] {
    let mesh = &town.mesh;
    [
        mesh.entrance("strict"),
        mesh.inbound("strict-0"),
        mesh.inbound("open-0"),
        mesh.admin("web-proxy"),
        mesh.admin("strict-0-proxy"),
    ]
}

/// What a sidecar answers to `bytes`, until it ends the connection. Nothing comes behind them; who has asked for an answer
/// waits for it.
async fn answer(door: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(door).await.expect("somebody listens");
    // Whoever has heard enough ends the connection meanwhile.
    let _ = stream.write_all(bytes).await;
    if !bytes.ends_with(CLOSE) {
        let _ = stream.shutdown().await;
    }
    let mut heard = Vec::new();
    let _ = within("the sidecar ends the connection", stream.read_to_end(&mut heard)).await;
    heard
}

#[tokio::test]
async fn garbage_is_answered_or_ended_and_leaves_nothing_behind() {
    let town = Town::start().await;
    let hello = client_hello(&town.mesh.roots());
    for door in doors(&town) {
        let mut at_once = JoinSet::new();
        for seed in 0..SEEDS {
            if at_once.len() >= AT_ONCE {
                at_once.join_next().await.expect("there are some").expect("a caller does not panic");
            }
            let bytes = garbage(seed, &hello);
            at_once.spawn(async move {
                if seed % 4 == 0 {
                    // Gone before an answer, by a reset.
                    let mut stream = TcpStream::connect(door).await.expect("somebody listens");
                    let _ = stream.write_all(&bytes).await;
                    stream.set_zero_linger().expect("a socket takes it");
                } else {
                    answer(door, &bytes).await;
                }
            });
        }
        at_once.join_all().await;
    }
    town.is_as_before().await;
}

/// What is sent, what the answer begins with, and the flag in the access log.
type Row = (&'static str, Vec<u8>, &'static str, &'static str);

fn rows(hello: &[u8]) -> Vec<Row> {
    let mut spoilt = hello.to_vec();
    spoilt.truncate(hello.len() - 5);
    spoilt.extend(b"wrong");
    let http2 =
        |frame: &[u8]| [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".as_slice(), frame].concat();
    let get = |headers: &str| [b"GET / HTTP/1.1\r\n", headers.as_bytes(), CLOSE].concat();
    let to_strict: Vec<Row> = vec![
        ("strict", b"\xff\xfe no HTTP at all\r\n\r\n".to_vec(), "HTTP/1.1 400 ", "bad_request"),
        ("strict", b"GET / HTTP/1.1\r\nno colon\r\n\r\n".to_vec(), "HTTP/1.1 400 ", "bad_request"),
        ("strict", hello.to_vec(), "\x16\x03\x03", "tls_failed"),
        ("strict", hello[..100].to_vec(), "", "tls_failed"),
        ("strict", get("host: a\r\n"), "HTTP/1.1 403 ", "plaintext_refused"),
        // A frame of DATA on a stream that nobody has opened (RFC 9113, 5.1).
        ("strict", http2(b"\0\0\x01\0\0\0\0\0\x01x"), "", "bad_request"),
    ];
    let to_open: Vec<Row> = vec![
        ("open", b"\xff\xfe no HTTP at all\r\n\r\n".to_vec(), "HTTP/1.1 400 ", "bad_request"),
        ("open", get(""), "HTTP/1.1 400 ", "bad_request"),
        ("open", spoilt, "", "tls_failed"),
    ];
    let long = format!("GET / HTTP/1.1\r\nhost: a\r\nlong: {}\r\n\r\n", "x".repeat(100_000));
    let many = format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", "many: x\r\n".repeat(150));
    let outward: Vec<Row> = vec![
        ("web", b"\xff\xfe no HTTP at all\r\n\r\n".to_vec(), "HTTP/1.1 400 ", "bad_request"),
        ("web", b"GET / HTTP/9.9\r\nhost: a\r\n\r\n".to_vec(), "HTTP/1.1 ", "bad_request"),
        ("web", long.into_bytes(), "HTTP/1.1 431 ", "bad_request"),
        ("web", many.into_bytes(), "HTTP/1.1 431 ", "bad_request"),
        ("web", get("host: a\r\nhost: b\r\n"), "HTTP/1.1 400 ", "bad_request"),
        (
            "web",
            b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n".to_vec(),
            "HTTP/1.1 400 ",
            "bad_request",
        ),
        ("web", hello.to_vec(), "", "not_http"),
        ("web", http2(b"\0\0\x01\0\0\0\0\0\x01x"), "", "bad_request"),
    ];
    [to_strict, to_open, outward].concat()
}

#[tokio::test]
async fn what_cannot_be_understood_is_told_with_its_flag() {
    let town = Town::start().await;
    let mesh = &town.mesh;
    for (at, bytes, beginning, flag) in rows(&client_hello(&mesh.roots())) {
        let (door, process) = match at {
            "web" => (mesh.entrance("strict"), "web-proxy"),
            "strict" => (mesh.inbound("strict-0"), "strict-0-proxy"),
            _ => (mesh.inbound("open-0"), "open-0-proxy"),
        };
        let shown = format!("{at}: {}", bytes[..bytes.len().min(60)].escape_ascii());
        let told = |flag: &str| mesh.access_log(process).iter().filter(|line| line["fault"] == flag).count();
        let before = told(flag);
        let heard = answer(door, &bytes).await;
        assert!(heard.starts_with(beginning.as_bytes()), "{shown}: {}", heard.escape_ascii());
        until(&format!("`{shown}` is told as {flag}"), async || (told(flag) == before + 1).then_some(()))
            .await;
    }
    town.is_as_before().await;
}
