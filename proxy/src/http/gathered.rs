//! The bytes that an HTTP/2 connection sends, gathered: many requests share it, and h2 hands over each answer by itself,
//! which would be a TLS record and a system call for each. So they wait until whatever else can run has run, and go at
//! once. Where no other request is under way, nobody is waited for.

use std::{
    cell::{Cell, RefCell},
    future::Future,
    io::{self, IoSlice},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker, ready},
};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// So much waits to be sent at most; then the writer waits.
const WAITING_BYTES_MAX: usize = 64 * 1024;
/// With so much nobody waits any longer: it is what one TLS record holds.
const ENOUGH_BYTES: usize = 16 * 1024;
/// So much room is kept for what is to be sent next.
const KEPT_BYTES_MAX: usize = 2 * ENOUGH_BYTES;
/// How often others may go first: those who have something to say, and the connection that takes it from them.
const TURNS: u8 = 2;

/// The requests that are under way on one connection.
#[derive(Clone, Debug, Default)]
pub struct Company(Rc<Count>);

/// One of them, until it is dropped.
#[derive(Debug)]
pub struct Member(Rc<Count>);

#[derive(Debug, Default)]
struct Count {
    now: Cell<u32>,
    /// At once, since something was sent: an answer is sent when its request counts no more.
    most: Cell<u32>,
}

/// A connection whose bytes a [`Flush`] sends.
pub struct Gathered<S>(Rc<RefCell<Shared<S>>>);

/// Sends what was gathered. It must be polled as long as its connection is used, and ends with it.
#[must_use = "nothing is sent unless it is polled"]
pub struct Flush<S> {
    shared: Rc<RefCell<Shared<S>>>,
    company: Company,
    /// How often others went first, since there is something to send.
    turns: u8,
}

struct Shared<S> {
    io: S,
    waiting: BytesMut,
    /// Whether the connection may hold bytes that it was given.
    unflushed: bool,
    /// Why nothing can be sent any more.
    failed: Option<io::ErrorKind>,
    /// Nobody uses the connection any more.
    over: bool,
    /// Who sends, while it waits.
    flush: Option<Waker>,
    /// Who waits until all is sent, or something of it.
    writer: Option<Waker>,
}

impl Company {
    /// One more request is under way.
    pub fn join(&self) -> Member {
        let Count { now, most } = &*self.0;
        now.set(now.get() + 1);
        most.set(most.get().max(now.get()));
        Member(Rc::clone(&self.0))
    }

    /// Whether what is to be sent may not be all that there is to come.
    fn has_others(&self) -> bool {
        self.0.most.get() > 1
    }

    fn sent(&self) {
        self.0.most.set(self.0.now.get());
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // It was added once, and this takes it away once.
        self.0.now.set(self.0.now.get() - 1);
    }
}

/// `io`, whose bytes are gathered where those of several requests of the `company` may come, and what sends them.
pub fn gathered<S>(io: S, company: Company) -> (Gathered<S>, Flush<S>) {
    let shared = Rc::new(RefCell::new(Shared {
        io,
        waiting: BytesMut::new(),
        unflushed: false,
        failed: None,
        over: false,
        flush: None,
        writer: None,
    }));
    (Gathered(Rc::clone(&shared)), Flush { shared, company, turns: 0 })
}

impl<S: AsyncWrite + Unpin> Shared<S> {
    /// Waits until there is room; then takes what fits.
    fn take(&mut self, cx: &Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        if let Some(failed) = self.failed {
            return Poll::Ready(Err(failed.into()));
        }
        let mut room = WAITING_BYTES_MAX.saturating_sub(self.waiting.len());
        if room == 0 {
            self.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let before = self.waiting.len();
        for buf in bufs {
            let length = buf.len().min(room);
            self.waiting.extend_from_slice(&buf[..length]);
            room -= length;
        }
        if let Some(flush) = self.flush.take() {
            flush.wake();
        }
        Poll::Ready(Ok(self.waiting.len() - before))
    }

    fn send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.waiting.is_empty() {
            self.unflushed = true;
            let sent = ready!(Pin::new(&mut self.io).poll_write(cx, &self.waiting))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.waiting.advance(sent);
            self.wake_writer();
        }
        if self.waiting.capacity() > KEPT_BYTES_MAX {
            self.waiting = BytesMut::new();
        }
        if self.unflushed {
            ready!(Pin::new(&mut self.io).poll_flush(cx))?;
            self.unflushed = false;
            self.wake_writer();
        }
        Poll::Ready(Ok(()))
    }

    fn wake_writer(&mut self) {
        if let Some(writer) = self.writer.take() {
            writer.wake();
        }
    }
}

impl<S: AsyncWrite + Unpin> Future for Flush<S> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let mut shared = this.shared.borrow_mut();
        if shared.over {
            return Poll::Ready(());
        }
        let may_grow = this.company.has_others() && shared.waiting.len() < ENOUGH_BYTES;
        if !shared.waiting.is_empty() && this.turns < TURNS && may_grow {
            this.turns += 1;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        match shared.send(cx) {
            Poll::Ready(Err(error)) => {
                shared.failed = Some(error.kind());
                shared.wake_writer();
                return Poll::Ready(());
            }
            Poll::Ready(Ok(())) => {
                this.turns = 0;
                this.company.sent();
            }
            Poll::Pending => {}
        }
        shared.flush = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gathered<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0.borrow_mut().io).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gathered<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.0.borrow_mut().take(cx, &[IoSlice::new(buf)])
    }

    /// What was written will be sent: nobody here needs to know when.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.0.borrow().failed.map_or(Ok(()), |failed| Err(failed.into())))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut shared = self.0.borrow_mut();
        if let Some(failed) = shared.failed {
            return Poll::Ready(Err(failed.into()));
        }
        if !shared.waiting.is_empty() || shared.unflushed {
            shared.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Pin::new(&mut shared.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0.borrow_mut().take(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }
}

impl<S> Drop for Gathered<S> {
    fn drop(&mut self) {
        let mut shared = self.0.borrow_mut();
        shared.over = true;
        if let Some(flush) = shared.flush.take() {
            flush.wake();
        }
    }
}

#[cfg(test)]
mod tests;
