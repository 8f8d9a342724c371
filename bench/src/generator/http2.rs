//! Requests of HTTP/2 (RFC 9113), several at a time on each connection. Only as much of the protocol as they need, so that
//! the generator takes little beside what it measures: no header is looked at but the status.

use std::{io::Write, mem, net::TcpStream, time::Instant};

use super::Error;
use crate::backend::{BODY_BYTES, read};

/// What a client begins with (3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Length, type, flags and stream of a frame (4.1).
const FRAME_HEAD_BYTES: usize = 9;
/// Longest payload that a server may send unless it is told otherwise (4.2).
const PAYLOAD_BYTES_MAX: usize = 16 * 1024;
/// Makes the window of a connection as large as it can be (6.9.1), from the size that it begins with. No run takes so
/// much, so it never has to be widened again; that of a stream holds a whole answer.
const WINDOW_INCREMENT: u32 = i32::MAX as u32 - 65_535;

// Types of frames, and flags (6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const ACK: u8 = 0x1;
const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
/// Padding or a priority before the content, which servers have no reason to send.
const OFFSET: u8 = 0x8 | 0x20;

/// `:method: GET`, `:scheme: http` and `:path: /` in the table that everybody has (RFC 7541, appendix A), and its name
/// `:authority` with a value that is not to be kept.
const GET_HEADERS: [u8; 4] = [0x82, 0x86, 0x84, 0x01];
/// `:status: 200` in the same table. It comes first.
const STATUS_200: u8 = 0x88;

/// The headers of a request for `/`. A host has less than 127 bytes.
pub fn request(host: &str) -> Vec<u8> {
    [GET_HEADERS.as_slice(), &[host.len() as u8], host.as_bytes()].concat()
}

pub struct Connection {
    stream: TcpStream,
    next_stream: u32,
    /// Those under way: no more than there are streams at once.
    requests: Vec<Request>,
    /// What has come of a frame that is not whole yet.
    received: Vec<u8>,
    /// What is to be sent.
    outgoing: Vec<u8>,
}

struct Request {
    stream: u32,
    due: Instant,
    /// Bytes of the answer's body so far, once its head has come.
    body_bytes: Option<usize>,
}

impl Connection {
    pub fn new(stream: TcpStream) -> Self {
        let mut outgoing = PREFACE.to_vec();
        push(&mut outgoing, SETTINGS, 0, 0, &[]);
        push(&mut outgoing, WINDOW_UPDATE, 0, 0, &WINDOW_INCREMENT.to_be_bytes());
        Self { stream, next_stream: 1, requests: Vec::new(), received: Vec::new(), outgoing }
    }

    /// Makes a request, which goes out with the next [`Self::flush`].
    pub fn send(&mut self, request: &[u8], due: Instant) {
        let stream = self.next_stream;
        push(&mut self.outgoing, HEADERS, END_HEADERS | END_STREAM, stream, request);
        self.requests.push(Request { stream, due, body_bytes: None });
        self.next_stream += 2;
    }

    /// Sends at once what there is to send.
    pub fn flush(&mut self) -> Result<(), Error> {
        if !self.outgoing.is_empty() {
            // A few requests that wait for answers are less than the socket has room for.
            self.stream.write_all(&self.outgoing)?;
            self.outgoing.clear();
        }
        Ok(())
    }

    /// Takes what has come, and tells for each answer that is whole now when its request was due.
    pub fn receive(&mut self, answered: &mut impl FnMut(Instant)) -> Result<(), Error> {
        let mut bytes = [0; PAYLOAD_BYTES_MAX];
        let length = read(&mut self.stream, &mut bytes).ok_or(Error::Closed)?;
        self.received.extend_from_slice(&bytes[..length]);
        let received = mem::take(&mut self.received);
        let mut rest = received.as_slice();
        while let Some(frame) = Frame::first_of(rest) {
            rest = &rest[FRAME_HEAD_BYTES + frame.payload.len()..];
            self.take(&frame, answered)?;
        }
        if rest.len() > FRAME_HEAD_BYTES + PAYLOAD_BYTES_MAX {
            return Err(Error::Answer("a frame of more than 16 KiB".to_owned()));
        }
        self.received = rest.to_vec();
        Ok(())
    }

    fn take(&mut self, frame: &Frame<'_>, answered: &mut impl FnMut(Instant)) -> Result<(), Error> {
        match frame.kind {
            SETTINGS | PING if frame.flags & ACK == 0 => {
                // A PING is answered with what it holds, SETTINGS with nothing.
                let payload = if frame.kind == PING { frame.payload } else { &[] };
                push(&mut self.outgoing, frame.kind, ACK, 0, payload);
            }
            GOAWAY => return Err(Error::Closed),
            DATA | HEADERS | RST_STREAM => {
                if let Some(due) = self.answer(frame).map_err(|Unexpected| frame.unexpected())? {
                    answered(due);
                }
            }
            // Windows for what is never sent, headers after the status, and what extensions have.
            _ => {}
        }
        Ok(())
    }

    /// Once the answer is whole: when its request was due.
    fn answer(&mut self, frame: &Frame<'_>) -> Result<Option<Instant>, Unexpected> {
        let index = self.requests.iter().position(|request| request.stream == frame.stream);
        let index = index.filter(|_| frame.flags & OFFSET == 0).ok_or(Unexpected)?;
        let request = &mut self.requests[index];
        let body_bytes = match (frame.kind, request.body_bytes) {
            (HEADERS, None) if frame.payload.first() == Some(&STATUS_200) => 0,
            (DATA, Some(bytes)) => bytes + frame.payload.len(),
            _ => return Err(Unexpected),
        };
        request.body_bytes = Some(body_bytes);
        if frame.flags & END_STREAM == 0 {
            return Ok(None);
        }
        if body_bytes == BODY_BYTES {
            Ok(Some(self.requests.swap_remove(index).due))
        } else {
            Err(Unexpected)
        }
    }
}

struct Unexpected;

struct Frame<'a> {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The one that `bytes` begin with, if all of it is there.
    fn first_of(bytes: &'a [u8]) -> Option<Self> {
        let (head, rest) = bytes.split_first_chunk::<FRAME_HEAD_BYTES>()?;
        let [a, b, c, kind, flags, stream @ ..] = *head;
        let payload = rest.get(..u32::from_be_bytes([0, a, b, c]) as usize)?;
        Some(Self { kind, flags, stream: u32::from_be_bytes(stream), payload })
    }

    fn unexpected(&self) -> Error {
        let Self { kind, flags, stream, payload } = self;
        let text: String = String::from_utf8_lossy(payload).chars().take(300).collect();
        Error::Answer(format!("a frame of type {kind} with flags {flags:#x} on stream {stream}: {text:?}"))
    }
}

fn push(bytes: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    bytes.extend_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
    bytes.extend_from_slice(&[kind, flags]);
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
}
