//! Requests at times that a schedule says, whether the answers before have come or not, on connections that are kept. A latency counts from the moment at which the request was meant to go out: a server that stalls delays all that
//! were due meanwhile, and each of them is counted with its whole delay ("coordinated omission" is what others call the
//! error of leaving that out).
//!
//! `weft_samples::caller` is no such generator: its clock has milliseconds, it sends late what was due during a stall, and
//! counts from then.

mod http1;
mod http2;

use std::{
    collections::VecDeque,
    io,
    net::TcpStream,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;

use crate::poll::Poll;

/// Streams of a connection of HTTP/2 on which requests are under way at once.
pub const STREAMS: usize = 8;
/// How long nothing may come while answers are due.
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// Digits of a latency that are kept: within 0.1 %.
const DIGITS: u8 = 3;

/// What is spoken to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1, with one request at a time on a connection.
    Http1,
    /// HTTP/2 by prior knowledge, with [`STREAMS`] requests at a time on a connection.
    Http2,
}

impl Protocol {
    /// Requests that may be under way on one connection.
    pub fn requests_at_once(self) -> usize {
        match self {
            Self::Http1 => 1,
            Self::Http2 => STREAMS,
        }
    }
}

/// How often requests are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// So many in a second, at equal distances.
    Constant(u32),
    /// The next one as soon as one before it is answered, on as many connections and streams as there are.
    Full,
}

/// When requests are due.
#[derive(Clone, Debug)]
pub struct Schedule {
    pace: Pace,
    start: Instant,
    end: Instant,
    taken: u64,
}

impl Schedule {
    /// Requests from `start` on, for `length`.
    pub fn new(pace: Pace, start: Instant, length: Duration) -> Self {
        Self { pace, start, end: start + length, taken: 0 }
    }

    /// When the next request is due, if there is one more.
    pub fn next(&self, now: Instant) -> Option<Instant> {
        let due = match self.pace {
            Pace::Constant(per_second) => {
                self.start + Duration::from_nanos(self.taken * 1_000_000_000 / u64::from(per_second))
            }
            Pace::Full => now,
        };
        (due < self.end).then_some(due)
    }

    /// Takes the next request if it is due, and returns when it was.
    pub fn take(&mut self, now: Instant) -> Option<Instant> {
        let due = self.next(now).filter(|due| *due <= now)?;
        self.taken += 1;
        Some(due)
    }
}

/// How a run went.
#[derive(Clone, Debug)]
pub struct Report {
    /// Nanoseconds from when a request was due to the last byte of its answer.
    pub latencies_ns: Histogram<u64>,
    /// From the first request's time to the last answer.
    pub took: Duration,
}

impl Report {
    /// Requests, all of them answered.
    pub fn requests(&self) -> u64 {
        self.latencies_ns.len()
    }

    /// The latency in microseconds that a share of the requests stayed within: 0.5 is the median.
    pub fn quantile_us(&self, share: f64) -> f64 {
        self.latencies_ns.value_at_quantile(share) as f64 / 1e3
    }
}

/// Why a run says nothing: every request must be answered with 200.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A socket failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A connection ended.
    #[error("a connection was closed on a request")]
    Closed,
    /// Not an answer of the backend's.
    #[error("instead of a whole answer with status 200 came: {0}")]
    Answer(String),
    /// Nothing came at all.
    #[error("no answer has come for {} s", SILENCE_MAX.as_secs())]
    Silence,
}

/// Connections, none with a request under way.
pub struct Generator {
    protocol: Protocol,
    poll: Poll,
    connections: Vec<Connection>,
    request: Vec<u8>,
}

impl Generator {
    /// Over connections that are open, to a server that is called `host`.
    pub fn new(streams: Vec<TcpStream>, protocol: Protocol, host: &str) -> Result<Self, Error> {
        let poll = Poll::new()?;
        for (number, stream) in streams.iter().enumerate() {
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            poll.add(stream, number)?;
        }
        let connections = streams.into_iter().map(|stream| Connection::new(stream, protocol)).collect();
        let request = match protocol {
            Protocol::Http1 => http1::request(host),
            Protocol::Http2 => http2::request(host),
        };
        Ok(Self { protocol, poll, connections, request })
    }

    /// Makes all requests of a schedule from now on, and waits for their answers. A request for which no connection is
    /// free waits, and its time counts.
    ///
    /// # Errors
    /// If one of them is not answered.
    pub fn run(&mut self, pace: Pace, length: Duration) -> Result<Report, Error> {
        let start = Instant::now();
        let mut schedule = Schedule::new(pace, start, length);
        let mut latencies_ns = histogram();
        // Each connection as often as it takes a request.
        let all = self.connections.len() * self.protocol.requests_at_once();
        let mut free: VecDeque<usize> = (0..self.connections.len()).cycle().take(all).collect();
        loop {
            let mut now = Instant::now();
            while let Some(number) = free.front().copied()
                && let Some(due) = schedule.take(now)
            {
                self.connections[number].send(&self.request, due)?;
                free.pop_front();
                now = Instant::now();
            }
            self.connections.iter_mut().try_for_each(Connection::flush)?;
            let is_waiting = free.len() < all;
            let next = schedule.next(now);
            if next.is_none() && !is_waiting {
                return Ok(Report { latencies_ns, took: start.elapsed() });
            }
            let timer = next.filter(|_| !free.is_empty());
            let timeout = timer.map_or(SILENCE_MAX, |due| due.saturating_duration_since(now));
            let mut is_silent = true;
            for number in self.poll.wait(timeout)? {
                is_silent = false;
                self.connections[number].receive(|due| {
                    let latency = due.elapsed().as_nanos() as u64;
                    latencies_ns.record(latency).expect("the histogram grows");
                    free.push_back(number);
                })?;
            }
            if is_silent && timer.is_none() {
                return Err(Error::Silence);
            }
        }
    }

    /// Makes one request on each connection, one after the other.
    ///
    /// # Errors
    /// If one of them is not answered.
    pub fn greet(&mut self) -> Result<(), Error> {
        for connection in &mut self.connections {
            connection.send(&self.request, Instant::now())?;
            let mut is_answered = false;
            while !is_answered {
                connection.flush()?;
                if self.poll.wait(SILENCE_MAX)?.next().is_none() {
                    return Err(Error::Silence);
                }
                connection.receive(|_| is_answered = true)?;
            }
        }
        Ok(())
    }
}

/// Latencies in nanoseconds, none yet.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new(DIGITS).expect("the histogram has a number of digits that there is")
}

enum Connection {
    Http1(http1::Connection),
    Http2(http2::Connection),
}

impl Connection {
    fn new(stream: TcpStream, protocol: Protocol) -> Self {
        match protocol {
            Protocol::Http1 => Self::Http1(http1::Connection::new(stream)),
            Protocol::Http2 => Self::Http2(http2::Connection::new(stream)),
        }
    }

    /// Makes a request, which may wait for [`Self::flush`].
    fn send(&mut self, request: &[u8], due: Instant) -> Result<(), Error> {
        match self {
            Self::Http1(connection) => connection.send(request, due)?,
            Self::Http2(connection) => connection.send(request, due),
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Error> {
        match self {
            Self::Http1(_) => Ok(()),
            Self::Http2(connection) => connection.flush(),
        }
    }

    /// Takes what has come, and tells for each answer that is whole now when its request was due.
    fn receive(&mut self, mut answered: impl FnMut(Instant)) -> Result<(), Error> {
        match self {
            Self::Http1(connection) => connection.receive()?.into_iter().for_each(answered),
            Self::Http2(connection) => connection.receive(&mut answered)?,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
