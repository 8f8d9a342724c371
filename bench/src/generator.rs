//! Requests at times that a schedule says, whether the answers before have come or not, on HTTP/1.1 connections that are
//! kept. A latency counts from the moment at which the request was meant to go out: a server that stalls delays all that
//! were due meanwhile, and each of them is counted with its whole delay ("coordinated omission" is what others call the
//! error of leaving that out).
//!
//! `weft_samples::caller` is no such generator: its clock has milliseconds, it sends late what was due during a stall, and
//! counts from then.

use std::{
    collections::VecDeque,
    io::{self, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;

use crate::{
    backend::{head_end, read},
    poll::Poll,
};

/// The most that an answer may have, head and body.
const ANSWER_BYTES_MAX: usize = 16 * 1024;
/// How long nothing may come while answers are due.
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// Digits of a latency that are kept: within 0.1 %.
const DIGITS: u8 = 3;

/// How often requests are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// So many in a second, at equal distances.
    Constant(u32),
    /// On each connection, the next one as soon as the one before is answered.
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
    #[error("instead of an answer with status 200 and a content-length came: {0}")]
    Answer(String),
    /// Nothing came at all.
    #[error("no answer has come for {} s", SILENCE_MAX.as_secs())]
    Silence,
}

/// Connections, none with a request under way.
pub struct Generator {
    poll: Poll,
    connections: Vec<Connection>,
    request: Vec<u8>,
}

impl Generator {
    /// Over connections that are open, to a server that is called `host`.
    pub fn new(streams: Vec<TcpStream>, host: &str) -> Result<Self, Error> {
        let poll = Poll::new()?;
        for (number, stream) in streams.iter().enumerate() {
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            poll.add(stream, number)?;
        }
        let connection = |stream| Connection { stream, due: None, answer: Vec::new() };
        let connections = streams.into_iter().map(connection).collect();
        Ok(Self {
            poll,
            connections,
            request: format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n").into_bytes(),
        })
    }

    /// Makes all requests of a schedule from now on, and waits for their answers. A request for which no connection is
    /// free waits, and its time counts.
    ///
    /// # Errors
    /// If one of them is not answered.
    pub fn run(&mut self, pace: Pace, length: Duration) -> Result<Report, Error> {
        let start = Instant::now();
        let mut schedule = Schedule::new(pace, start, length);
        let mut latencies_ns =
            Histogram::new(DIGITS).expect("the histogram has a number of digits that there is");
        let mut free: VecDeque<usize> = (0..self.connections.len()).collect();
        loop {
            let mut now = Instant::now();
            while let Some(number) = free.front().copied()
                && let Some(due) = schedule.take(now)
            {
                self.connections[number].send(&self.request, due)?;
                free.pop_front();
                now = Instant::now();
            }
            let is_waiting = free.len() < self.connections.len();
            let next = schedule.next(now);
            if next.is_none() && !is_waiting {
                return Ok(Report { latencies_ns, took: start.elapsed() });
            }
            let timer = next.filter(|_| !free.is_empty());
            let timeout = timer.map_or(SILENCE_MAX, |due| due.saturating_duration_since(now));
            let mut is_silent = true;
            for number in self.poll.wait(timeout)? {
                is_silent = false;
                if let Some(due) = self.connections[number].receive()? {
                    let latency = due.elapsed().as_nanos() as u64;
                    latencies_ns.record(latency).expect("the histogram grows");
                    free.push_back(number);
                }
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
        for number in 0..self.connections.len() {
            self.connections[number].send(&self.request, Instant::now())?;
            while self.connections[number].receive()?.is_none() {
                if self.poll.wait(SILENCE_MAX)?.next().is_none() {
                    return Err(Error::Silence);
                }
            }
        }
        Ok(())
    }
}

struct Connection {
    stream: TcpStream,
    /// When the request that is under way was due.
    due: Option<Instant>,
    /// What has come of its answer.
    answer: Vec<u8>,
}

impl Connection {
    fn send(&mut self, request: &[u8], due: Instant) -> Result<(), Error> {
        self.due = Some(due);
        // Nothing else is on its way there, so the socket has room.
        Ok(self.stream.write_all(request)?)
    }

    /// Takes what has come. Once the answer is whole: when its request was due.
    fn receive(&mut self) -> Result<Option<Instant>, Error> {
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

struct Unexpected;

/// Length of an answer with head and body, once its head is there.
fn answer_length(bytes: &[u8]) -> Result<Option<usize>, Unexpected> {
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

#[cfg(test)]
mod tests;
