//! Pools of one worker: for HTTP/1.1 a stack of idle connections, for HTTP/2 one [link](super::link) that all requests
//! share.

use std::{
    cell::RefCell,
    collections::HashMap,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use http::{Method, Request, Response, StatusCode};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use weft_api::names;
use weft_runtime::Tasks;

use super::{
    Peer,
    dial::{Io, dial, dial_as},
    failed::{Failed, SendError, has_ended, has_two_lengths, http_failed, is_reset},
    link::Slot,
};
use crate::{
    breaker::limits::{Limits, Permit},
    http::{replay::RequestBody, serve::Version},
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
type Sender1 = http1::SendRequest<RequestBody>;
/// The pools of one worker.
pub struct Pools {
    tasks: Tasks,
    pools: RefCell<HashMap<u64, Rc<Pool>>>,
}

struct Pool {
    peer: Arc<Peer>,
    idle: RefCell<Vec<Idle>>,
    link: Rc<Slot>,
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

/// What a response holds of its connection.
pub struct Lease(Held);

enum Held {
    /// Nothing: the connection is shared.
    Nothing,
    /// An HTTP/1.1 connection that is busy with the response. Dropped, it is closed.
    Connection(Rc<Pool>, Single),
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
            // In a box, or else every request would have room for two.
            Err(Failed { unsent: Some(request), .. }) => {
                Box::pin(self.send_once(&pool, *request, limits)).await
            }
            sent => sent,
        }
        .map_err(|failed| failed.error)
        .and_then(|sent| match sent.0.status() {
            StatusCode::SWITCHING_PROTOCOLS => Err(SendError::Unasked),
            _ => Ok(sent),
        })
    }

    /// Sends `request` over an HTTP/1.1 connection of its own, which may become something else by the response: by 101, or where
    /// a tunnel is asked for by success.
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
        let is_tunnel = request.method() == Method::CONNECT;
        let response = sender.try_send_request(request).await.map_err(|failed| Failed::from(failed).error)?;
        if is_tunnel && response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Err(SendError::Unasked);
        }
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
                let mut link = pool.link.up(&pool.peer, &self.tasks, limits).await?;
                Ok((link.send(request).await?, Lease(Held::Nothing)))
            }
            Version::Http1 => {
                let kept = pool.take_idle(Instant::now());
                let is_kept = kept.is_some();
                let mut connection = match kept {
                    Some(connection) => connection,
                    // In a box, since few requests need it.
                    None => Box::pin(self.dial_http1(pool, limits)).await?,
                };
                let response = connection.sender.try_send_request(request).await;
                let response = response.map_err(|failed| match Failed::from(failed) {
                    Failed { error: SendError::Reset(error), unsent }
                        if is_kept && has_ended(&error) || is_reset(&error) =>
                    {
                        // Who closes one closes the others, also those that are busy with a last response: the next request
                        // dials.
                        pool.peer.distrust_connections();
                        Failed { error: SendError::Ended(error), unsent }
                    }
                    failed => failed,
                })?;
                if has_two_lengths(response.headers()) {
                    return Err(SendError::TwoLengths.into());
                }
                Ok((response, Lease(Held::Connection(Rc::clone(pool), connection))))
            }
        }
    }

    /// Makes a new connection to `peer`, handshake included, for requests to come. Those that stand are given up, also
    /// by other workers: they prove nothing about a peer that may have fallen silent.
    pub async fn connect(&self, peer: &Arc<Peer>, limits: &Limits) -> Result<(), SendError> {
        let pool = self.pool(peer);
        peer.distrust_connections();
        match peer.version {
            Version::Http2 => pool.link.up(&pool.peer, &self.tasks, limits).await.map(drop),
            Version::Http1 => {
                let connection = self.dial_http1(&pool, limits).await?;
                pool.give_back(connection, Instant::now());
                Ok(())
            }
        }
    }

    /// Whether a connection is kept that could take a request now.
    #[cfg(test)]
    pub fn has_idle(&self) -> bool {
        let pools = self.pools.borrow();
        pools.values().any(|pool| pool.idle.borrow().iter().any(|idle| idle.connection.sender.is_ready()))
    }

    fn pool(&self, peer: &Arc<Peer>) -> Rc<Pool> {
        let mut pools = self.pools.borrow_mut();
        Rc::clone(pools.entry(peer.id).or_insert_with(|| {
            Rc::new(Pool { peer: Arc::clone(peer), idle: RefCell::default(), link: Rc::default() })
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
}

impl Pool {
    /// The connection that was used last: the fewest are kept warm, and the rest ends by age. Of one whose last byte has
    /// just been handed out, its own task may have yet to see that it is free: it stays for the next request.
    fn take_idle(&self, now: Instant) -> Option<Single> {
        let mut idle = self.idle.borrow_mut();
        for place in (0..idle.len()).rev() {
            if !self.may_use(&idle[place], now) {
                idle.remove(place);
            } else if idle[place].connection.sender.is_ready() {
                return Some(idle.remove(place).connection);
            }
        }
        None
    }

    fn may_use(&self, idle: &Idle, now: Instant) -> bool {
        let Idle { connection: Single { sender, generation }, since } = idle;
        let patience = if sender.is_ready() { IDLE } else { READY_TIMEOUT };
        now.saturating_duration_since(*since) < patience
            && *generation == self.peer.generation()
            && !sender.is_closed()
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
        if let Held::Connection(pool, connection) = self.0 {
            pool.give_back(connection, Instant::now());
        }
    }
}
