//! The body of a request on its way to an upstream, kept up to a bound so that another try can send it again.
//!
//! It flows while it is kept: a streaming call is never held back until its body is complete.

use std::{
    cell::RefCell,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;

use super::{
    headers::strip_trailers,
    source::{BodyError, Source},
};

/// The body of a request as one try sends it.
pub enum RequestBody {
    /// None.
    Empty,
    /// One that may be sent again.
    Replay(Replay),
    /// One that is sent once.
    Once(Incoming),
    /// One that is made here.
    Own(Full<Bytes>),
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut frame = match &mut *self {
            Self::Empty => return Poll::Ready(None),
            Self::Replay(body) => ready!(Pin::new(body).poll_frame(cx)),
            Self::Once(body) => {
                ready!(Pin::new(body).poll_frame(cx)).map(|frame| frame.map_err(BodyError::Caller))
            }
            Self::Own(body) => return Pin::new(body).poll_frame(cx).map_err(|never| match never {}),
        };
        if let Some(trailers) = frame.as_mut().and_then(|frame| frame.as_mut().ok()?.trailers_mut()) {
            strip_trailers(trailers);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Replay(body) => body.is_end_stream(),
            Self::Once(body) => body.is_end_stream(),
            Self::Own(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Replay(body) => body.size_hint(),
            Self::Once(body) => body.size_hint(),
            Self::Own(body) => body.size_hint(),
        }
    }
}

/// The original body, and what of it has been kept.
pub struct Kept {
    rest: Source,
    frames: Vec<Bytes>,
    trailers: Option<HeaderMap>,
    ended: bool,
    malformed: bool,
    bytes: usize,
    bytes_max: usize,
    /// The try that reads now: an abandoned connection may still hold an older body, which must not take frames away.
    reader: u32,
}

impl Kept {
    /// Keeps at most `bytes_max` bytes of `body`; 0 = it can be sent once.
    pub fn new(body: Source, bytes_max: usize) -> Rc<RefCell<Self>> {
        let (ended, frames) = (body.is_end_stream(), Vec::new());
        Rc::new(RefCell::new(Self {
            rest: body,
            frames,
            trailers: None,
            ended,
            malformed: false,
            bytes: 0,
            bytes_max,
            reader: 0,
        }))
    }

    /// Whether everything that has been read is still here.
    pub fn can_replay(&self) -> bool {
        self.bytes <= self.bytes_max
    }

    /// Whether it did not keep to its own framing.
    pub fn is_malformed(&self) -> bool {
        self.malformed
    }

    fn keep(&mut self, data: &Bytes) {
        self.bytes = self.bytes.saturating_add(data.len());
        if self.can_replay() {
            self.frames.push(data.clone());
        } else {
            self.frames = Vec::new();
        }
    }
}

/// The body of one try.
pub struct Replay {
    kept: Rc<RefCell<Kept>>,
    reader: u32,
    next: usize,
    trailers_sent: bool,
}

impl Replay {
    /// From the first byte on; the bodies of earlier tries read no more.
    pub fn start(kept: &Rc<RefCell<Kept>>) -> Self {
        let reader = {
            let mut kept = kept.borrow_mut();
            kept.reader += 1;
            kept.reader
        };
        Self { kept: Rc::clone(kept), reader, next: 0, trailers_sent: false }
    }
}

impl Body for Replay {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let mut kept = this.kept.borrow_mut();
        if kept.reader != this.reader {
            return Poll::Ready(Some(Err(BodyError::Superseded)));
        }
        if let Some(data) = kept.frames.get(this.next) {
            this.next += 1;
            return Poll::Ready(Some(Ok(Frame::data(data.clone()))));
        }
        if kept.ended {
            let trailers =
                kept.trailers.clone().filter(|_| !std::mem::replace(&mut this.trailers_sent, true));
            return Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))));
        }
        let Some(frame) = ready!(Pin::new(&mut kept.rest).poll_frame(cx)) else {
            kept.ended = true;
            return Poll::Ready(None);
        };
        let frame = frame.inspect_err(|error| kept.malformed = error.is_malformed())?;
        if let Some(data) = frame.data_ref() {
            kept.keep(data);
            this.next = kept.frames.len();
        } else if let Some(trailers) = frame.trailers_ref() {
            kept.trailers = Some(trailers.clone());
            kept.ended = true;
            this.trailers_sent = true;
        }
        if kept.rest.is_end_stream() {
            kept.ended = true;
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        let kept = self.kept.borrow();
        kept.ended && self.next >= kept.frames.len() && (self.trailers_sent || kept.trailers.is_none())
    }

    fn size_hint(&self) -> SizeHint {
        let kept = self.kept.borrow();
        let waiting: u64 = kept.frames.iter().skip(self.next).map(|data| data.len() as u64).sum();
        if kept.ended {
            return SizeHint::with_exact(waiting);
        }
        let rest = kept.rest.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(waiting + rest.lower());
        if let Some(upper) = rest.upper() {
            hint.set_upper(waiting + upper);
        }
        hint
    }
}

#[cfg(test)]
mod tests;
