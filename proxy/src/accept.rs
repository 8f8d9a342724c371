//! Connections in: the listeners of one worker, a task for each connection, and how all of that ends.

use std::{
    cell::Cell,
    io,
    net::SocketAddr,
    rc::Rc,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use futures_util::FutureExt;
use http::{HeaderValue, Method, Request, Response, StatusCode, header::CONNECTION};
use hyper::body::Incoming;
use rustls::ServerConfig;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{Instant, sleep},
};
use weft_runtime::{
    Shutdown, Tasks,
    spare::{Spare, is_out_of_descriptors},
};

use crate::{
    connection::Connection,
    demand::Demand,
    detect::{DETECT_TIMEOUT, Expected, Protocol, detect},
    exchange::Exchange,
    fault::Fault,
    http::{
        body::Watched,
        interim::Interim,
        serve::{self, Version, serve},
        transport::Transport,
    },
    inbound::{self, Caller, Entrance},
    outbound,
    overload::Pressure,
    redirect::original_destination,
    tcp,
    telemetry::Direction,
    worker::Worker,
};

/// Connections at once on one worker; beyond them, new ones wait in the kernel's backlog.
const CONNECTIONS_MAX: usize = 10_000;
/// After SIGTERM, connections are still accepted for so long: others learn only by and by that this endpoint ends.
pub const WITHDRAWAL: Duration = Duration::from_secs(1);
/// Pause after an accept that failed for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// What the application still asks of others after the last request to it has ended has at least so much time.
pub const LAST_WORDS: Duration = Duration::from_secs(2);
/// Why a connection is not taken.
const NO_DESCRIPTOR: &str = "the sidecar has no file descriptor left for it";
/// To whoever speaks TLS to a listener for HTTP.
const TLS_REFUSED: &str = "this listener takes HTTP, and the mesh adds TLS by itself: call it with http://";

/// Where a listener leads.
#[derive(Clone)]
pub enum Leads {
    /// Into the application.
    Inbound(Entrance),
    /// To the service of this listener resource.
    Outbound(Arc<str>),
    /// Into the application, where a connection into the pod was meant to go.
    RedirectedIn {
        /// Ports of the sidecar itself: nobody comes to them this way.
        own: [u16; 3],
    },
    /// To whatever stands where a connection of the application was meant to go.
    RedirectedOut,
}

/// What the connections of one listener need.
struct Acceptor {
    worker: Rc<Worker>,
    leads: Leads,
    tls: Arc<ServerConfig>,
    permits: Arc<Semaphore>,
    tasks: Tasks,
    /// When connections end after the request that they are at.
    ends: Shutdown,
    /// New ones are taken for so much longer.
    withdrawal: Duration,
}

/// Who a connection's requests come from, or where they go.
enum Side {
    Inbound(Caller),
    Outbound(Arc<str>),
    Redirected(Demand),
}

/// Accepts on all `listeners` until the process is told to end, and then until all requests have ended or `grace` is
/// over. The inbound side goes first: while the application answers its last requests it may call others.
pub async fn run(worker: Rc<Worker>, listeners: Vec<(TcpListener, Leads)>, grace: Duration) {
    let shutdown = worker.shared.shutdown.clone();
    let (outbound_ends, outbound_shutdown) = Shutdown::manual();
    let (inbound_tasks, outbound_tasks) = (Tasks::new(), Tasks::new());
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let tls = inbound::server_config(&worker.shared.credentials);
    for (listener, leads) in listeners {
        let (tasks, ends, withdrawal) = match leads {
            Leads::Inbound(_) | Leads::RedirectedIn { .. } => (&inbound_tasks, &shutdown, WITHDRAWAL),
            Leads::Outbound(_) | Leads::RedirectedOut => {
                (&outbound_tasks, &outbound_shutdown, Duration::ZERO)
            }
        };
        let (worker, tls, permits) = (Rc::clone(&worker), Arc::clone(&tls), Arc::clone(&permits));
        let (own, ends) = (tasks.clone(), ends.clone());
        let acceptor = Rc::new(Acceptor { worker, leads, tls, permits, tasks: own, ends, withdrawal });
        tasks.spawn_local("listener", acceptor.run(listener));
    }
    shutdown.draining().await;
    let end = Instant::now() + grace + WITHDRAWAL;
    let cut = inbound_tasks.join_all(grace + WITHDRAWAL).await;
    outbound_ends.drain();
    // What is in flight outwards has the same time, though nothing may have come in at all.
    let left = end.saturating_duration_since(Instant::now()).max(LAST_WORDS);
    let cut = cut.len() + outbound_tasks.join_all(left).await.len();
    let left = end.saturating_duration_since(Instant::now());
    let cut = cut + worker.tunnels.join_all(left).await.len();
    if cut > 0 {
        tracing::warn!(connections = cut, "the grace period is over: connections were cut");
    }
    worker.tasks.join_all(Duration::ZERO).await;
}

impl Acceptor {
    async fn run(self: Rc<Self>, listener: TcpListener) {
        let withdrawn = async {
            self.ends.draining().await;
            sleep(self.withdrawal).await;
        };
        let mut withdrawn = std::pin::pin!(withdrawn);
        let mut spare = Spare::default();
        spare.hold(&listener);
        loop {
            let accepting = async {
                // Never closed: whoever could close it lives in this process only.
                let permit = Arc::clone(&self.permits).acquire_owned().await.ok()?;
                Some((listener.accept().await, permit))
            };
            let (accepted, permit) = tokio::select! {
                Some(accepted) = accepting => accepted,
                () = &mut withdrawn => return,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let acceptor = Rc::clone(&self);
                    self.tasks.spawn_local("connection", async move {
                        if let Err(error) = acceptor.serve(stream).await {
                            tracing::debug!(%peer, %error, "connection ended");
                        }
                        drop(permit);
                    });
                }
                // That connection, and not this listener.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) if is_out_of_descriptors(&error) && self.turn_away(&listener, &mut spare) => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection; trying again");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
            spare.hold(&listener);
        }
    }

    /// Ends the connection that waits, by the descriptor that was held back: without an answer it would wait for as long as
    /// the others last. `false` = somebody else has taken that descriptor.
    fn turn_away(&self, listener: &TcpListener, spare: &mut Spare) -> bool {
        if !spare.give_up() {
            return false;
        }
        let Some(Ok((stream, peer))) = listener.accept().now_or_never() else { return false };
        self.worker.shared.overload.without_descriptor.fetch_add(1, Relaxed);
        let direction = match self.leads {
            Leads::Inbound(_) | Leads::RedirectedIn { .. } => Direction::Inbound,
            Leads::Outbound(_) | Leads::RedirectedOut => Direction::Outbound,
        };
        let mut connection = Connection::begin(&self.worker, direction, Some(peer));
        connection.words = Some(NO_DESCRIPTOR.into());
        tcp::break_off(&stream);
        connection.refuse(Fault::Shed);
        true
    }

    /// One connection, from its first bytes to its end.
    async fn serve(&self, stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let caller = stream.peer_addr().ok();
        // In a box of its own, which is gone when HTTP is served: that is all that a connection holds while it rests.
        let Some((io, version, side)) = Box::pin(self.receive(stream)).await? else { return Ok(()) };
        let side = Rc::new(side);
        let served = Rc::new(Cell::new(false));
        let respond = {
            let (worker, side, served) = (Rc::clone(&self.worker), Rc::clone(&side), Rc::clone(&served));
            move |request, interim| {
                served.set(true);
                // In a box, since it is large, and handed on by several functions.
                Box::pin(respond(Rc::clone(&worker), Rc::clone(&side), caller, version, request, interim))
            }
        };
        let folds = matches!(side.as_ref(), Side::Inbound(caller) if caller.is_sidecar());
        let ends = self.ends(&side, version, &served);
        let ended = serve(io, version, folds, ends, respond).await;
        let fault = ended.as_ref().err().and_then(|error| serve::fault(error, version, served.get()));
        if let Some(fault) = fault {
            self.begin(&side, caller).refuse(fault);
        }
        ended.map_err(io::Error::other)
    }

    /// When a connection is to end after the request that it is at: with the process; and where it waits for the next
    /// request of somebody else, also once memory becomes scarce. Connections of HTTP/2 stay: sidecars have one for all.
    async fn ends(&self, side: &Side, version: Version, served: &Cell<bool>) {
        let relief = async {
            if !matches!(side, Side::Inbound(_)) || version != Version::Http1 {
                return std::future::pending().await;
            }
            loop {
                self.worker.shared.overload.begins().await;
                // One that has had no request yet ends after its first one.
                if served.get() {
                    return;
                }
            }
        };
        tokio::select! {
            biased;
            () = self.ends.draining() => {}
            () = relief => {}
        }
    }

    /// A connection that no request tells of.
    fn begin(&self, side: &Side, caller: Option<SocketAddr>) -> Connection {
        match side {
            Side::Inbound(inside) => inside.connection(&self.worker, caller),
            Side::Outbound(_) | Side::Redirected(_) => {
                Connection::begin(&self.worker, Direction::Outbound, caller)
            }
        }
    }

    /// What is spoken on a connection, and with whom. `None` = it was no HTTP, and is over.
    async fn receive(&self, stream: TcpStream) -> io::Result<Option<(inbound::Io, Version, Side)>> {
        let worker = &self.worker;
        match &self.leads {
            Leads::Inbound(entrance) => self.enter(stream, *entrance).await,
            Leads::RedirectedIn { own } => match original_destination(&stream) {
                Ok(app) if !own.contains(&app.port()) => {
                    self.enter(stream, Entrance { port: app.port(), app }).await
                }
                original => self.refuse(&stream, Direction::Inbound, original),
            },
            Leads::Outbound(target) => {
                let (protocol, stream) = detect(stream, Expected::Http, DETECT_TIMEOUT).await?;
                let Some(version) = from_app(&protocol) else {
                    return Ok(self.refuse_tls(stream.get_ref()));
                };
                Ok(Some((Transport::Plain(stream), version, Side::Outbound(Arc::clone(target)))))
            }
            Leads::RedirectedOut => match original_destination(&stream) {
                Ok(original) => {
                    let http = outbound::leave(worker, stream, original).await?;
                    Ok(http.map(|(io, version, demand)| {
                        (Transport::Plain(io), version, Side::Redirected(demand))
                    }))
                }
                original => self.refuse(&stream, Direction::Outbound, original),
            },
        }
    }

    async fn enter(
        &self,
        stream: TcpStream,
        entrance: Entrance,
    ) -> io::Result<Option<(inbound::Io, Version, Side)>> {
        let http = inbound::enter(&self.worker, stream, entrance, Arc::clone(&self.tls)).await?;
        Ok(http.map(|(io, version, caller)| (io, version, Side::Inbound(caller))))
    }

    /// The application speaks TLS where the mesh adds it.
    fn refuse_tls<T>(&self, stream: &TcpStream) -> Option<T> {
        let mut connection = Connection::begin(&self.worker, Direction::Outbound, stream.peer_addr().ok());
        connection.words = Some(TLS_REFUSED.into());
        tcp::break_off(stream);
        connection.refuse(Fault::NotHttp);
        None
    }

    /// To follow where this connection was meant to go would lead back here.
    fn refuse<T>(
        &self,
        stream: &TcpStream,
        direction: Direction,
        original: io::Result<SocketAddr>,
    ) -> io::Result<Option<T>> {
        let mut connection = Connection::begin(&self.worker, direction, stream.peer_addr().ok());
        connection.target = original.as_ref().ok().copied();
        tcp::break_off(stream);
        connection.refuse(Fault::NotRedirected);
        original.map(|_| None)
    }
}

/// What the local application speaks to an outbound listener, which takes HTTP alone.
fn from_app(protocol: &Protocol) -> Option<Version> {
    match protocol {
        Protocol::Http1 => Some(Version::Http1),
        Protocol::Http2 => Some(Version::Http2),
        Protocol::Tls(_) | Protocol::Opaque | Protocol::Silence => None,
    }
}

async fn respond(
    worker: Rc<Worker>,
    side: Rc<Side>,
    caller: Option<SocketAddr>,
    version: Version,
    request: Request<Incoming>,
    interim: Option<Interim>,
) -> Response<Watched<Exchange>> {
    let asks_for_tunnel = request.method() == Method::CONNECT;
    let mut response = match side.as_ref() {
        Side::Inbound(entrant) => {
            let mut response = inbound::respond(&worker, entrant, request, interim).await;
            let is_scarce = worker.shared.overload.pressure() != Pressure::None;
            let leaves_http = response.status() == StatusCode::SWITCHING_PROTOCOLS
                || asks_for_tunnel && response.status().is_success();
            if is_scarce && version == Version::Http1 && !leaves_http {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            response
        }
        Side::Outbound(target) | Side::Redirected(Demand { name: target, .. }) => {
            outbound::respond(&worker, target, caller, request, interim).await
        }
    };
    // Bytes of a tunnel that was refused may be here already, and are no requests.
    if asks_for_tunnel && version == Version::Http1 && !response.status().is_success() {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

#[cfg(test)]
mod tests;
