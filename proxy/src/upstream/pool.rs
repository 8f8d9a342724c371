//! Pools of one worker: for HTTP/1.1 a stack of idle connections, for HTTP/2 one connection that all requests share.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    error::Error as _,
    io,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{
    FutureExt,
    future::{LocalBoxFuture, Shared},
};
use http::{
    HeaderMap, Request, Response, StatusCode,
    header::{CONTENT_LENGTH, TRANSFER_ENCODING},
};
use hyper::{
    body::Incoming,
    client::conn::{TrySendError, http1, http2},
    rt::Executor,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use weft_api::names;
use weft_runtime::Tasks;

use super::{
    Peer,
    dial::{ConnectError, Io, dial, dial_as},
    heard::Heard,
};
use crate::{
    breaker::limits::{Limits, Permit},
    http::{
        gathered::gathered,
        replay::RequestBody,
        serve::{LocalExecutor, Version},
        source::BodyError,
    },
};

/// Idle HTTP/1.1 connections are closed after this time: shorter than the 5 s after which Node.js and others close
/// theirs, so that a request rarely meets a connection that is just ending.
const IDLE: Duration = Duration::from_secs(4);
/// Idle HTTP/1.1 connections to one peer.
const IDLE_MAX: usize = 128;
/// A connection that is not ready for its next request within this time after a response is closed.
const READY_TIMEOUT: Duration = Duration::from_secs(1);
/// How often what is idle for too long is looked for.
const SWEEP: Duration = Duration::from_secs(1);
/// A silent HTTP/2 peer is asked for a sign of life after this time, and is gone when there is none within the other.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Windows as on the server side of the mesh.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
const SEND_BUFFER_MAX: usize = 64 * 1024;

/// Why there are no response headers.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// No connection came about.
    #[error("{0}")]
    Connect(ConnectError),
    /// A limit on connections is reached.
    #[error("a limit on connections is reached")]
    Overflow,
    /// The peer refused the stream, or announced its end before it: nothing was processed.
    #[error("the peer refused the stream")]
    Refused,
    /// The connection was closed before the request was written to it, twice in a row.
    #[error("the connection was closed before the request was written")]
    Stale,
    /// The connection or stream ended after the request, before response headers.
    #[error("{0}")]
    Reset(hyper::Error),
    /// A kept connection ended after the request was written to it, before response headers, or a new one was reset. The
    /// peer may have been about to close it, or its listener, and never have read the request.
    #[error("{0}, on a connection that ended")]
    Ended(hyper::Error),
    /// The response cannot be understood, or is beyond all bounds.
    #[error("{0}")]
    Malformed(hyper::Error),
    /// The response says twice how long it is: whoever believes the other one sees another response behind it (RFC 9112,
    /// 6.3).
    #[error("the response has both a transfer-encoding and a content-length")]
    TwoLengths,
    /// The peer left HTTP, which it was not asked for.
    #[error("the peer switched protocols, unasked")]
    Unasked,
    /// The caller's own body broke off.
    #[error("the caller's body broke off")]
    Caller,
    /// The caller's own body is malformed.
    #[error("the caller's body is malformed")]
    BadBody,
}

type Sender1 = http1::SendRequest<RequestBody>;
type Sender2 = http2::SendRequest<RequestBody>;

/// An HTTP/2 connection that stands.
#[derive(Clone)]
struct Link {
    sender: Sender2,
    /// Whether its peer has ever said anything.
    heard: Rc<Cell<bool>>,
}

/// The pools of one worker.
pub struct Pools {
    tasks: Tasks,
    pools: RefCell<HashMap<u64, Rc<Pool>>>,
}

struct Pool {
    peer: Arc<Peer>,
    idle: RefCell<Vec<Idle>>,
    shared: RefCell<Option<Multiplexed>>,
}

/// An HTTP/1.1 connection.
struct Single {
    sender: Sender1,
    generation: u64,
}

struct Idle {
    connection: Single,
    since: Instant,
}

/// An HTTP/2 connection.
#[derive(Clone)]
struct Multiplexed {
    stage: Stage,
    generation: u64,
}

#[derive(Clone)]
enum Stage {
    Connecting(Shared<LocalBoxFuture<'static, Result<Link, ConnectError>>>),
    Up(Link),
}

/// What a response holds of its connection.
pub struct Lease(Held);

enum Held {
    /// Nothing: the connection is shared.
    Nothing,
    /// An HTTP/1.1 connection that is busy with the response. Dropped, it is closed.
    Connection(Rc<Pool>, Single, Tasks),
    /// The place of a connection that is not of the pool.
    Place { _permit: Permit },
}

impl Pools {
    /// Pools whose connections are tasks of `tasks`.
    pub fn new(tasks: &Tasks) -> Rc<Self> {
        let pools = Rc::new(Self { tasks: tasks.clone(), pools: RefCell::default() });
        let swept = Rc::downgrade(&pools);
        tasks.spawn_local("idle connections", async move {
            let mut sweep = tokio::time::interval(SWEEP);
            loop {
                sweep.tick().await;
                let Some(pools) = swept.upgrade() else { return };
                pools.sweep(Instant::now());
            }
        });
        pools
    }

    /// Sends `request` to `peer` and waits for response headers.
    pub async fn send(
        &self,
        peer: &Arc<Peer>,
        request: Request<RequestBody>,
        limits: &Limits,
    ) -> Result<(Response<Incoming>, Lease), SendError> {
        let pool = self.pool(peer);
        match self.send_once(&pool, request, limits).await {
            // The peer had closed a kept connection, and the request came back whole: once more, unseen by anybody.
            Err(Failed { unsent: Some(request), .. }) => self.send_once(&pool, *request, limits).await,
            sent => sent,
        }
        .map_err(|failed| failed.error)
        .and_then(|sent| match sent.0.status() {
            StatusCode::SWITCHING_PROTOCOLS => Err(SendError::Unasked),
            _ => Ok(sent),
        })
    }

    /// Sends `request` over an HTTP/1.1 connection of its own, which may become something else by the response.
    pub async fn send_alone(
        &self,
        peer: &Peer,
        request: Request<RequestBody>,
        limits: &Limits,
    ) -> Result<(Response<Incoming>, Lease), SendError> {
        let pending = limits.pending.try_acquire().map_err(|_| SendError::Overflow)?;
        let permit = limits.connections.try_acquire().map_err(|_| SendError::Overflow)?;
        let io = dial_as(peer, names::ALPN_MESH_HTTP1).await.map_err(SendError::Connect)?;
        drop(pending);
        let (mut sender, connection) =
            http1::Builder::new().handshake(TokioIo::new(io)).await.map_err(|error| http_failed(&error))?;
        self.tasks.spawn_local("upstream connection", async move {
            let _ = connection.with_upgrades().await;
        });
        let response = sender.try_send_request(request).await.map_err(|failed| Failed::from(failed).error)?;
        Ok((response, Lease(Held::Place { _permit: permit })))
    }

    async fn send_once(
        &self,
        pool: &Rc<Pool>,
        request: Request<RequestBody>,
        limits: &Limits,
    ) -> Result<(Response<Incoming>, Lease), Failed> {
        match pool.peer.version {
            Version::Http2 => {
                let mut link = self.multiplexed(pool, limits).await?;
                let response = link.sender.try_send_request(request).await;
                let response = response.map_err(|failed| match Failed::from(failed) {
                    Failed { error: error @ (SendError::Reset(_) | SendError::Stale), unsent }
                        if !link.heard.get() =>
                    {
                        Failed { error: unheard(&error), unsent }
                    }
                    failed => failed,
                })?;
                Ok((response, Lease(Held::Nothing)))
            }
            Version::Http1 => {
                let kept = pool.take_idle(Instant::now());
                let is_kept = kept.is_some();
                let mut connection = match kept {
                    Some(connection) => connection,
                    None => self.dial_http1(pool, limits).await?,
                };
                let response = connection.sender.try_send_request(request).await;
                let response = response.map_err(|failed| match Failed::from(failed) {
                    Failed { error: SendError::Reset(error), unsent }
                        if is_kept && has_ended(&error) || is_reset(&error) =>
                    {
                        // Who closes one closes the others: the next request dials.
                        pool.idle.borrow_mut().clear();
                        Failed { error: SendError::Ended(error), unsent }
                    }
                    failed => failed,
                })?;
                if has_two_lengths(response.headers()) {
                    return Err(SendError::TwoLengths.into());
                }
                Ok((response, Lease(Held::Connection(Rc::clone(pool), connection, self.tasks.clone()))))
            }
        }
    }

    /// Makes a new connection to `peer`, handshake included, for requests to come. Those that stand are given up, also
    /// by other workers: they prove nothing about a peer that may have fallen silent.
    pub async fn connect(&self, peer: &Arc<Peer>, limits: &Limits) -> Result<(), SendError> {
        let pool = self.pool(peer);
        peer.distrust_connections();
        match peer.version {
            Version::Http2 => self.multiplexed(&pool, limits).await.map(drop),
            Version::Http1 => {
                let connection = self.dial_http1(&pool, limits).await?;
                pool.give_back(connection, Instant::now());
                Ok(())
            }
        }
    }

    fn pool(&self, peer: &Arc<Peer>) -> Rc<Pool> {
        let mut pools = self.pools.borrow_mut();
        Rc::clone(pools.entry(peer.id).or_insert_with(|| {
            Rc::new(Pool { peer: Arc::clone(peer), idle: RefCell::default(), shared: RefCell::default() })
        }))
    }

    /// Closes what was idle for too long, and forgets peers that are in no snapshot any more.
    fn sweep(&self, now: Instant) {
        self.pools.borrow_mut().retain(|_, pool| {
            pool.idle.borrow_mut().retain(|idle| pool.may_use(idle, now));
            let gone = Arc::strong_count(&pool.peer) == 1;
            !(gone && Rc::strong_count(pool) == 1 && pool.idle.borrow().is_empty())
        });
    }

    async fn dial_http1(&self, pool: &Rc<Pool>, limits: &Limits) -> Result<Single, SendError> {
        let generation = pool.peer.generation();
        let _pending = limits.pending.try_acquire().map_err(|_| SendError::Overflow)?;
        let permit = limits.connections.try_acquire().map_err(|_| SendError::Overflow)?;
        let io = dial(&pool.peer).await.map_err(SendError::Connect)?;
        Ok(Single { sender: self.start_http1(io, permit).await?, generation })
    }

    async fn start_http1(&self, io: Io, permit: Permit) -> Result<Sender1, SendError> {
        let (sender, connection) =
            http1::Builder::new().handshake(TokioIo::new(io)).await.map_err(|error| http_failed(&error))?;
        self.tasks.spawn_local("upstream connection", async move {
            // Whoever uses the connection learns of its end from its own request.
            let _ = connection.await;
            drop(permit);
        });
        Ok(sender)
    }

    /// The connection that all requests of this worker to one peer share: the one that stands, the one that is being
    /// made, or a new one.
    async fn multiplexed(&self, pool: &Rc<Pool>, limits: &Limits) -> Result<Link, SendError> {
        let generation = pool.peer.generation();
        let standing = pool.shared.borrow().clone().filter(|standing| standing.generation == generation);
        let connecting = match standing.map(|standing| standing.stage) {
            Some(Stage::Up(link)) if !link.sender.is_closed() => return Ok(link),
            Some(Stage::Connecting(connecting)) => connecting,
            _ => {
                let permit = limits.connections.try_acquire().map_err(|_| SendError::Overflow)?;
                let connecting = connect_http2(Rc::clone(pool), generation, self.tasks.clone(), permit);
                let connecting = connecting.boxed_local().shared();
                let stage = Stage::Connecting(connecting.clone());
                pool.shared.replace(Some(Multiplexed { stage, generation }));
                // It goes on when those who wait for it have given up: the next request finds it made.
                self.tasks.spawn_local("connecting", connecting.clone().map(drop));
                connecting
            }
        };
        let _pending = limits.pending.try_acquire().map_err(|_| SendError::Overflow)?;
        connecting.await.map_err(SendError::Connect)
    }
}

/// Dials, and leaves the outcome in the pool: the connection, or nothing, so that the next request tries anew.
async fn connect_http2(
    pool: Rc<Pool>,
    generation: u64,
    tasks: Tasks,
    permit: Permit,
) -> Result<Link, ConnectError> {
    let made = match dial(&pool.peer).await {
        Ok(io) => start_http2(io, &tasks, permit).await,
        Err(error) => Err(error),
    };
    let mut shared = pool.shared.borrow_mut();
    // Unless somebody has begun another one meanwhile.
    if shared.as_ref().is_some_and(|shared| shared.generation == generation) {
        *shared = made.as_ref().ok().map(|link| Multiplexed { stage: Stage::Up(link.clone()), generation });
    }
    drop(shared);
    made
}

async fn start_http2(io: Io, tasks: &Tasks, permit: Permit) -> Result<Link, ConnectError> {
    let heard = Rc::new(Cell::new(false));
    let (io, flush) = gathered(Heard::new(io, Rc::clone(&heard)));
    LocalExecutor.execute(flush);
    let (sender, connection) = http2::Builder::new(LocalExecutor)
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER_MAX)
        .handshake(TokioIo::new(io))
        .await
        .map_err(|error| ConnectError::Http(error.to_string().into()))?;
    tasks.spawn_local("upstream connection", async move {
        let _ = connection.await;
        drop(permit);
    });
    Ok(Link { sender, heard })
}

/// A peer whose connection ended before it had said anything has not looked at the request: the first frame of an HTTP/2 server
/// are its settings (RFC 9113, 3.4). So it is with connections that nobody has accepted when nobody listens any more.
fn unheard(error: &SendError) -> SendError {
    SendError::Connect(ConnectError::Http(format!("the peer said nothing: {error}").into()))
}

fn http_failed(error: &hyper::Error) -> SendError {
    SendError::Connect(ConnectError::Http(error.to_string().into()))
}

/// A send that failed, with the request if none of it was written.
struct Failed {
    error: SendError,
    unsent: Option<Box<Request<RequestBody>>>,
}

impl From<SendError> for Failed {
    fn from(error: SendError) -> Self {
        Self { error, unsent: None }
    }
}

impl From<TrySendError<Request<RequestBody>>> for Failed {
    fn from(mut failed: TrySendError<Request<RequestBody>>) -> Self {
        match failed.take_message() {
            Some(request) => Self { error: SendError::Stale, unsent: Some(Box::new(request)) },
            None => send_error(failed.into_error()).into(),
        }
    }
}

/// Whether the connection ended, and did not break off within bytes that cannot be understood.
fn has_ended(error: &hyper::Error) -> bool {
    error.is_incomplete_message() || is_reset(error)
}

/// Whether the peer reset the connection, as the kernel does with those that nobody has accepted when nobody listens any
/// more.
fn is_reset(error: &hyper::Error) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
    let kind = cause.map(io::Error::kind);
    matches!(kind, Some(io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe))
}

fn has_two_lengths(headers: &HeaderMap) -> bool {
    headers.contains_key(TRANSFER_ENCODING) && headers.contains_key(CONTENT_LENGTH)
}

fn send_error(error: hyper::Error) -> SendError {
    if error.is_parse() {
        return SendError::Malformed(error);
    }
    // hyper wraps what happened below it, and its own predicates do not tell these cases apart.
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(body) = inner.downcast_ref::<BodyError>() {
            return match body {
                body if body.is_malformed() => SendError::BadBody,
                BodyError::Caller(_) | BodyError::Incomplete => SendError::Caller,
                BodyError::Superseded => SendError::Reset(error),
            };
        }
        if let Some(h2) = inner.downcast_ref::<h2::Error>() {
            // After GOAWAY only streams beyond its last id fail: the peer has not touched them (RFC 9113, 6.8).
            let refused =
                h2.reason() == Some(h2::Reason::REFUSED_STREAM) || (h2.is_go_away() && h2.is_remote());
            return if refused {
                SendError::Refused
            } else if h2.is_library() {
                // What this side found wrong with the other one's frames.
                SendError::Malformed(error)
            } else if h2.is_reset() && !h2.is_remote() {
                // hyper ends a stream for one reason: its request has no end.
                SendError::Caller
            } else {
                SendError::Reset(error)
            };
        }
        cause = inner.source();
    }
    SendError::Reset(error)
}

impl Pool {
    /// The connection that was used last: the fewest are kept warm, and the rest ends by age.
    fn take_idle(&self, now: Instant) -> Option<Single> {
        let mut idle = self.idle.borrow_mut();
        while let Some(candidate) = idle.pop() {
            if self.may_use(&candidate, now) && candidate.connection.sender.is_ready() {
                return Some(candidate.connection);
            }
        }
        None
    }

    fn may_use(&self, idle: &Idle, now: Instant) -> bool {
        now.saturating_duration_since(idle.since) < IDLE
            && idle.connection.generation == self.peer.generation()
            && !idle.connection.sender.is_closed()
    }

    fn give_back(&self, connection: Single, now: Instant) {
        let mut idle = self.idle.borrow_mut();
        if idle.len() < IDLE_MAX {
            idle.push(Idle { connection, since: now });
        }
    }
}

impl Lease {
    /// Gives the connection back after the last byte of its response.
    pub fn finish(self) {
        let Held::Connection(pool, mut connection, tasks) = self.0 else { return };
        if connection.sender.is_ready() {
            pool.give_back(connection, Instant::now());
            return;
        }
        // The last byte has been handed out, but the connection's own task has yet to see that it is free.
        tasks.spawn_local("connection becoming idle", async move {
            if let Ok(Ok(())) = tokio::time::timeout(READY_TIMEOUT, connection.sender.ready()).await {
                pool.give_back(connection, Instant::now());
            }
        });
    }
}
