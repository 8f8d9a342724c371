//! HTTP/1.1 as it is served, and what a connection costs that nobody asks anything: hyper keeps some 20 KiB for each, and
//! counts the time for the head of a request from the end of the one before.
//!
//! So a connection that rests is taken from hyper, and given back with its next bytes. That it rests is known, not guessed:
//! hyper asks its timer for a deadline whenever it begins to wait for a head, and drops it when the head is there; and
//! all bytes pass through [`Noted`]. So what comes before a response, which hyper cannot send, is written there too.

use std::{
    collections::VecDeque,
    convert::Infallible,
    future::{Future, poll_fn},
    io::{self, IoSlice},
    mem::MaybeUninit,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, Bytes};
use http::{Request, Response, Version};
use hyper::{
    body::{Body, Incoming},
    server::conn::http1::{Builder, UpgradeableConnection},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf},
    time::{Instant, Sleep, sleep},
};

use super::{
    interim::Interim,
    serve::{HEADER_BYTES_MAX, HEADERS_MAX, HEADERS_TIMEOUT},
};

/// How often a connection is looked at. One that is seen twice at the same rest is taken from hyper: so a busy one pays
/// for nothing but a timer that fires once a second.
const LOOK: Duration = Duration::from_secs(1);
/// A connection that rests for so long is closed: as long as opaque ones, and longer than pools of clients keep theirs.
const IDLE: Duration = Duration::from_hours(1);
/// So much of the first bytes after a rest is read before hyper reads the rest of them.
const FIRST_BYTES: usize = 512;

/// Answers every request of `io` by `respond`, until `ends`; what is under way ends first.
pub(super) async fn serve<IO, R, F, B>(
    mut io: IO,
    ends: impl Future<Output = ()>,
    respond: R,
) -> hyper::Result<()>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    R: Fn(Request<Incoming>, Option<Interim>) -> F + 'static,
    F: Future<Output = Response<B>> + 'static,
    B: Body<Data = Bytes> + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let progress = Arc::new(Progress::default());
    let saying = Arc::clone(&progress);
    let mut service = service_fn(move |request: Request<Incoming>| {
        // Who speaks HTTP/1.0 knows of none (RFC 9110, 15.2).
        let interim = (request.version() == Version::HTTP_11).then(Interim::default);
        let (response, saying) = (respond(request, interim.clone()), Arc::clone(&saying));
        async move { Ok::<_, Infallible>(saying.answer(interim, response).await) }
    });
    let mut ends = pin!(ends);
    let mut alarm = pin!(sleep(LOOK));
    let mut first = Bytes::new();
    loop {
        progress.begin();
        let noted = Noted { first, said: Bytes::new(), io, progress: Arc::clone(&progress) };
        // In a box of its own: nothing of it is left while the connection rests.
        let mut connection = Box::new(
            Builder::new()
                .timer(Heads { progress: Arc::clone(&progress), now: std::time::Instant::now() })
                .header_read_timeout(HEADERS_TIMEOUT)
                .max_buf_size(HEADER_BYTES_MAX)
                .max_headers(HEADERS_MAX)
                .serve_connection(TokioIo::new(noted), service)
                .with_upgrades(),
        );
        let drain = UpgradeableConnection::graceful_shutdown;
        let ended = busy(&mut *connection, drain, ends.as_mut(), alarm.as_mut(), &progress).await;
        if let Some(ended) = ended {
            return ended;
        }
        // Nothing but the end of the connection, or its upgrade, takes the parts from hyper.
        let Some(parts) = connection.into_parts() else { return Ok(()) };
        (io, first, service) = (parts.io.into_inner().io, parts.read_buf, parts.service);
        if first.is_empty() {
            // An empty part of hyper's buffer holds all of it.
            drop(std::mem::take(&mut first));
            alarm.as_mut().reset(Instant::now() + IDLE);
            first = tokio::select! {
                biased;
                read = read(&mut io) => read.unwrap_or_default(),
                () = ends.as_mut() => Bytes::new(),
                () = alarm.as_mut() => Bytes::new(),
            };
        }
        if first.is_empty() {
            // Who is gone learns nothing of it.
            let _ = io.shutdown().await;
            return Ok(());
        }
    }
}

/// Drives hyper's connection until it has ended, or rests: `None`.
async fn busy<C: Future<Output = hyper::Result<()>> + Unpin>(
    connection: &mut C,
    drain: fn(Pin<&mut C>),
    mut ends: Pin<&mut impl Future<Output = ()>>,
    mut alarm: Pin<&mut Sleep>,
    progress: &Progress,
) -> Option<hyper::Result<()>> {
    let mut drains = false;
    let mut seen = Seen::new(Instant::now());
    alarm.as_mut().reset(seen.since + LOOK);
    poll_fn(|cx| {
        loop {
            // First of all: it closes at once if it drains before it has read what is there.
            if let Poll::Ready(ended) = Pin::new(&mut *connection).poll(cx) {
                return Poll::Ready(Some(ended));
            }
            if !drains && ends.as_mut().poll(cx).is_ready() {
                drains = true;
                drain(Pin::new(&mut *connection));
                continue;
            }
            ready!(alarm.as_mut().poll(cx));
            let now = Instant::now();
            alarm.as_mut().reset(now + LOOK);
            match seen.look(progress, now) {
                Look::Busy => {}
                Look::Rests if drains => {}
                Look::Rests => return Poll::Ready(None),
                Look::Late => progress.late.store(true, Relaxed),
            }
        }
    })
    .await
}

/// The next bytes; none at the end.
async fn read(io: &mut (impl AsyncRead + Unpin)) -> io::Result<Bytes> {
    poll_fn(|cx| {
        let mut room = [MaybeUninit::uninit(); FIRST_BYTES];
        let mut read = ReadBuf::uninit(&mut room);
        ready!(Pin::new(&mut *io).poll_read(cx, &mut read))?;
        Poll::Ready(Ok(Bytes::copy_from_slice(read.filled())))
    })
    .await
}

/// What hyper does with a connection. All in one thread: atomic only because hyper wants timers and streams that are `Send`.
#[derive(Debug, Default)]
struct Progress {
    /// Heads that it has begun to wait for.
    heads: AtomicU32,
    /// Whether it waits for one now.
    waits: AtomicBool,
    /// Whether bytes have come since it does. The first head counts as begun.
    begun: AtomicBool,
    /// Whether something may not have been written to the end.
    unsent: AtomicBool,
    /// The head that it waits for takes too long.
    late: AtomicBool,
    /// Whether there is anything to say.
    says: AtomicBool,
    /// Heads of interim responses, which are written where a message of hyper's has ended and none has begun.
    say: Mutex<VecDeque<Bytes>>,
}

impl Progress {
    /// hyper begins with a connection.
    fn begin(&self) {
        self.heads.store(0, Relaxed);
        self.waits.store(false, Relaxed);
        self.begun.store(true, Relaxed);
        self.unsent.store(false, Relaxed);
        self.late.store(false, Relaxed);
    }

    /// What `response` is, once it is there. Meanwhile `interim` is told, whenever hyper next flushes: it does whenever it
    /// is woken, with nothing of its own to write until then.
    async fn answer<T>(&self, interim: Option<Interim>, response: impl Future<Output = T>) -> T {
        let Some(interim) = interim else { return response.await };
        let mut response = pin!(response);
        poll_fn(|cx| {
            let answered = response.as_mut().poll(cx);
            let mut heads = interim.take(cx);
            if !heads.is_empty() {
                self.say().append(&mut heads);
                self.says.store(true, Relaxed);
            }
            if answered.is_ready() && self.unsent.load(Relaxed) {
                // The end of the response before is on its way still, and hyper puts the next head right behind it.
                self.say().clear();
            }
            answered
        })
        .await
    }

    fn next(&self) -> Option<Bytes> {
        if !self.says.load(Relaxed) {
            return None;
        }
        let next = self.say().pop_front();
        self.says.store(next.is_some(), Relaxed);
        next
    }

    fn say(&self) -> MutexGuard<'_, VecDeque<Bytes>> {
        self.say.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pause(&self) -> Pause {
        Pause { head: self.heads.load(Relaxed), begun: self.begun.load(Relaxed) }
    }
}

/// A time in which hyper waits for one head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pause {
    head: u32,
    begun: bool,
}

/// What the last look at a connection has shown.
struct Seen {
    pause: Option<Pause>,
    since: Instant,
}

/// What a look shows.
#[derive(Debug, PartialEq, Eq)]
enum Look {
    /// It is, or was a moment ago.
    Busy,
    /// Nothing is under way, and nothing is left to be written.
    Rests,
    /// The head of a request has begun, and does not end.
    Late,
}

impl Seen {
    /// What hyper does first is to wait for a head.
    fn new(now: Instant) -> Self {
        Self { pause: Some(Pause { head: 1, begun: true }), since: now }
    }

    fn look(&mut self, progress: &Progress, now: Instant) -> Look {
        let pause = progress.waits.load(Relaxed).then(|| progress.pause());
        if pause != self.pause {
            *self = Self { pause, since: now };
            return Look::Busy;
        }
        match pause {
            Some(Pause { begun: true, .. })
                if now.saturating_duration_since(self.since) >= HEADERS_TIMEOUT =>
            {
                Look::Late
            }
            Some(Pause { begun: false, .. }) if !progress.unsent.load(Relaxed) => Look::Rests,
            _ => Look::Busy,
        }
    }
}

/// The timer by which hyper waits for heads.
struct Heads {
    progress: Arc<Progress>,
    /// What hyper reckons its deadlines from, which nobody looks at.
    now: std::time::Instant,
}

/// hyper waits for a head as long as this lives.
struct Head(Arc<Progress>);

impl hyper::rt::Timer for Heads {
    fn sleep(&self, _: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        self.sleep_until(self.now)
    }

    fn sleep_until(&self, _: std::time::Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        let progress = &self.progress;
        let heads = progress.heads.load(Relaxed).wrapping_add(1);
        progress.heads.store(heads, Relaxed);
        // Where hyper begins anew, bytes have come, or must come.
        progress.begun.store(heads == 1, Relaxed);
        progress.waits.store(true, Relaxed);
        Box::pin(Head(Arc::clone(progress)))
    }

    fn now(&self) -> std::time::Instant {
        self.now
    }
}

impl Future for Head {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        // Whoever sets it polls hyper's connection next.
        if self.0.late.load(Relaxed) { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl hyper::rt::Sleep for Head {}

impl Drop for Head {
    fn drop(&mut self) {
        self.0.waits.store(false, Relaxed);
    }
}

/// A connection that notes what passes, and begins with the bytes that were read while it rested.
struct Noted<S> {
    first: Bytes,
    /// What is left of the head of an interim response.
    said: Bytes,
    io: S,
    progress: Arc<Progress>,
}

impl<S: AsyncWrite + Unpin> Noted<S> {
    /// Writes what is to be said between two messages of hyper's.
    fn say(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.said.is_empty() {
                match self.progress.next() {
                    Some(next) => self.said = next,
                    None => return Poll::Ready(Ok(())),
                }
            }
            let written = ready!(Pin::new(&mut self.io).poll_write(cx, &self.said))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.said.advance(written);
        }
    }

    /// hyper is about to write something.
    fn begin(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.said.is_empty() || !self.progress.unsent.load(Relaxed) {
            ready!(self.say(cx))?;
            self.progress.unsent.store(true, Relaxed);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Noted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.first.is_empty() {
            let length = self.first.len().min(buf.remaining());
            buf.put_slice(&self.first[..length]);
            self.first.advance(length);
            return Poll::Ready(Ok(()));
        }
        let read = Pin::new(&mut self.io).poll_read(cx, buf);
        if read.is_ready() {
            self.progress.begun.store(true, Relaxed);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Noted<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.begin(cx))?;
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // hyper does so whenever it has written all that it had.
        ready!(self.say(cx))?;
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        self.progress.unsent.store(!matches!(flushed, Poll::Ready(Ok(()))), Relaxed);
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.begin(cx))?;
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

#[cfg(test)]
mod tests;
