//! Requests that leave HTTP, as WebSockets do: through both sidecars, and only when the application has said yes.

use std::net::SocketAddr;

use http::{Method, StatusCode};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use weft_api::names;
use weft_runtime::Tasks;
use weft_tests::{
    client::{Connection, Version, request},
    mesh::Mesh,
    patience::within,
    plan::{Plan, Service},
};

use crate::WEFT;

const HANDSHAKE: &[u8] = b"GET /chat HTTP/1.1\r\nhost: chat\r\nconnection: keep-alive, Upgrade\r\n\
    upgrade: websocket\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// An application that says `answer` to each request, and from then on says back what it hears.
async fn application(answer: &'static str) -> (SocketAddr, Tasks) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a free port");
    let (address, tasks) = (listener.local_addr().expect("it is bound"), Tasks::new());
    let own = tasks.clone();
    tasks.spawn("application", async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            own.spawn("connection", async move {
                let head = head(&mut stream).await;
                let asks = head.contains("\r\nupgrade: websocket\r\n") && head.contains("sec-websocket-key");
                // What was not asked for is seen by the test as another answer.
                let answer =
                    if asks || !answer.contains("Accept") { answer } else { "HTTP/1.1 400 No\r\n\r\n" };
                let _ = stream.write_all(answer.as_bytes()).await;
                let (mut read, mut write) = stream.split();
                let _ = tokio::io::copy(&mut read, &mut write).await;
            });
        }
    });
    (address, tasks)
}

/// The head of a message, in lower case, and not a byte more.
async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8_lossy(&head).to_lowercase()
}

async fn mesh_of(app: SocketAddr) -> Mesh {
    Mesh::start(WEFT, &Plan::of(vec![Service::meshed("chat", &[app])])).await
}

#[tokio::test]
async fn a_websocket_goes_through_both_sidecars() {
    let yes = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nfirst";
    let (app, _tasks) = application(yes).await;
    let mesh = mesh_of(app).await;
    let talk = async {
        let mut stream = TcpStream::connect(mesh.entrance("chat")).await?;
        stream.write_all(HANDSHAKE).await?;
        let head = head(&mut stream).await;
        assert!(head.starts_with("http/1.1 101 "), "{head}");
        for field in ["connection: upgrade", "upgrade: websocket", "sec-websocket-accept: s3p"] {
            assert!(head.contains(field), "{field}: {head}");
        }
        let said: Vec<u8> = (0..500_000_u32).map(|n| (n % 251) as u8).collect();
        let (mut read, mut write) = stream.split();
        let saying = async {
            write.write_all(&said).await?;
            write.shutdown().await
        };
        let mut heard = Vec::new();
        let (read, wrote) = tokio::join!(read.read_to_end(&mut heard), saying);
        wrote?;
        read?;
        assert!(heard == [b"first".as_slice(), &said].concat(), "{} bytes came back", heard.len());
        std::io::Result::Ok(())
    };
    within("the talk ends", talk).await.expect("nothing breaks off");
    let metrics = mesh.metrics("web-proxy").await;
    let labels = [("direction", "outbound"), ("destination", "default/chat:80"), ("way", "forth")];
    assert_eq!(metrics.count("weft_tcp_bytes_total", &labels), 500_000);
}

#[tokio::test]
async fn who_is_not_let_go_stays_with_http() {
    let (app, _tasks) = application("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nno").await;
    let mesh = mesh_of(app).await;
    let talk = async {
        let mut stream = TcpStream::connect(mesh.entrance("chat")).await?;
        for _ in 0..2 {
            // The second request on the same connection is one like the first.
            stream.write_all(HANDSHAKE).await?;
            let head = head(&mut stream).await;
            assert!(head.starts_with("http/1.1 200 ") && !head.contains("upgrade"), "{head}");
            stream.read_exact(&mut [0; 2]).await?;
        }
        std::io::Result::Ok(())
    };
    within("both are answered", talk).await.expect("nothing breaks off");
}

#[tokio::test]
async fn an_application_that_leaves_http_unasked_is_cut_off() {
    let unasked = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let (app, _tasks) = application(unasked).await;
    let mesh = mesh_of(app).await;
    let mut connection =
        Connection::open(mesh.entrance("chat"), Version::Http1).await.expect("the sidecar listens");
    let answer = within("an answer", connection.send(request(Method::GET, "/"))).await.expect("there is one");
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    assert_eq!(answer.header(names::HEADER_FAULT), "upstream_reset");
}
