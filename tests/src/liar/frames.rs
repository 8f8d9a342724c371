//! Frames of HTTP/2 (RFC 9113, 4.1), written by hand so that they may be wrong.

use std::io;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// What a client says first.
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;
/// `:status: 200` in the static table of HPACK (RFC 7541, A).
const STATUS_200: u8 = 0x88;
/// A field that is not indexed and whose name is (RFC 7541, 6.2.2): `content-length`, which is number 28.
const CONTENT_LENGTH: [u8; 2] = [0x0f, 0x0d];

/// A frame.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Its type.
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// Its stream; absent: that of the request that it answers.
    pub stream: Option<u32>,
    /// What it holds.
    pub payload: Vec<u8>,
}

impl Frame {
    fn of(kind: u8, flags: u8, payload: impl Into<Vec<u8>>) -> Self {
        Self { kind, flags, stream: None, payload: payload.into() }
    }

    /// Without any settings.
    pub(super) fn settings() -> Self {
        Self { stream: Some(0), ..Self::of(SETTINGS, 0, []) }
    }

    /// Headers of a response with status 200 that promise a body of so many bytes.
    pub fn headers(content_length: &str) -> Self {
        let length = u8::try_from(content_length.len()).expect("lengths in tests are short");
        let mut payload = vec![STATUS_200];
        payload.extend(CONTENT_LENGTH);
        payload.push(length);
        payload.extend(content_length.as_bytes());
        Self::of(HEADERS, END_HEADERS, payload)
    }

    /// Headers of which nobody can make sense.
    pub fn bad_headers() -> Self {
        // An index beyond both tables (RFC 7541, 2.3.3).
        Self::of(HEADERS, END_HEADERS, [0xff, 0xff, 0x7f])
    }

    /// A part of a body.
    pub fn data(bytes: &[u8]) -> Self {
        Self::of(DATA, 0, bytes)
    }

    /// The same with nothing after it.
    #[must_use]
    pub fn last(mut self) -> Self {
        self.flags |= END_STREAM;
        self
    }

    /// The same on another stream.
    #[must_use]
    pub fn on(self, stream: u32) -> Self {
        Self { stream: Some(stream), ..self }
    }

    /// The end of the stream, by an error code (RFC 9113, 7).
    pub fn reset(code: u32) -> Self {
        Self::of(RST_STREAM, 0, code.to_be_bytes())
    }

    /// The end of the connection: nothing beyond the stream `last` has been looked at.
    pub fn go_away(last: u32, code: u32) -> Self {
        Self::of(GOAWAY, 0, [last.to_be_bytes(), code.to_be_bytes()].concat()).on(0)
    }

    /// A response with this body.
    pub(super) fn answer(body: &[u8]) -> Vec<Self> {
        vec![Self::headers(&body.len().to_string()), Self::data(body).last()]
    }

    /// As it is sent in answer to a request on `stream`.
    pub(super) fn encode(&self, stream: u32) -> Vec<u8> {
        let length = u32::try_from(self.payload.len()).expect("tests send short frames").to_be_bytes();
        let stream = self.stream.unwrap_or(stream).to_be_bytes();
        [&length[1..], &[self.kind, self.flags], &stream, &self.payload].concat()
    }
}

/// Waits for the next request and says on which stream it came. What asks for an answer meanwhile gets one. `None` = the
/// caller has gone.
pub(super) async fn request(stream: &mut TcpStream) -> io::Result<Option<u32>> {
    loop {
        let mut head = [0; 9];
        match stream.read_exact(&mut head).await {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error),
        }
        let [a, b, c, kind, flags, stream_id @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        stream.read_exact(&mut payload).await?;
        match kind {
            HEADERS => return Ok(Some(u32::from_be_bytes(stream_id))),
            SETTINGS if flags & ACK == 0 => {
                stream.write_all(&Frame::of(SETTINGS, ACK, []).on(0).encode(0)).await?;
            }
            PING if flags & ACK == 0 => {
                stream.write_all(&Frame::of(PING, ACK, payload).on(0).encode(0)).await?;
            }
            _ => {}
        }
    }
}
