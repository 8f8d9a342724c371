//! The HTTP/2 connection that all requests of a worker to one peer share.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use futures_util::{
    FutureExt,
    future::{LocalBoxFuture, Shared},
};
use http::{Request, Response};
use hyper::{
    body::Incoming,
    client::conn::http2::{Builder, SendRequest},
    rt::Executor,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use weft_runtime::Tasks;

use super::{
    Peer,
    dial::{ConnectError, Io, dial},
    failed::{Failed, SendError},
    heard::Heard,
};
use crate::{
    breaker::limits::{Limits, Permit},
    http::{
        gathered::{Company, gathered},
        replay::RequestBody,
        serve::LocalExecutor,
    },
};

/// A silent HTTP/2 peer is asked for a sign of life after this time, and is gone when there is none within the other.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Windows as on the server side of the mesh.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
const SEND_BUFFER_MAX: usize = 64 * 1024;

/// The place of the link to one peer: none, one that is being made, or one that stands.
#[derive(Default)]
pub(super) struct Slot(RefCell<Option<Connection>>);

/// An HTTP/2 connection.
#[derive(Clone)]
struct Connection {
    stage: Stage,
    generation: u64,
}

#[derive(Clone)]
enum Stage {
    Connecting(Shared<LocalBoxFuture<'static, Result<Link, ConnectError>>>),
    Up(Link),
}

/// An HTTP/2 connection that stands.
#[derive(Clone)]
pub(super) struct Link {
    sender: SendRequest<RequestBody>,
    /// Whether its peer has ever said anything.
    heard: Rc<Cell<bool>>,
    /// Who else uses it.
    company: Company,
}

impl Slot {
    /// The connection that all requests of this worker to one peer share: the one that stands, the one that is being
    /// made, or a new one.
    pub(super) async fn up(
        self: &Rc<Self>,
        peer: &Arc<Peer>,
        tasks: &Tasks,
        limits: &Limits,
    ) -> Result<Link, SendError> {
        let generation = peer.generation();
        let standing = self.0.borrow().clone().filter(|standing| standing.generation == generation);
        let connecting = match standing.map(|standing| standing.stage) {
            Some(Stage::Up(link)) if !link.sender.is_closed() => return Ok(link),
            Some(Stage::Connecting(connecting)) => connecting,
            _ => {
                let permit = limits.connections.try_acquire().map_err(|_| SendError::Overflow)?;
                let connecting =
                    connect(Rc::clone(self), Arc::clone(peer), generation, tasks.clone(), permit);
                let connecting = connecting.boxed_local().shared();
                let stage = Stage::Connecting(connecting.clone());
                self.0.replace(Some(Connection { stage, generation }));
                // It goes on when those who wait for it have given up: the next request finds it made.
                tasks.spawn_local("connecting", connecting.clone().map(drop));
                connecting
            }
        };
        let _pending = limits.pending.try_acquire().map_err(|_| SendError::Overflow)?;
        connecting.await.map_err(SendError::Connect)
    }
}

impl Link {
    /// Sends `request` and waits for response headers.
    pub(super) async fn send(&mut self, request: Request<RequestBody>) -> Result<Response<Incoming>, Failed> {
        let member = self.company.join();
        let response = self.sender.try_send_request(request).await;
        drop(member);
        response.map_err(|failed| match Failed::from(failed) {
            Failed { error: error @ (SendError::Reset(_) | SendError::Stale), unsent }
                if !self.heard.get() =>
            {
                Failed { error: unheard(&error), unsent }
            }
            failed => failed,
        })
    }
}

/// Dials, and leaves the outcome in its slot: the connection, or nothing, so that the next request tries anew.
async fn connect(
    slot: Rc<Slot>,
    peer: Arc<Peer>,
    generation: u64,
    tasks: Tasks,
    permit: Permit,
) -> Result<Link, ConnectError> {
    let made = match dial(&peer).await {
        Ok(io) => start(io, &tasks, permit).await,
        Err(error) => Err(error),
    };
    let mut connection = slot.0.borrow_mut();
    // Unless somebody has begun another one meanwhile.
    if connection.as_ref().is_some_and(|connection| connection.generation == generation) {
        *connection =
            made.as_ref().ok().map(|link| Connection { stage: Stage::Up(link.clone()), generation });
    }
    drop(connection);
    made
}

async fn start(io: Io, tasks: &Tasks, permit: Permit) -> Result<Link, ConnectError> {
    let heard = Rc::new(Cell::new(false));
    let company = Company::default();
    let (io, flush) = gathered(Heard::new(io, Rc::clone(&heard)), company.clone());
    LocalExecutor.execute(flush);
    let (sender, connection) = Builder::new(LocalExecutor)
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
    Ok(Link { sender, heard, company })
}

/// A peer whose connection ended before it had said anything has not looked at the request: the first frame of an HTTP/2 server
/// are its settings (RFC 9113, 3.4). So it is with connections that nobody has accepted when nobody listens any more.
fn unheard(error: &SendError) -> SendError {
    SendError::Connect(ConnectError::Http(format!("the peer said nothing: {error}").into()))
}
