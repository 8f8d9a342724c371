//! Requests that leave HTTP, as WebSockets do: through both sidecars, and only when the application has said yes.

use std::net::{SocketAddr, TcpListener};

use http::{Method, StatusCode};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use weft_api::names;
use weft_runtime::Tasks;
use weft_tests::{
    client::{Connection, Version, request},
    liar::{Liar, Lie, TRUTH},
    mesh::Mesh,
    patience::within,
    plan::{Plan, Service},
    words::{WEBSOCKET, application, head, talk, websocket},
};

use crate::WEFT;

/// An application that takes WebSockets.
fn chat() -> (SocketAddr, Tasks) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let address = listener.local_addr().expect("it is bound");
    (address, application(listener, |stream| websocket(stream, "first")))
}

async fn mesh_of(app: SocketAddr) -> Mesh {
    Mesh::start(WEFT, &Plan::of(vec![Service::meshed("chat", &[app])])).await
}

#[tokio::test]
async fn a_websocket_goes_through_both_sidecars() {
    let (app, _tasks) = chat();
    let mesh = mesh_of(app).await;
    let said: Vec<u8> = (0..500_000_u32).map(|n| (n % 251) as u8).collect();
    let talking = async {
        let mut stream = TcpStream::connect(mesh.entrance("chat")).await?;
        talk(&mut stream, &said).await
    };
    let heard = within("the talk ends", talking).await.expect("nothing breaks off");
    assert!(heard == [b"first".as_slice(), &said].concat(), "{} bytes came back", heard.len());
    let metrics = mesh.metrics("web-proxy").await;
    let labels = [("direction", "outbound"), ("destination", "default/chat:80"), ("way", "forth")];
    assert_eq!(metrics.count("weft_tcp_bytes_total", &labels), 500_000);
}

#[tokio::test]
async fn who_is_not_let_go_stays_with_http() {
    // It answers everything by 200.
    let app = Liar::start(Version::Http1).await;
    let mesh = mesh_of(app.address()).await;
    let talk = async {
        let mut stream = TcpStream::connect(mesh.entrance("chat")).await?;
        for _ in 0..2 {
            // The second request on the same connection is one like the first.
            stream.write_all(WEBSOCKET.as_bytes()).await?;
            let head = head(&mut stream).await?;
            assert!(head.starts_with("HTTP/1.1 200 ") && !head.contains("upgrade"), "{head}");
            stream.read_exact(&mut [0; TRUTH.len()]).await?;
        }
        std::io::Result::Ok(())
    };
    within("both are answered", talk).await.expect("nothing breaks off");
}

#[tokio::test]
async fn an_application_that_leaves_http_unasked_is_cut_off() {
    let unasked = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let app = Liar::start(Version::Http1).await;
    app.next(Lie::bytes(unasked));
    let mesh = mesh_of(app.address()).await;
    let mut connection =
        Connection::open(mesh.entrance("chat"), Version::Http1).await.expect("the sidecar listens");
    let answer = within("an answer", connection.send(request(Method::GET, "/"))).await.expect("there is one");
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    assert_eq!(answer.header(names::HEADER_FAULT), "upstream_reset");
}
