//! HTTP/1 word by word: applications and callers that speak it so, so that nobody mends what the mesh has spoilt.

use std::{io, net};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use weft_runtime::Tasks;

use crate::patience::within;

/// What a caller says that wants to leave HTTP for a WebSocket.
pub const WEBSOCKET: &str = "GET /chat HTTP/1.1\r\nhost: chat\r\nconnection: keep-alive, Upgrade\r\nupgrade: websocket\r\n\
    sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// An application that treats each connection so. Dropped, it is gone, with its connections.
pub fn application<F>(listener: net::TcpListener, serve: impl Fn(TcpStream) -> F + Send + 'static) -> Tasks
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let listener = listener.set_nonblocking(true).and_then(|()| TcpListener::from_std(listener));
    let (listener, tasks) = (listener.expect("it listens"), Tasks::new());
    tasks.spawn("application", async move {
        let connections = Tasks::new();
        while let Ok((stream, _)) = listener.accept().await {
            let serving = serve(stream);
            // An error is seen by the caller, as no answer.
            connections.spawn("connection", async move { drop(serving.await) });
        }
    });
    tasks
}

/// Reads until `end` has come, and not a byte more.
pub async fn until_heard(stream: &mut TcpStream, end: &str) -> io::Result<String> {
    let mut heard = Vec::new();
    while !heard.ends_with(end.as_bytes()) {
        heard.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&heard).into_owned())
}

/// The head of a message.
pub async fn head(stream: &mut TcpStream) -> io::Result<String> {
    until_heard(stream, "\r\n\r\n").await
}

/// What is answered to `request`, to the end of the connection.
pub async fn answer(mut stream: TcpStream, request: &str) -> String {
    let asking = async {
        stream.write_all(request.as_bytes()).await?;
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).await?;
        io::Result::Ok(String::from_utf8_lossy(&heard).into_owned())
    };
    let heard = within(&format!("`{request}` is answered to the end"), asking).await;
    heard.unwrap_or_else(|error| panic!("{request}: {error}"))
}

/// What comes back of `said`, which is said to its end while that is heard.
pub async fn echo_of(stream: &mut TcpStream, said: &[u8]) -> io::Result<Vec<u8>> {
    let (mut read, mut write) = stream.split();
    let saying = async {
        write.write_all(said).await?;
        write.shutdown().await
    };
    let mut heard = Vec::new();
    let (read, wrote) = tokio::join!(read.read_to_end(&mut heard), saying);
    wrote?;
    read?;
    Ok(heard)
}

/// Says back what is heard, to its end.
pub async fn echo(mut stream: TcpStream) -> io::Result<()> {
    let (mut read, mut write) = stream.split();
    tokio::io::copy(&mut read, &mut write).await?;
    write.shutdown().await
}

/// An application that leaves HTTP where [`WEBSOCKET`] asks for it, says `first`, and from then on what it hears.
pub async fn websocket(mut stream: TcpStream, first: &'static str) -> io::Result<()> {
    let asked = head(&mut stream).await?.to_lowercase();
    let asks = ["\r\nupgrade: websocket\r\n", "\r\nconnection: upgrade\r\n"];
    // The pair of RFC 6455, 1.3.
    let is_key = asked.contains("\r\nsec-websocket-key: dghlihnhbxbszsbub25jzq==\r\n");
    if !is_key || !asks.iter().all(|field| asked.contains(field)) {
        return stream.write_all(b"HTTP/1.1 400 No\r\ncontent-length: 0\r\n\r\n").await;
    }
    let yes = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    stream.write_all([yes, first].concat().as_bytes()).await?;
    echo(stream).await
}

/// The talk of a caller that says [`WEBSOCKET`] and then `said`: what it hears once it has been let go.
pub async fn talk(stream: &mut TcpStream, said: &[u8]) -> io::Result<Vec<u8>> {
    stream.write_all(WEBSOCKET.as_bytes()).await?;
    let head = head(stream).await?;
    let said_yes = head.to_lowercase();
    assert!(said_yes.starts_with("http/1.1 101 "), "{head}");
    for field in ["connection: upgrade", "upgrade: websocket"] {
        assert!(said_yes.contains(field), "{field}: {head}");
    }
    assert!(head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
    echo_of(stream, said).await
}
