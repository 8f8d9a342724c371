//! The HTTPS side: connections of API servers, and one review in each request, everything about them bounded.

mod connection;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Body, Bytes},
    header::{ALLOW, CONTENT_TYPE, HeaderValue},
};
use rustls::ServerConfig;
use tokio::{
    net::TcpListener,
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use weft_runtime::{Shutdown, Tasks, workers};

use crate::{config::Installation, metrics::Metrics, review::review};

/// The only path.
pub const PATH: &str = "/inject";

/// Connections at once: each API server keeps one or two. More wait in the backlog.
const CONNECTIONS_MAX: usize = 256;
/// Reviews whose bodies are read or answered at once; others wait.
const REVIEWS_MAX: usize = 16;
/// Bytes of a review. An API server takes objects of at most 3 MiB; around them are the user, options and escapes.
const BODY_BYTES_MAX: usize = 8 * 1024 * 1024;
/// How long an answer may take, the wait for its turn included. API servers give up after 5 s.
const REVIEW_WAIT: Duration = Duration::from_secs(4);
/// After SIGTERM connections are still taken for so long: API servers learn only by and by that this replica ends.
const WITHDRAWAL: Duration = Duration::from_secs(3);
/// Out of file descriptors, mostly: trying again at once would only burn time.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The webhook.
pub struct Server {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    reviewer: Arc<Reviewer>,
    shutdown: Shutdown,
    tasks: Tasks,
}

/// What answers requests, whichever connection they come by.
pub(crate) struct Reviewer {
    installation: Installation,
    metrics: Metrics,
    turns: Semaphore,
}

/// Why a request gets no review for an answer.
enum Fault {
    Path,
    Method,
    MediaType,
    TooLarge,
    Broken,
    Malformed(String),
    Slow,
}

impl Server {
    /// Listens on `addr`. Must run inside a runtime; its tasks belong to `tasks`.
    pub fn bind(
        addr: SocketAddr,
        tls: Arc<ServerConfig>,
        installation: Installation,
        metrics: Metrics,
        shutdown: Shutdown,
        tasks: Tasks,
    ) -> io::Result<Self> {
        let listener = TcpListener::from_std(workers::listen(addr)?)?;
        let reviewer = Arc::new(Reviewer { installation, metrics, turns: Semaphore::new(REVIEWS_MAX) });
        Ok(Self { listener, acceptor: TlsAcceptor::from(tls), reviewer, shutdown, tasks })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Takes connections until the process drains, and a little longer; then lets all of them finish.
    pub async fn run(self) {
        let withdrawn = async {
            self.shutdown.draining().await;
            sleep(WITHDRAWAL).await;
        };
        let (end, ends) = Shutdown::manual();
        tokio::select! {
            () = self.accept(&ends) => {}
            () = withdrawn => end.drain(),
        }
    }

    async fn accept(&self, ends: &Shutdown) {
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let place = places.clone().acquire_owned().await.expect("nobody closes the semaphore");
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    let (acceptor, reviewer) = (self.acceptor.clone(), self.reviewer.clone());
                    let (ends, tasks) = (ends.clone(), self.tasks.clone());
                    self.tasks.spawn("connection", async move {
                        connection::serve(stream, peer, acceptor, reviewer, ends, tasks).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection: trying again");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

impl Reviewer {
    /// Answers one request, whatever it is.
    async fn answer<B>(&self, request: Request<B>) -> Response<Full<Bytes>>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let timer = self.metrics.seconds.start_timer();
        let answered = timeout(REVIEW_WAIT, self.review(request)).await;
        timer.observe_duration();
        match answered.unwrap_or(Err(Fault::Slow)) {
            Ok(body) => response(StatusCode::OK, "application/json", body),
            Err(fault) => {
                self.metrics.count("error");
                tracing::warn!(reason = %fault, "a request is no review");
                let mut response =
                    response(fault.status(), "text/plain; charset=utf-8", fault.to_string().into_bytes());
                if matches!(fault, Fault::Method) {
                    // RFC 9110, 15.5.6: such an answer says what is allowed.
                    response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
                }
                response
            }
        }
    }

    async fn review<B>(&self, request: Request<B>) -> Result<Vec<u8>, Fault>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        if request.uri().path() != PATH {
            return Err(Fault::Path);
        }
        if request.method() != Method::POST {
            return Err(Fault::Method);
        }
        let is_json = |value: &HeaderValue| {
            let text = value.to_str().unwrap_or_default();
            text.split(';').next().is_some_and(|name| name.trim().eq_ignore_ascii_case("application/json"))
        };
        if !request.headers().get(CONTENT_TYPE).is_some_and(is_json) {
            return Err(Fault::MediaType);
        }
        if request.body().size_hint().lower() > BODY_BYTES_MAX as u64 {
            return Err(Fault::TooLarge);
        }
        let _turn = self.turns.acquire().await.expect("nobody closes the semaphore");
        let body = Limited::new(request.into_body(), BODY_BYTES_MAX)
            .collect()
            .await
            .map_err(|error| if error.is::<LengthLimitError>() { Fault::TooLarge } else { Fault::Broken })?;
        let answer = review(&body.to_bytes(), &self.installation)
            .map_err(|malformed| Fault::Malformed(malformed.to_string()))?;
        self.metrics.count(answer.outcome);
        tracing::info!(outcome = answer.outcome, "{}", answer.note);
        Ok(answer.body)
    }
}

impl Fault {
    fn status(&self) -> StatusCode {
        match self {
            Self::Path => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Broken | Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::Slow => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Path => write!(f, "there is nothing here: reviews go to {PATH}"),
            Self::Method => write!(f, "reviews are sent by POST"),
            Self::MediaType => write!(f, "reviews are of type application/json"),
            Self::TooLarge => write!(f, "the body is longer than {BODY_BYTES_MAX} bytes"),
            Self::Broken => write!(f, "the body broke off"),
            Self::Malformed(reason) => f.write_str(reason),
            Self::Slow => write!(f, "no answer within {} s: ask again", REVIEW_WAIT.as_secs()),
        }
    }
}

fn response(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
