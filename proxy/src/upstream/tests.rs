use std::{rc::Rc, time::Duration};

use bytes::Bytes;
use http::Request;
use http_body_util::BodyExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::LocalSet,
};
use weft_runtime::Tasks;

use super::*;
use crate::{breaker, http::replay::RequestBody};

struct Rig {
    tasks: Tasks,
    pools: Rc<Pools>,
    limits: breaker::Limits,
    listener: TcpListener,
    peer: Arc<Peer>,
}

/// A pool, and a peer whose every byte the test writes itself.
async fn rig(connections: u32) -> Rig {
    let tasks = Tasks::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peer = Arc::new(Peer::new(listener.local_addr().unwrap(), Version::Http1, None));
    let policy = weft_api::circuit_breaker::Limits { max_connections: connections, ..Default::default() };
    Rig { pools: Pools::new(&tasks), tasks, limits: breaker::Limits::new(&policy), listener, peer }
}

fn request() -> Request<RequestBody> {
    Request::get("/").header("host", "a").body(RequestBody::Empty).unwrap()
}

/// Reads one request without a body.
async fn read_head(stream: &mut TcpStream) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).await.unwrap();
        head.push(byte[0]);
    }
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

async fn local(test: impl Future<Output = ()>) {
    LocalSet::new().run_until(test).await;
}

impl Rig {
    async fn send(&self) -> Result<Lease, SendError> {
        let (response, lease) = self.pools.send(&self.peer, request(), &self.limits).await?;
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), Bytes::from_static(b"ok"));
        Ok(lease)
    }
}

#[tokio::test]
async fn a_connection_whose_response_ended_serves_the_next_request() {
    local(async {
        let rig = rig(10).await;
        let server = async {
            let (mut stream, _) = rig.listener.accept().await.unwrap();
            for _ in 0..3 {
                read_head(&mut stream).await;
                stream.write_all(OK).await.unwrap();
            }
            stream
        };
        let client = async {
            for _ in 0..3 {
                rig.send().await.unwrap().finish();
                // The connection's task sees the end of the response.
                while !rig.pools.has_idle() {
                    tokio::task::yield_now().await;
                }
            }
        };
        let (_stream, ()) = tokio::join!(server, client);
        assert_eq!(rig.limits.connections.in_flight(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_kept_connection_that_the_server_closed_costs_nobody_a_request() {
    local(async {
        let rig = rig(10).await;
        let server = async {
            for _ in 0..2 {
                let (mut stream, _) = rig.listener.accept().await.unwrap();
                read_head(&mut stream).await;
                stream.write_all(OK).await.unwrap();
                // Closed while idle: the keep-alive of the server was shorter than ours.
            }
        };
        let client = async {
            rig.send().await.unwrap().finish();
            rig.send().await.unwrap().finish();
        };
        tokio::join!(server, client);
    })
    .await;
}

#[tokio::test]
async fn a_response_that_was_not_read_to_its_end_takes_its_connection_along() {
    local(async {
        let rig = rig(10).await;
        let server = async {
            let (mut stream, _) = rig.listener.accept().await.unwrap();
            read_head(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n").await.unwrap();
            // Until the client hangs up.
            assert_eq!(stream.read(&mut [0]).await.unwrap_or(0), 0);
        };
        let client = async {
            let (response, lease) = rig.pools.send(&rig.peer, request(), &rig.limits).await.unwrap();
            drop((response, lease));
        };
        tokio::join!(server, client);
    })
    .await;
}

#[tokio::test]
async fn connections_keep_to_their_limit() {
    local(async {
        let rig = rig(1).await;
        let server = async {
            let (mut stream, _) = rig.listener.accept().await.unwrap();
            read_head(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n").await.unwrap();
            stream
        };
        let client = async {
            let held = rig.pools.send(&rig.peer, request(), &rig.limits).await.unwrap();
            let second = rig.pools.send(&rig.peer, request(), &rig.limits).await;
            assert!(matches!(second, Err(SendError::Overflow)));
            held
        };
        let (_stream, _held) = tokio::join!(server, client);
    })
    .await;
}

#[tokio::test]
async fn failures_are_told_apart() {
    local(async {
        let rig = rig(10).await;
        let server = async {
            let (mut stream, _) = rig.listener.accept().await.unwrap();
            read_head(&mut stream).await;
        };
        let (sent, ()) = tokio::join!(rig.send(), server);
        assert!(matches!(sent, Err(SendError::Reset(_))), "{:?}", sent.err());

        let address = rig.listener.local_addr().unwrap();
        drop(rig.listener);
        let peer = Arc::new(Peer::new(address, Version::Http1, None));
        let refused = rig.pools.send(&peer, request(), &rig.limits).await;
        assert!(matches!(refused, Err(SendError::Connect(ConnectError::Tcp(_)))));
        assert_eq!(rig.limits.pending.in_flight(), 0);
    })
    .await;
}

#[tokio::test]
async fn requests_that_wait_for_one_http2_connection_share_its_failure() {
    local(async {
        let rig = rig(10).await;
        let address = rig.listener.local_addr().unwrap();
        drop(rig.listener);
        let peer = Arc::new(Peer::new(address, Version::Http2, None));
        let sends = (0..5).map(|_| rig.pools.send(&peer, request(), &rig.limits));
        for sent in futures_util::future::join_all(sends).await {
            assert!(matches!(sent, Err(SendError::Connect(_))));
        }
        tokio::time::timeout(Duration::from_secs(5), async {
            while rig.limits.connections.in_flight() > 0 {
                tokio::task::yield_now().await;
            }
        })
        .await
        .expect("the permit of the failed connection is given back");
    })
    .await;
}

/// Two workers know a peer; one of them finds out whether it is back.
async fn assert_connected_anew(version: Version, serve: impl AsyncFn(TcpStream)) {
    local(async {
        let Rig { tasks, pools, limits, listener, .. } = rig(10).await;
        let peer = Arc::new(Peer::new(listener.local_addr().unwrap(), version, None));
        let other = Pools::new(&tasks);
        let connections = std::cell::Cell::new(0);
        let server = async {
            let mut served = futures_util::stream::FuturesUnordered::new();
            loop {
                tokio::select! {
                    accepted = listener.accept() => {
                        connections.set(connections.get() + 1);
                        served.push(serve(accepted.unwrap().0));
                    }
                    Some(()) = futures_util::StreamExt::next(&mut served) => {}
                }
            }
        };
        let send = async || {
            let (response, lease) = other.send(&peer, request(), &limits).await.unwrap();
            response.into_body().collect().await.unwrap();
            lease.finish();
            while version == Version::Http1 && !other.has_idle() {
                tokio::task::yield_now().await;
            }
            connections.get()
        };
        let client = async {
            assert_eq!(send().await, 1);
            assert_eq!(send().await, 1, "a connection is kept");
            pools.connect(&peer, &limits).await.unwrap();
            assert_eq!(send().await, 3, "the one from before may be to somebody who is silent");
            assert_eq!(send().await, 3);
        };
        tokio::select! {
            _ = server => unreachable!("it serves for ever"),
            () = client => {}
        }
    })
    .await;
}

#[tokio::test]
async fn what_stood_before_a_connection_in_the_background_serves_nobody_on_any_worker() {
    let answer = |_| async { Ok::<_, std::convert::Infallible>(http::Response::new(String::from("ok"))) };
    assert_connected_anew(Version::Http1, async |stream| {
        let io = hyper_util::rt::TokioIo::new(stream);
        let _ = hyper::server::conn::http1::Builder::new()
            .serve_connection(io, hyper::service::service_fn(answer))
            .await;
    })
    .await;
    assert_connected_anew(Version::Http2, async |stream| {
        let io = hyper_util::rt::TokioIo::new(stream);
        let _ = hyper::server::conn::http2::Builder::new(crate::http::serve::LocalExecutor)
            .serve_connection(io, hyper::service::service_fn(answer))
            .await;
    })
    .await;
}
