//! The users: requests for the page at a constant rate, on a thread of their own.
//!
//! Open loop: a request is due when its time has come, however slow the answers before it are, and its latency counts
//! from then. The runtime's timer adds up to a millisecond to that.

use std::{io, net::SocketAddr, thread, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use http::{Method, StatusCode};
use tokio::{
    runtime::{Builder, Runtime},
    sync::watch,
    time::{Instant, sleep_until, timeout},
};

use super::histogram::Histogram;
use crate::wire::{Answer, Failure, Wire};

/// Requests under way at once. Beyond them the next one waits, and its latency still counts from when it was due.
const MAX_IN_FLIGHT: usize = 512;
/// A user gives up after this time; that counts as a failure.
const PATIENCE: Duration = Duration::from_secs(10);
/// A connection is not used again after it lay idle for this long. Servers close idle ones after several seconds, and
/// a request that crosses such a close would be counted as a failure of theirs.
const MAX_IDLE: Duration = Duration::from_secs(1);

/// What users saw so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    /// Requests sent.
    pub(crate) sent: u64,
    /// Requests that ended, answered or not.
    pub(crate) ended: u64,
    /// Those of them that failed: a status of 500 and above, a broken connection, or no answer in time.
    pub(crate) failed: u64,
    /// Those of them that showed the canned message.
    pub(crate) canned: u64,
    /// From when a request was due to the last byte of its answer.
    pub(crate) latency: Histogram,
}

/// What the generator is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Order {
    /// Where the page is.
    page: SocketAddr,
    /// How many requests shall have been sent, counted from the beginning.
    total: u64,
}

/// The generator. Dropping it ends its thread.
pub(crate) struct Load {
    orders: Option<watch::Sender<Order>>,
    tally: watch::Receiver<Tally>,
    thread: Option<thread::JoinHandle<()>>,
}

/// The generator's thread ended by itself, which it never does unless it panics.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the load generator broke off: this is a bug, report it")]
pub(crate) struct BrokeOff;

impl Tally {
    /// What came since `earlier`, an older state of the same tally.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        Self {
            sent: self.sent.saturating_sub(earlier.sent),
            ended: self.ended.saturating_sub(earlier.ended),
            failed: self.failed.saturating_sub(earlier.failed),
            canned: self.canned.saturating_sub(earlier.canned),
            latency: self.latency.since(&earlier.latency),
        }
    }

    /// Adds what another stretch brought.
    pub(crate) fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        self.ended += other.ended;
        self.failed += other.failed;
        self.canned += other.canned;
        self.latency.add(&other.latency);
    }

    fn count(&mut self, latency: Duration, answer: Result<&Answer, &Failure>, canned: &str) {
        self.ended += 1;
        self.latency.record(latency);
        match answer {
            Ok((status, body)) if *status < StatusCode::INTERNAL_SERVER_ERROR => {
                let shown = body.windows(canned.len()).any(|window| window == canned.as_bytes());
                self.canned += u64::from(shown);
            }
            _ => self.failed += 1,
        }
    }
}

impl Load {
    /// Starts the thread, which sends nothing yet. `canned` is the text by which a canned answer is known.
    pub(crate) fn start(page: SocketAddr, per_second: u32, canned: &'static str) -> io::Result<Self> {
        let runtime: Runtime = Builder::new_current_thread().enable_all().build()?;
        let (orders, ordered) = watch::channel(Order { page, total: 0 });
        let (counter, tally) = watch::channel(Tally::default());
        let interval = Duration::from_secs(1) / per_second.max(1);
        let work = move || runtime.block_on(generate(ordered, counter, interval, canned));
        let thread = thread::Builder::new().name("load".to_owned()).spawn(work)?;
        Ok(Self { orders: Some(orders), tally, thread: Some(thread) })
    }

    /// Sends to another page from the next request on.
    pub(crate) fn aim(&self, page: SocketAddr) {
        self.order(|order| order.page = page);
    }

    /// Sends this many requests, and returns what came of them once all have ended.
    pub(crate) async fn play(&self, requests: u64) -> Result<Tally, BrokeOff> {
        let before = self.tally();
        let total = before.sent + requests;
        self.order(|order| order.total = total);
        let mut tally = self.tally.clone();
        let after = tally.wait_for(|tally| tally.ended >= total).await.map_err(|_| BrokeOff)?;
        Ok(after.since(&before))
    }

    /// What users saw so far.
    pub(crate) fn tally(&self) -> Tally {
        self.tally.borrow().clone()
    }

    fn order(&self, change: impl FnOnce(&mut Order)) {
        if let Some(orders) = &self.orders {
            orders.send_modify(change);
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // Without orders the thread ends.
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            // A panic in it was told by BrokeOff.
            let _ = thread.join();
        }
    }
}

/// A request that has ended, and its connection if it can carry another one.
struct Flight {
    page: SocketAddr,
    due: Instant,
    answer: Result<Answer, Failure>,
    wire: Option<Wire>,
}

async fn generate(
    mut orders: watch::Receiver<Order>,
    tally: watch::Sender<Tally>,
    interval: Duration,
    canned: &str,
) {
    let mut order = *orders.borrow_and_update();
    let mut sent = 0;
    let mut due = Instant::now();
    let mut idle: Vec<(Instant, Wire)> = Vec::new();
    let mut flights = FuturesUnordered::new();
    loop {
        let sends = sent < order.total && flights.len() < MAX_IN_FLIGHT;
        tokio::select! {
            changed = orders.changed() => {
                if changed.is_err() {
                    return;
                }
                let next = *orders.borrow_and_update();
                if sent >= order.total {
                    // There was a pause: nothing fell due in it.
                    due = due.max(Instant::now());
                }
                if next.page != order.page {
                    idle.clear();
                }
                order = next;
            }
            () = sleep_until(due), if sends => {
                sent += 1;
                tally.send_modify(|tally| tally.sent = sent);
                idle.retain(|(since, _)| since.elapsed() < MAX_IDLE);
                let wire = idle.pop().map(|(_, wire)| wire);
                flights.push(fly(order.page, wire, due));
                due += interval;
            }
            Some(flight) = flights.next(), if !flights.is_empty() => {
                let latency = flight.due.elapsed();
                tally.send_modify(|tally| tally.count(latency, flight.answer.as_ref(), canned));
                if let Some(wire) = flight.wire.filter(|_| flight.page == order.page) {
                    idle.push((Instant::now(), wire));
                }
            }
        }
    }
}

async fn fly(page: SocketAddr, wire: Option<Wire>, due: Instant) -> Flight {
    let exchange = async {
        let mut wire = match wire {
            Some(wire) => wire,
            None => Wire::connect(page).await?,
        };
        let answer = wire.exchange(Method::GET, "/").await?;
        Ok((answer, wire.is_open().then_some(wire)))
    };
    match timeout(PATIENCE, exchange).await.unwrap_or(Err(Failure::Slow)) {
        Ok((answer, wire)) => Flight { page, due, answer: Ok(answer), wire },
        Err(failure) => Flight { page, due, answer: Err(failure), wire: None },
    }
}

#[cfg(test)]
mod tests;
