//! First bytes of a connection -> its protocol. What was read is given back: nothing is consumed.

// What a ClientHello tells.
mod hello;
// Whether that is a request of HTTP/1.
mod request;

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Buf, Bytes, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf},
    time::timeout,
};

pub use hello::Hello;

/// A peer that has said nothing recognisable within this time is let go, or what it says is taken as opaque bytes.
pub const DETECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Connection preface of HTTP/2 (RFC 9113, 3.4).
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// TLS record type `handshake` (RFC 8446, 5.1). No HTTP method begins with it.
const TLS_HANDSHAKE: u8 = 0x16;
/// Bytes that are looked at; what is undecided then is opaque. The longest TLS record fits (RFC 8446, 5.1).
const FIRST_MAX: usize = 5 + 16 * 1024;

/// What a connection can be at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// TLS or HTTP. Anything else is handed to the HTTP/1 parser, whose errors are clear.
    Http,
    /// TLS, HTTP, or opaque bytes.
    Any,
    /// TLS, or bytes that nobody looks at.
    Opaque,
}

/// What a connection speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// TLS, and what its ClientHello says; nothing where HTTP is expected.
    Tls(Hello),
    /// HTTP/2 with prior knowledge.
    Http2,
    /// HTTP/1.0 or 1.1.
    Http1,
    /// Something else.
    Opaque,
    /// Nothing: the peer has ended before its first byte.
    Silence,
}

/// Decides by the first bytes; `None` = more are needed.
pub fn protocol(first: &[u8], expected: Expected) -> Option<Protocol> {
    let head = first.first()?;
    if *head == TLS_HANDSHAKE {
        return match expected {
            Expected::Http => Some(Protocol::Tls(Hello::default())),
            // Nothing else of the mesh begins so: what is no TLS after all goes the way of the application's own.
            Expected::Any | Expected::Opaque => hello::read(first).map(Protocol::Tls),
        };
    }
    if expected == Expected::Opaque {
        return Some(Protocol::Opaque);
    }
    let shared = first.len().min(HTTP2_PREFACE.len());
    if first[..shared] == HTTP2_PREFACE[..shared] {
        return (shared == HTTP2_PREFACE.len()).then_some(Protocol::Http2);
    }
    match expected {
        Expected::Http => Some(Protocol::Http1),
        _ => request::is_http1(first).map(|is| if is { Protocol::Http1 } else { Protocol::Opaque }),
    }
}

/// Reads until the protocol is known. The stream that comes back begins with the first byte again. Where opaque bytes are
/// taken, a peer that says too little within `patience` is opaque: it may wait for the server to speak first.
pub async fn detect<S: AsyncRead + Unpin>(
    mut stream: S,
    expected: Expected,
    patience: Duration,
) -> io::Result<(Protocol, Rewound<S>)> {
    let mut first = BytesMut::with_capacity(512);
    let reading = async {
        loop {
            if stream.read_buf(&mut first).await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
            }
            if let Some(protocol) = protocol(&first, expected) {
                return Ok(protocol);
            }
            if first.len() >= FIRST_MAX {
                return Ok(Protocol::Opaque);
            }
        }
    };
    let detected = timeout(patience, reading).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    let protocol = detected.or_else(|error| match (error.kind(), expected) {
        (_, Expected::Http) => Err(error),
        (io::ErrorKind::UnexpectedEof, _) if first.is_empty() => Ok(Protocol::Silence),
        (io::ErrorKind::TimedOut | io::ErrorKind::UnexpectedEof, _) => Ok(Protocol::Opaque),
        _ => Err(error),
    })?;
    Ok((protocol, Rewound { first: first.freeze(), stream }))
}

/// A stream whose first bytes were looked at and are read again.
pub struct Rewound<S> {
    first: Bytes,
    stream: S,
}

impl<S> Rewound<S> {
    /// A stream that nobody looked at.
    pub fn untouched(stream: S) -> Self {
        Self { first: Bytes::new(), stream }
    }

    /// The stream itself.
    pub fn get_ref(&self) -> &S {
        &self.stream
    }
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
