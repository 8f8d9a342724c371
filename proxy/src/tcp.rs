//! Opaque bytes between two connections, both ways. Whatever ends one way ends the other side's the same way: an end of
//! one direction is passed on while the other goes on, and a connection that breaks off never looks like one that ended.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    io,
    pin::Pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll, ready},
    time::Duration,
};

use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::sleep,
};
use tokio_rustls::{client, server};

use crate::{detect::Rewound, http::transport::Transport, telemetry::connections::Series};

/// A connection without a byte either way is ended after this time, as Envoy's are: long enough for pools of
/// databases, and a bound for what both peers have forgotten.
pub const IDLE: Duration = Duration::from_hours(1);
/// Idle connections are noticed so late at most.
const IDLE_CHECKS: u32 = 4;
/// Most bytes that are read at once, and that wait for a peer that does not read.
const BUFFER_BYTES: usize = 32 * 1024;

/// Where a worker reads into: bytes are mostly written on at once, so that an idle connection needs no memory.
#[derive(Debug)]
pub struct Scratch(RefCell<Box<[u8]>>);

impl Default for Scratch {
    fn default() -> Self {
        Self(RefCell::new(vec![0; BUFFER_BYTES].into_boxed_slice()))
    }
}

/// Bytes that have passed on one connection, and on all that are counted with it.
#[derive(Debug)]
pub struct Passed {
    forth: Cell<u64>,
    back: Cell<u64>,
    series: Arc<Series>,
}

impl Passed {
    /// None yet; those that come are counted in `series` too.
    pub fn new(series: Arc<Series>) -> Self {
        Self { forth: Cell::new(0), back: Cell::new(0), series }
    }

    /// From the one who connected to us, and back to it.
    pub fn bytes(&self) -> [u64; 2] {
        [self.forth.get(), self.back.get()]
    }

    fn add_forth(&self, bytes: usize) {
        self.forth.set(self.forth.get() + bytes as u64);
        self.series.forth.fetch_add(bytes as u64, Relaxed);
    }

    fn add_back(&self, bytes: usize) {
        self.back.set(self.back.get() + bytes as u64);
        self.series.back.fetch_add(bytes as u64, Relaxed);
    }
}

/// How a connection ended.
#[derive(Debug)]
pub enum End {
    /// Both sides have said all that they had to say.
    Complete,
    /// Neither had anything to say for [`IDLE`].
    Idle,
    /// The one who connected to us broke off.
    Caller(io::Error),
    /// The one whom we connected to broke off.
    Callee(io::Error),
}

/// Carries bytes between `caller` and `callee` until both directions have ended, or something breaks off.
pub async fn relay<A, B>(scratch: &Scratch, caller: &mut A, callee: &mut B, passed: &Passed) -> End
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let (mut forth, mut back) = (Direction::default(), Direction::default());
    let relaying = poll_fn(|cx| {
        let forth = forth.poll(cx, scratch, caller, callee, &|bytes| passed.add_forth(bytes));
        let forth = forth.map_err(|broken| match broken {
            Broken::Source(error) => End::Caller(error),
            Broken::Sink(error) => End::Callee(error),
        });
        if let Poll::Ready(Err(end)) = forth {
            return Poll::Ready(end);
        }
        let back = back.poll(cx, scratch, callee, caller, &|bytes| passed.add_back(bytes));
        let back = back.map_err(|broken| match broken {
            Broken::Source(error) => End::Callee(error),
            Broken::Sink(error) => End::Caller(error),
        });
        match (forth, back) {
            (_, Poll::Ready(Err(end))) => Poll::Ready(end),
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => Poll::Ready(End::Complete),
            _ => Poll::Pending,
        }
    });
    tokio::select! {
        end = relaying => end,
        () = silence(passed) => End::Idle,
    }
}

/// Ends when no byte has passed for [`IDLE`]. Looked at now and then: a timer that every byte sets back would cost more
/// than the byte.
async fn silence(passed: &Passed) {
    let (mut last, mut quiet) = (passed.bytes(), 0);
    while quiet < IDLE_CHECKS {
        sleep(IDLE / IDLE_CHECKS).await;
        quiet = if passed.bytes() == last { quiet + 1 } else { 0 };
        last = passed.bytes();
    }
}

/// Which side of a direction broke off.
enum Broken {
    Source(io::Error),
    Sink(io::Error),
}

/// One direction.
#[derive(Default)]
struct Direction {
    /// Read, and not written yet.
    waiting: Vec<u8>,
    written: usize,
    /// The sink may still hold bytes of ours.
    unflushed: bool,
    state: State,
}

#[derive(Default)]
enum State {
    #[default]
    Open,
    /// The source has ended, the sink is to be told.
    Ending,
    Over,
}

impl Direction {
    fn poll<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &Scratch,
        source: &mut R,
        sink: &mut W,
        count: &impl Fn(usize),
    ) -> Poll<Result<(), Broken>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        loop {
            ready!(self.poll_write(cx, sink, count))?;
            match self.state {
                State::Over => return Poll::Ready(Ok(())),
                State::Ending => {
                    ready!(Pin::new(&mut *sink).poll_shutdown(cx)).map_err(Broken::Sink)?;
                    self.state = State::Over;
                }
                State::Open => {
                    let mut buffer = scratch.0.borrow_mut();
                    let mut read = ReadBuf::new(&mut buffer);
                    let Poll::Ready(result) = Pin::new(&mut *source).poll_read(cx, &mut read) else {
                        // What the sink holds must not wait for what comes next.
                        if self.unflushed {
                            ready!(Pin::new(&mut *sink).poll_flush(cx)).map_err(Broken::Sink)?;
                            self.unflushed = false;
                        }
                        return Poll::Pending;
                    };
                    result.map_err(Broken::Source)?;
                    if read.filled().is_empty() {
                        self.state = State::Ending;
                    } else {
                        self.pass_on(cx, sink, read.filled(), count)?;
                    }
                }
            }
        }
    }

    /// Writes what was just read; what the sink does not take at once waits.
    fn pass_on<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        sink: &mut W,
        bytes: &[u8],
        count: &impl Fn(usize),
    ) -> Result<(), Broken> {
        self.unflushed = true;
        let written = match Pin::new(sink).poll_write(cx, bytes) {
            Poll::Ready(written) => took(written)?,
            Poll::Pending => 0,
        };
        count(written);
        if written < bytes.len() {
            self.waiting = bytes[written..].to_vec();
            self.written = 0;
        }
        Ok(())
    }

    fn poll_write<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        sink: &mut W,
        count: &impl Fn(usize),
    ) -> Poll<Result<(), Broken>> {
        if self.waiting.is_empty() {
            return Poll::Ready(Ok(()));
        }
        while self.written < self.waiting.len() {
            let written = ready!(Pin::new(&mut *sink).poll_write(cx, &self.waiting[self.written..]));
            let written = took(written)?;
            self.written += written;
            count(written);
        }
        // Its memory goes with it.
        self.waiting = Vec::new();
        Poll::Ready(Ok(()))
    }
}

fn took(written: io::Result<usize>) -> Result<usize, Broken> {
    match written {
        Ok(0) => Err(Broken::Sink(io::ErrorKind::WriteZero.into())),
        Ok(written) => Ok(written),
        Err(error) => Err(Broken::Sink(error)),
    }
}

/// What has a TCP connection below it.
pub trait Socket {
    /// The connection.
    fn socket(&self) -> &TcpStream;
}

impl Socket for TcpStream {
    fn socket(&self) -> &TcpStream {
        self
    }
}

impl Socket for Rewound<TcpStream> {
    fn socket(&self) -> &TcpStream {
        self.get_ref()
    }
}

impl<S: Socket> Socket for Box<client::TlsStream<S>> {
    fn socket(&self) -> &TcpStream {
        self.get_ref().0.socket()
    }
}

impl<S: Socket> Socket for Box<server::TlsStream<S>> {
    fn socket(&self) -> &TcpStream {
        self.get_ref().0.socket()
    }
}

impl<P: Socket, M: Socket> Socket for Transport<P, M> {
    fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(io) => io.socket(),
            Self::Mesh(io) => io.socket(),
        }
    }
}

/// Ends a connection so that its peer learns that it was broken off, as by a peer that is gone, and takes what it has read
/// for no whole: with a reset instead of an end.
pub fn break_off(stream: &impl Socket) {
    // A socket that does not take this is gone already.
    let _ = SockRef::from(stream.socket()).set_linger(Some(Duration::ZERO));
}

#[cfg(test)]
mod tests;
