//! The body of a response on its way to the caller, watched to its end.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

/// Who must know how a response went on after its headers.
pub trait Watch: Unpin {
    /// So many bytes were handed to the caller's connection.
    fn sent(&mut self, bytes: usize);
    /// These came after the body.
    fn trailers(&mut self, trailers: &HeaderMap);
    /// It is over.
    fn ended(&mut self, end: End);
}

/// How a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// To the last byte.
    Complete,
    /// The upstream broke off.
    Broken,
    /// The caller went away.
    Cancelled,
}

enum Source {
    Local(Option<Bytes>),
    Upstream(Incoming),
}

/// A response body that tells its watch how it goes.
pub struct Watched<W: Watch> {
    source: Source,
    watch: Option<Box<W>>,
}

impl<W: Watch> Watched<W> {
    /// A body made here; empty = none.
    pub fn local(body: Bytes, watch: Box<W>) -> Self {
        Self { source: Source::Local(Some(body).filter(|body| !body.is_empty())), watch: Some(watch) }
    }

    /// A body that comes from an upstream.
    pub fn upstream(body: Incoming, watch: Box<W>) -> Self {
        Self { source: Source::Upstream(body), watch: Some(watch) }
    }

    fn end(&mut self, end: End) {
        if let Some(mut watch) = self.watch.take() {
            watch.ended(end);
        }
    }
}

impl<W: Watch> Body for Watched<W> {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let frame = match &mut self.source {
            Source::Local(body) => body.take().map(|body| Ok(Frame::data(body))),
            Source::Upstream(body) => ready!(Pin::new(body).poll_frame(cx)),
        };
        match &frame {
            Some(Ok(frame)) => {
                if let Some(watch) = &mut self.watch {
                    match (frame.data_ref(), frame.trailers_ref()) {
                        (Some(data), _) => watch.sent(data.len()),
                        (_, Some(trailers)) => watch.trailers(trailers),
                        _ => {}
                    }
                }
            }
            Some(Err(_)) => self.end(End::Broken),
            None => self.end(End::Complete),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Local(body) => body.is_none(),
            Source::Upstream(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Local(body) => SizeHint::with_exact(body.as_ref().map_or(0, |body| body.len() as u64)),
            Source::Upstream(body) => body.size_hint(),
        }
    }
}

impl<W: Watch> Drop for Watched<W> {
    fn drop(&mut self) {
        // A body whose length is known is not polled past its last byte.
        let end = if self.is_end_stream() { End::Complete } else { End::Cancelled };
        self.end(end);
    }
}
