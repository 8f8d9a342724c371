//! An application that does as the test says, and remembers who asked what.

use std::{
    collections::VecDeque,
    net::{self, Ipv4Addr, SocketAddr},
    pin::{Pin, pin},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::{
    body::{Frame, Incoming},
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::sleep,
};
use weft_runtime::{Shutdown, Tasks, shutdown::Trigger};

use crate::{
    client::{Version, try_get},
    patience::PATIENCE,
};

/// What the application does with a request.
#[derive(Clone, Debug)]
pub enum Reply {
    /// Reads the body, and answers this status, with the application's name as the body.
    Status(u16),
    /// The same with one more header.
    Header(u16, &'static str, &'static str),
    /// Sends the body back while it arrives.
    Echo,
    /// Sends the body back with `grpc-status: 0` in the trailers.
    Grpc,
    /// Closes the connection instead of an answer.
    Hangup,
    /// Answers 200 once the gate opens.
    Held(Gate),
    /// Answers 200 with the first byte of a body, and ends it once the gate opens.
    Streamed(Gate),
    /// Answers 200 so much later.
    Late(Duration),
    /// Calls another one at this address, and answers 200 if that did, else 500: most services are like that.
    Call(SocketAddr),
}

/// Holds answers back until it is opened.
#[derive(Clone, Debug)]
pub struct Gate(Arc<Semaphore>);

impl Gate {
    /// A closed gate.
    pub fn closed() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }

    /// Lets everybody pass from now on.
    pub fn open(&self) {
        // A closed semaphore turns everybody away at once, which is how they pass here.
        self.0.close();
    }

    /// Waits until everybody may pass.
    pub async fn pass(&self) {
        let _ = self.0.acquire().await;
    }
}

/// A request as the application saw it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Method.
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// Version of HTTP.
    pub version: http::Version,
    /// Headers.
    pub headers: HeaderMap,
}

impl Seen {
    /// A header, or nothing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// A running application. Dropped, it is gone, with its connections.
pub struct Backend {
    address: SocketAddr,
    state: Arc<State>,
    trigger: Trigger,
    tasks: Tasks,
}

struct State {
    name: &'static str,
    script: Mutex<Script>,
}

struct Script {
    first: VecDeque<Reply>,
    always: Reply,
    seen: Vec<Seen>,
}

impl Backend {
    /// Starts an application that speaks one version of HTTP.
    pub async fn start(name: &'static str, version: Version, always: Reply) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("loopback has free ports");
        Self::accepting(listener, name, version, always)
    }

    /// The same where somebody listens already, such as in a pod.
    pub fn at(listener: net::TcpListener, name: &'static str, version: Version, always: Reply) -> Self {
        let listener = listener.set_nonblocking(true).and_then(|()| TcpListener::from_std(listener));
        Self::accepting(listener.expect("it listens"), name, version, always)
    }

    fn accepting(listener: TcpListener, name: &'static str, version: Version, always: Reply) -> Self {
        let address = listener.local_addr().expect("it listens");
        let script = Script { first: VecDeque::new(), always, seen: Vec::new() };
        let state = Arc::new(State { name, script: Mutex::new(script) });
        let (tasks, (trigger, shutdown)) = (Tasks::new(), Shutdown::manual());
        tasks.spawn("backend", accept(listener, version, Arc::clone(&state), shutdown));
        Self { address, state, trigger, tasks }
    }

    /// An application that answers 200 by HTTP/1.1.
    pub async fn healthy(name: &'static str) -> Self {
        Self::start(name, Version::Http1, Reply::Status(200)).await
    }

    /// Ends as applications do that are asked to: nobody listens any more, what is under way is answered, and connections
    /// are closed, or said to be.
    pub async fn stop(self) {
        self.trigger.drain();
        let left = self.tasks.join_all(PATIENCE).await;
        assert!(left.is_empty(), "the application did not end");
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on does this.
    pub fn always(&self, reply: Reply) {
        self.state.script().always = reply;
    }

    /// Does this first, each once, and then as before.
    pub fn first(&self, replies: impl IntoIterator<Item = Reply>) {
        self.state.script().first.extend(replies);
    }

    /// Every request so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.state.script().seen.clone()
    }

    /// How many requests there were so far.
    pub fn count(&self) -> usize {
        self.state.script().seen.len()
    }
}

impl State {
    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of a request, and says what to do with it.
    fn note(&self, request: &Request<Incoming>) -> Reply {
        let path = request.uri().path_and_query().map_or_else(String::new, ToString::to_string);
        let seen = Seen {
            method: request.method().clone(),
            path,
            version: request.version(),
            headers: request.headers().clone(),
        };
        let mut script = self.script();
        script.seen.push(seen);
        script.first.pop_front().unwrap_or_else(|| script.always.clone())
    }
}

async fn accept(listener: TcpListener, version: Version, state: Arc<State>, shutdown: Shutdown) {
    let connections = Tasks::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.draining() => break,
        };
        let Ok((stream, _)) = accepted else { break };
        let serving = serve(stream, version, Arc::clone(&state), shutdown.clone());
        connections.spawn("backend connection", serving);
    }
    drop(listener);
    connections.join_all(PATIENCE).await;
}

async fn serve(stream: TcpStream, version: Version, state: Arc<State>, shutdown: Shutdown) {
    // Without it trailers wait for the peer's acknowledgement of what is before them (Nagle's algorithm).
    let _ = stream.set_nodelay(true);
    let io = TokioIo::new(stream);
    let service = service_fn(move |request| answer(Arc::clone(&state), request));
    // An error is the caller's going away, or the hanging up that the test asked for. The two arms are alike, but hyper
    // gives the two connections no trait in common.
    match version {
        Version::Http1 => {
            let mut connection = pin!(http1::Builder::new().serve_connection(io, service));
            tokio::select! {
                _ = connection.as_mut() => return,
                () = shutdown.draining() => connection.as_mut().graceful_shutdown(),
            }
            drop(connection.await);
        }
        Version::Http2 => {
            let mut connection =
                pin!(http2::Builder::new(TokioExecutor::new()).serve_connection(io, service));
            tokio::select! {
                _ = connection.as_mut() => return,
                () = shutdown.draining() => connection.as_mut().graceful_shutdown(),
            }
            drop(connection.await);
        }
    }
}

type Body = BoxBody<Bytes, hyper::Error>;

async fn answer(state: Arc<State>, request: Request<Incoming>) -> anyhow::Result<Response<Body>> {
    let reply = state.note(&request);
    match reply {
        Reply::Status(status) => named(&state, status, request).await,
        Reply::Header(status, name, value) => {
            let mut response = named(&state, status, request).await?;
            response.headers_mut().insert(name, HeaderValue::from_static(value));
            Ok(response)
        }
        Reply::Echo => Ok(Response::new(request.into_body().boxed())),
        Reply::Grpc => {
            let body = request.into_body().collect().await?.to_bytes();
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", HeaderValue::from_static("0"));
            trailers.insert("grpc-message", HeaderValue::from_static("fine"));
            let body = Full::new(body).with_trailers(std::future::ready(Some(Ok(trailers))));
            let mut response = Response::new(body.map_err(|never| match never {}).boxed());
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
            Ok(response)
        }
        Reply::Hangup => anyhow::bail!("hanging up, as the test asked for"),
        Reply::Held(gate) => {
            gate.pass().await;
            named(&state, 200, request).await
        }
        Reply::Streamed(gate) => {
            let rest = Box::pin(async move { gate.pass().await });
            Ok(Response::new(Begun { first: Some(Bytes::from_static(b"x")), rest }.boxed()))
        }
        Reply::Late(delay) => {
            sleep(delay).await;
            named(&state, 200, request).await
        }
        Reply::Call(address) => {
            let served = try_get(address, "/").await.is_ok_and(|answer| answer.status == StatusCode::OK);
            named(&state, if served { 200 } else { 500 }, request).await
        }
    }
}

/// A body that has begun, and ends with a future.
struct Begun {
    first: Option<Bytes>,
    rest: Pin<Box<dyn Future<Output = ()> + Send + Sync>>,
}

impl hyper::body::Body for Begun {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        self.rest.as_mut().poll(context).map(|()| None)
    }
}

/// Reads the request to its end, and answers with the application's name.
async fn named(state: &State, status: u16, request: Request<Incoming>) -> anyhow::Result<Response<Body>> {
    request.into_body().collect().await?;
    let body = Full::new(Bytes::from_static(state.name.as_bytes()));
    let mut response = Response::new(body.map_err(|never| match never {}).boxed());
    *response.status_mut() = StatusCode::from_u16(status)?;
    Ok(response)
}
