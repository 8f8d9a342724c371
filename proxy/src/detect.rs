//! First bytes of a connection -> its protocol. What was read is given back: nothing is consumed.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// A peer that has said nothing recognisable within this time is let go.
pub const DETECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Connection preface of HTTP/2 (RFC 9113, 3.4).
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// TLS record type `handshake` (RFC 8446, 5.1). No HTTP method begins with it.
const TLS_HANDSHAKE: u8 = 0x16;

/// What a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// A TLS ClientHello.
    Tls,
    /// HTTP/2 with prior knowledge.
    Http2,
    /// Anything else is handed to the HTTP/1 parser, whose errors are clear.
    Http1,
}

/// Decides by the first bytes; `None` = more are needed.
pub fn protocol(first: &[u8]) -> Option<Protocol> {
    let head = first.first()?;
    if *head == TLS_HANDSHAKE {
        return Some(Protocol::Tls);
    }
    let shared = first.len().min(HTTP2_PREFACE.len());
    if first[..shared] != HTTP2_PREFACE[..shared] {
        return Some(Protocol::Http1);
    }
    (shared == HTTP2_PREFACE.len()).then_some(Protocol::Http2)
}

/// Reads until the protocol is known. The stream that comes back begins with the first byte again.
pub async fn detect<S: AsyncRead + Unpin>(mut stream: S) -> io::Result<(Protocol, Rewound<S>)> {
    let mut first = BytesMut::with_capacity(512);
    let reading = async {
        loop {
            if stream.read_buf(&mut first).await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
            }
            if let Some(protocol) = protocol(&first) {
                return Ok(protocol);
            }
        }
    };
    let protocol =
        tokio::time::timeout(DETECT_TIMEOUT, reading).await.map_err(|_| io::ErrorKind::TimedOut)??;
    Ok((protocol, Rewound { first: first.freeze(), stream }))
}

/// A stream whose first bytes were looked at and are read again.
pub struct Rewound<S> {
    first: Bytes,
    stream: S,
}

impl<S: AsyncRead + Unpin> AsyncRead for Rewound<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.first.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let length = self.first.len().min(buf.remaining());
        buf.put_slice(&self.first[..length]);
        self.first.advance(length);
        if self.first.is_empty() {
            self.first = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Rewound<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests;
