//! Requests of HTTP/1.1, one at a time on each connection.

use std::{io::Write, net::TcpStream, time::Instant};

use super::Error;
use crate::backend::{head_end, read};

/// The most that an answer may have, head and body.
const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// One request for `/`.
pub fn request(host: &str) -> Vec<u8> {
    format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n").into_bytes()
}

pub struct Connection {
    stream: TcpStream,
    /// When the request that is under way was due.
    due: Option<Instant>,
    /// What has come of its answer.
    answer: Vec<u8>,
}

impl Connection {
    pub fn new(stream: TcpStream) -> Self {
        Self { stream, due: None, answer: Vec::new() }
    }

    pub fn send(&mut self, request: &[u8], due: Instant) -> Result<(), Error> {
        self.due = Some(due);
        // Nothing else is on its way there, so the socket has room.
        Ok(self.stream.write_all(request)?)
    }

    /// Takes what has come. Once the answer is whole: when its request was due.
    pub fn receive(&mut self) -> Result<Option<Instant>, Error> {
        let mut bytes = [0; 8192];
        let length = read(&mut self.stream, &mut bytes).ok_or(Error::Closed)?;
        self.answer.extend_from_slice(&bytes[..length]);
        let told = || Error::Answer(String::from_utf8_lossy(&self.answer).chars().take(300).collect());
        let Some(whole) = answer_length(&self.answer).map_err(|Unexpected| told())? else {
            return if self.answer.len() < ANSWER_BYTES_MAX { Ok(None) } else { Err(told()) };
        };
        if self.answer.len() < whole {
            return Ok(None);
        }
        let due = self.due.take().filter(|_| self.answer.len() == whole).ok_or_else(told)?;
        self.answer.clear();
        Ok(Some(due))
    }
}

pub(super) struct Unexpected;

/// Length of an answer with head and body, once its head is there.
pub(super) fn answer_length(bytes: &[u8]) -> Result<Option<usize>, Unexpected> {
    let Some(head) = head_end(bytes) else { return Ok(None) };
    let mut lines = bytes[..head].split(|byte| *byte == b'\n');
    let is_ok = lines.next().is_some_and(|line| line.starts_with(b"HTTP/1.1 200"));
    let content_length = lines.find_map(|line| {
        let (name, value) = std::str::from_utf8(line).ok()?.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let body = content_length.filter(|length| is_ok && *length <= ANSWER_BYTES_MAX).ok_or(Unexpected)?;
    Ok(Some(head + body))
}
