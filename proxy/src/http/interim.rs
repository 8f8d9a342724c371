//! Interim responses (RFC 9110, 15.2), such as 103 Early Hints: what an upstream says before its final response, on its way
//! to the caller.
//!
//! hyper hands them over where it is a client of HTTP/1.1, and has no way to send any. To a caller by HTTP/1.1 they are
//! written beneath it, by [`rest`](super::rest). Between two sidecars that speak HTTP/2 they are [folded](Interim::fold): the
//! response begins at once, and its body holds their heads, the head of the final response, and the body of that.

use std::{
    collections::VecDeque,
    fmt::Write,
    future::poll_fn,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use bytes::{Bytes, BytesMut};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header::CONTENT_LENGTH,
};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use weft_api::names;

use super::headers;

/// Interim responses that are taken of one upstream for one request.
const HEADS_MAX: u32 = 8;
/// Bytes of them for one request, and of the head of a response that comes folded.
const BYTES_MAX: usize = 64 * 1024;
/// Bytes of a head, as most are.
const HEAD_BYTES: usize = 256;

/// What HTTP/1.1 has at the end of a head.
const END: &[u8] = b"\r\n\r\n";

/// Why there is no final response after interim ones.
#[derive(Debug, thiserror::Error)]
pub enum InterimError {
    /// There are more than are taken.
    #[error("more than {HEADS_MAX} interim responses, or {BYTES_MAX} bytes of them")]
    Flood,
    /// Another sidecar has folded them in another way than this one.
    #[error("interim responses that cannot be understood")]
    Malformed,
    /// The response broke off before.
    #[error("{0}")]
    Broken(hyper::Error),
}

/// The interim responses to one request, between who hears them and who tells them. All in one thread: shared by a lock only
/// because hyper wants what it calls to be `Sync`.
#[derive(Clone, Debug, Default)]
pub struct Interim(Arc<Mutex<Heads>>);

#[derive(Debug, Default)]
struct Heads {
    /// What nobody has told the caller yet.
    waiting: VecDeque<Bytes>,
    /// Bytes that have come so far.
    bytes: usize,
    /// The try whose upstream is heard: an abandoned connection may still say something.
    attempt: u32,
    /// What this upstream has said so far.
    count: u32,
    flooded: bool,
    /// Who waits for more.
    waker: Option<Waker>,
}

impl Interim {
    /// Hears, from now on, what is said before the response to `request`, and to no earlier one. `folds`: whether another
    /// sidecar answers it by HTTP/2.
    pub fn listen<B>(&self, request: &mut Request<B>, folds: bool) {
        let attempt = {
            let mut heads = self.heads();
            heads.attempt += 1;
            heads.count = 0;
            heads.flooded = false;
            heads.attempt
        };
        if !folds {
            let told = self.clone();
            hyper::ext::on_informational(request, move |head| {
                if told.heads().attempt == attempt {
                    told.tell(head.status(), head.headers());
                }
            });
        } else if may_fold(request.method()) {
            request.headers_mut().insert(names::HEADER_INTERIM, HeaderValue::from_static(""));
        }
    }

    /// An interim response has come.
    pub(super) fn tell(&self, status: StatusCode, headers: &HeaderMap) {
        let mut heads = self.heads();
        heads.count += 1;
        // Whoever has asked for 100 has had it, when the sidecar asked for the body.
        if status != StatusCode::CONTINUE {
            let mut headers = headers.clone();
            // Nothing in it decides about anything here.
            let _ = headers::strip_hop_by_hop(&mut headers);
            headers::strip_ours(&mut headers);
            headers.remove(CONTENT_LENGTH);
            let head = encode(status, &headers);
            heads.bytes += head.len();
            heads.waiting.push_back(head);
        }
        if heads.count > HEADS_MAX || heads.bytes > BYTES_MAX {
            heads.waiting.pop_back();
            heads.flooded = true;
        }
        if let Some(waker) = heads.waker.take() {
            waker.wake();
        }
    }

    /// The heads that have come since the last time, each as HTTP/1.1 has it; the task is woken when there are more.
    pub(super) fn take(&self, cx: &Context<'_>) -> VecDeque<Bytes> {
        let mut heads = self.heads();
        heads.waker = Some(cx.waker().clone());
        std::mem::take(&mut heads.waiting)
    }

    /// What becomes of `sending`, unless there is a flood before it. Somebody must [take](Self::take) heads in the same task.
    pub async fn unless_flooded<T>(
        &self,
        mut sending: Pin<&mut impl Future<Output = T>>,
    ) -> Result<T, InterimError> {
        poll_fn(|cx| {
            // First, since it is what hears them.
            let sent = sending.as_mut().poll(cx);
            if self.heads().flooded { Poll::Ready(Err(InterimError::Flood)) } else { sent.map(Ok) }
        })
        .await
    }

    fn heads(&self) -> MutexGuard<'_, Heads> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a response to this method may have a body that others could be folded into.
pub(super) fn may_fold(method: &Method) -> bool {
    !matches!(*method, Method::HEAD | Method::CONNECT)
}

/// One head, as HTTP/1.1 has it.
fn encode(status: StatusCode, headers: &HeaderMap) -> Bytes {
    let mut head = BytesMut::with_capacity(HEAD_BYTES);
    let reason = status.canonical_reason().unwrap_or_default();
    let _ = write!(head, "HTTP/1.1 {} {reason}\r\n", status.as_str());
    for (name, value) in headers {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            head.extend_from_slice(part);
        }
    }
    head.extend_from_slice(&END[2..]);
    head.freeze()
}

/// The reverse of [`encode`].
fn decode(head: &[u8]) -> Option<(StatusCode, HeaderMap)> {
    let mut lines = head.strip_suffix(END)?.split(|byte| *byte == b'\n');
    let mut line = || lines.next().map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let status = StatusCode::from_bytes(line()?.strip_prefix(b"HTTP/1.1 ")?.get(..3)?).ok()?;
    let mut headers = HeaderMap::new();
    while let Some(line) = line() {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = HeaderName::from_bytes(&line[..colon]).ok()?;
        let value = HeaderValue::from_bytes(line[colon + 1..].strip_prefix(b" ")?).ok()?;
        headers.append(name, value);
    }
    Some((status, headers))
}

/// The body of a response to another sidecar.
pub enum Folded<F, B> {
    /// As it is: nothing came before the final response.
    Plain(B),
    /// With the heads of interim responses, and of the final one, before it.
    Heads {
        /// What is to be told next.
        heads: VecDeque<Bytes>,
        /// What comes after it.
        rest: Rest<F, B>,
    },
}

/// What a response that is folded still waits for.
pub enum Rest<F, B> {
    /// More heads, the final one among them.
    Response(F, Interim),
    /// The body alone.
    Body(B),
}

impl Interim {
    /// The response of `respond`. If there is anything before it, it begins now, and is folded.
    pub(super) async fn fold<F, B>(self, mut respond: F) -> Response<Folded<F, B>>
    where
        F: Future<Output = Response<B>> + Unpin,
    {
        let (mut heads, response) = poll_fn(|cx| {
            let response = Pin::new(&mut respond).poll(cx);
            let heads = self.take(cx);
            if heads.is_empty() && response.is_pending() {
                Poll::Pending
            } else {
                Poll::Ready((heads, response))
            }
        })
        .await;
        let rest = match response {
            Poll::Ready(response) if heads.is_empty() => return response.map(Folded::Plain),
            Poll::Ready(response) => {
                let (parts, body) = response.into_parts();
                heads.push_back(encode(parts.status, &parts.headers));
                Rest::Body(body)
            }
            Poll::Pending => Rest::Response(respond, self),
        };
        let mut folded = Response::new(Folded::Heads { heads, rest });
        folded.headers_mut().insert(names::HEADER_INTERIM, HeaderValue::from_static(""));
        folded
    }

    /// The final response that another sidecar has folded into `response`, once it has come.
    pub async fn unfold(&self, response: Response<Incoming>) -> Result<Response<Incoming>, InterimError> {
        if !response.headers().contains_key(names::HEADER_INTERIM) {
            return Ok(response);
        }
        let mut body = response.into_body();
        let mut head = BytesMut::new();
        loop {
            let frame = body.frame().await.ok_or(InterimError::Malformed)?.map_err(InterimError::Broken)?;
            let data = frame.into_data().map_err(|_| InterimError::Malformed)?;
            head.extend_from_slice(&data);
            if head.len() > BYTES_MAX {
                return Err(InterimError::Malformed);
            }
            // A head may come in several frames, but no frame holds bytes of two.
            if !head.ends_with(END) {
                continue;
            }
            let (status, headers) = decode(&head).ok_or(InterimError::Malformed)?;
            head.clear();
            match status {
                StatusCode::SWITCHING_PROTOCOLS => return Err(InterimError::Malformed),
                status if status.is_informational() => self.tell(status, &headers),
                status => {
                    let mut response = Response::new(body);
                    (*response.status_mut(), *response.headers_mut()) = (status, headers);
                    return Ok(response);
                }
            }
        }
    }
}

impl<F, B> Body for Folded<F, B>
where
    F: Future<Output = Response<B>> + Unpin,
    B: Body<Data = Bytes> + Unpin,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let (heads, rest) = match &mut *self {
            Self::Plain(body) => return Pin::new(body).poll_frame(cx),
            Self::Heads { heads, rest } => (heads, rest),
        };
        if heads.is_empty()
            && let Rest::Response(respond, interim) = rest
        {
            let response = Pin::new(respond).poll(cx);
            heads.append(&mut interim.take(cx));
            match response {
                Poll::Pending if heads.is_empty() => return Poll::Pending,
                Poll::Pending => {}
                Poll::Ready(response) => {
                    let (parts, body) = response.into_parts();
                    heads.push_back(encode(parts.status, &parts.headers));
                    *rest = Rest::Body(body);
                }
            }
        }
        match (heads.pop_front(), rest) {
            (Some(head), _) => Poll::Ready(Some(Ok(Frame::data(head)))),
            (None, Rest::Body(body)) => Pin::new(body).poll_frame(cx),
            (None, Rest::Response(..)) => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Plain(body) => body.is_end_stream(),
            Self::Heads { heads, rest: Rest::Body(body) } => heads.is_empty() && body.is_end_stream(),
            Self::Heads { .. } => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Plain(body) => body.size_hint(),
            Self::Heads { .. } => SizeHint::new(),
        }
    }
}

#[cfg(test)]
mod tests;
