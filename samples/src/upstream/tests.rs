use std::{convert::Infallible, future::ready};

use http::Response;
use http_body_util::Full;
use hyper::{server::conn::http1, service::service_fn};
use tokio::net::TcpListener;

use super::*;

#[test]
fn an_address_is_a_bare_http_url() {
    for right in ["http://feelgood-api", "http://127.0.0.1:8888", "http://127.0.0.1:8888/", "http://[::1]:80"]
    {
        assert!(right.parse::<Upstream>().is_ok(), "{right}");
    }
    for wrong in ["feelgood-api", "127.0.0.1:80", "https://api", "http://api/path", "http://a@api", ""] {
        assert!(wrong.parse::<Upstream>().is_err(), "{wrong}");
    }
}

/// Answers whatever comes on one connection, for as long as this future lives.
async fn serve_one_connection(listener: &TcpListener) {
    let (stream, _) = listener.accept().await.unwrap();
    let service = service_fn(|_| ready(Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("ok")))));
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

#[tokio::test]
async fn a_connection_is_used_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream: Upstream = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    // Only one connection is ever accepted, so a second one would wait for ever.
    tokio::select! {
        () = serve_one_connection(&listener) => panic!("closed too early"),
        () = async {
            for _ in 0..3 {
                assert_eq!(upstream.get("/").await.unwrap().0, StatusCode::OK);
            }
        } => {}
    }
}

#[tokio::test]
async fn a_kept_connection_that_the_server_closed_costs_no_request() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream: Upstream = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    for _ in 0..2 {
        tokio::select! {
            () = serve_one_connection(&listener) => panic!("closed too early"),
            answer = upstream.get("/") => assert_eq!(answer.unwrap().0, StatusCode::OK),
        }
        // The server's half is dropped here, and with it the connection that lies idle in the client.
    }
}
