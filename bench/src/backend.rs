//! The smallest server that answers: on one thread, the same bytes to every request.

use std::{
    collections::BTreeMap,
    io::{self, Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::net::UnixStream,
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::poll::Poll;

/// Bytes of the body of each answer.
pub const BODY_BYTES: usize = 1024;
/// The most that a request may have, which has no body.
const REQUEST_BYTES_MAX: usize = 16 * 1024;
/// How long it waits before it looks again, though nothing has happened.
const PAUSE: Duration = Duration::from_mins(1);
/// Numbers of what it waits for besides connections.
const LISTENER: usize = usize::MAX;
const END: usize = usize::MAX - 1;

/// A server. Dropped, it ends.
#[derive(Debug)]
pub struct Backend {
    lifeline: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl Backend {
    /// Serves whoever connects.
    ///
    /// # Errors
    /// If the system has no more threads or descriptors.
    pub fn start(listener: TcpListener) -> io::Result<Self> {
        let (lifeline, end) = UnixStream::pair()?;
        listener.set_nonblocking(true)?;
        let thread = thread::Builder::new().name("backend".to_owned()).spawn(move || {
            // Whoever measures sees that no answers come, and these words beside it.
            if let Err(error) = serve(&listener, &end) {
                eprintln!("backend: {error}");
            }
        })?;
        Ok(Self { lifeline: Some(lifeline), thread: Some(thread) })
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.lifeline.take();
        if let Some(thread) = self.thread.take() {
            // It has said why, if it panicked.
            let _ = thread.join();
        }
    }
}

fn serve(listener: &TcpListener, end: &UnixStream) -> io::Result<()> {
    let mut poll = Poll::new()?;
    poll.add(listener, LISTENER)?;
    poll.add(end, END)?;
    let answer = answer();
    let (mut connections, mut next) = (BTreeMap::new(), 0);
    loop {
        let ready: Vec<usize> = poll.wait(PAUSE)?.collect();
        for number in ready {
            match number {
                END => return Ok(()),
                LISTENER => {
                    let Ok((stream, _)) = listener.accept() else { continue };
                    stream.set_nonblocking(true)?;
                    stream.set_nodelay(true)?;
                    poll.add(&stream, next)?;
                    connections.insert(next, Connection { stream, request: Vec::new() });
                    next += 1;
                }
                number => {
                    let Some(connection) = connections.get_mut(&number) else { continue };
                    if !connection.serve(&answer) {
                        connections.remove(&number);
                    }
                }
            }
        }
    }
}

struct Connection {
    stream: TcpStream,
    /// What has come of a request that is not whole yet.
    request: Vec<u8>,
}

impl Connection {
    /// Answers what has come in. `false` once the connection is of no more use.
    fn serve(&mut self, answer: &[u8]) -> bool {
        let mut bytes = [0; 4096];
        let Some(length) = read(&mut self.stream, &mut bytes) else { return false };
        self.request.extend_from_slice(&bytes[..length]);
        while let Some(end) = head_end(&self.request) {
            self.request.drain(..end);
            // Whoever does not read answers of a KiB is none of those that are measured.
            if !matches!(self.stream.write(answer), Ok(written) if written == answer.len()) {
                return false;
            }
        }
        self.request.len() <= REQUEST_BYTES_MAX
    }
}

/// Reads what is there: `Some(0)` if nothing is, `None` at the end.
pub(crate) fn read(stream: &mut TcpStream, bytes: &mut [u8]) -> Option<usize> {
    match stream.read(bytes) {
        Ok(0) => None,
        Ok(length) => Some(length),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Some(0),
        Err(_) => None,
    }
}

/// Length of the head of a message with the empty line at its end, if all of it is there.
pub(crate) fn head_end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4)
}

fn answer() -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {BODY_BYTES}\r\n\r\n");
    let mut answer = head.into_bytes();
    answer.resize(answer.len() + BODY_BYTES, b'w');
    answer
}

#[cfg(test)]
mod tests;
