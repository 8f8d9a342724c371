//! Where the body of a request comes from: the caller, perhaps with copies made on the way; or such a copy.

use std::{
    cell::RefCell,
    collections::VecDeque,
    error::Error as _,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker, ready},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

/// So many bytes of a copy may wait to be sent. One that falls further behind is given up: the original never waits.
const COPY_BYTES_MAX: usize = 64 * 1024;

/// Why a request body ended early.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The caller's connection broke.
    #[error("the caller's body broke off: {0}")]
    Caller(#[from] hyper::Error),
    /// A later try has taken the body over.
    #[error("another try sends this body")]
    Superseded,
    /// The copy of a body fell behind, or the original ended early.
    #[error("the copy of this body was given up")]
    Incomplete,
}

impl BodyError {
    /// Whether the caller's body does not keep to its own framing, as one does that breaks off.
    pub fn is_malformed(&self) -> bool {
        let Self::Caller(error) = self else { return false };
        let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
        cause.is_some_and(|cause| {
            matches!(cause.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData)
        })
    }
}

/// The body of a request, read once.
pub enum Source {
    /// From the caller.
    Caller {
        /// Its body.
        body: Incoming,
        /// Those who get the same.
        copies: Vec<Copier>,
    },
    /// A copy of what another request has from the caller.
    Copy(Copied),
}

/// The end of a copy that is written. Dropped before the body is over, it gives the copy up.
pub struct Copier(Rc<RefCell<Queue>>);

/// The end of a copy that is read.
pub struct Copied(Rc<RefCell<Queue>>);

/// A copy, with both its ends.
pub fn copy() -> (Copier, Copied) {
    let queue = Rc::new(RefCell::new(Queue::default()));
    (Copier(Rc::clone(&queue)), Copied(queue))
}

#[derive(Default)]
struct Queue {
    frames: VecDeque<Bytes>,
    bytes: usize,
    trailers: Option<HeaderMap>,
    end: Option<End>,
    reader: Option<Waker>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Complete,
    GivenUp,
}

impl Queue {
    fn end(&mut self, end: End) {
        if self.end.is_none() {
            self.end = Some(end);
            if end == End::GivenUp {
                self.frames = VecDeque::new();
            }
            self.wake();
        }
    }

    fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

impl Copier {
    fn push(&self, frame: &Frame<Bytes>) {
        // Nobody reads it any more.
        if Rc::strong_count(&self.0) == 1 {
            return;
        }
        let mut queue = self.0.borrow_mut();
        if queue.end.is_some() {
            return;
        }
        if let Some(data) = frame.data_ref() {
            queue.bytes += data.len();
            if queue.bytes > COPY_BYTES_MAX {
                return queue.end(End::GivenUp);
            }
            queue.frames.push_back(data.clone());
            queue.wake();
        } else if let Some(trailers) = frame.trailers_ref() {
            queue.trailers = Some(trailers.clone());
            queue.end(End::Complete);
        }
    }

    /// The body is over.
    pub fn finish(&self) {
        self.0.borrow_mut().end(End::Complete);
    }
}

impl Drop for Copier {
    fn drop(&mut self) {
        self.0.borrow_mut().end(End::GivenUp);
    }
}

impl Copied {
    fn poll_frame(&self, cx: &Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut queue = self.0.borrow_mut();
        if let Some(data) = queue.frames.pop_front() {
            queue.bytes -= data.len();
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        match queue.end {
            None => {
                queue.reader = Some(cx.waker().clone());
                Poll::Pending
            }
            Some(End::Complete) => {
                Poll::Ready(queue.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))))
            }
            Some(End::GivenUp) => Poll::Ready(Some(Err(BodyError::Incomplete))),
        }
    }

    fn is_end_stream(&self) -> bool {
        let queue = self.0.borrow();
        queue.end == Some(End::Complete) && queue.frames.is_empty() && queue.trailers.is_none()
    }
}

impl From<Incoming> for Source {
    fn from(body: Incoming) -> Self {
        Self::Caller { body, copies: Vec::new() }
    }
}

impl Body for Source {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let (body, copies) = match &mut *self {
            Self::Caller { body, copies } => (body, copies),
            Self::Copy(copied) => return copied.poll_frame(cx),
        };
        let frame = ready!(Pin::new(&mut *body).poll_frame(cx)).transpose()?;
        // A body whose length is known is not polled past its last byte.
        let is_over = frame.is_none() || body.is_end_stream();
        for copy in copies {
            if let Some(frame) = &frame {
                copy.push(frame);
            }
            if is_over {
                copy.finish();
            }
        }
        Poll::Ready(frame.map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Caller { body, .. } => body.is_end_stream(),
            Self::Copy(copied) => copied.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Caller { body, .. } => body.size_hint(),
            // `content-length` says it where the caller did.
            Self::Copy(_) => SizeHint::new(),
        }
    }
}

#[cfg(test)]
mod tests;
