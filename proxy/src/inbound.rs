//! The spine to the local application: who calls, whether that is taken, and the request or the bytes handed on.

// Bytes that are no HTTP.
mod opaque;
// Whether what comes in may enter.
mod gate;
// What becomes of a connection, by the rules of its port and what it says first.
mod way;

use std::{
    io,
    net::SocketAddr,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, request::Parts};
use hyper::body::{Body, Incoming};
use rustls::ServerConfig;
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use weft_api::names;
use weft_identity::tls::{ClientCertificate, Credentials, peer_identity};

use crate::{
    app::App,
    authorize::Entrant,
    connection::Connection,
    detect::{Rewound, detect},
    exchange::{Exchange, Held},
    fault::{Fault, is_grpc},
    http::{
        body::Watched,
        headers,
        interim::Interim,
        replay::RequestBody,
        serve::{SAID, Version},
        transport::Transport,
    },
    overload::Pressure,
    snapshot::Port,
    tcp::Socket,
    telemetry::{Direction, requests::Series},
    upgrade::Upgrade,
    upstream::{ConnectError, SendError, hear},
    worker::Worker,
};
use way::{First, Way};

/// A TLS handshake must be over within this time.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// A first request waits so long for the configuration of its port.
const CONFIGURATION_WAIT: Duration = Duration::from_secs(1);

/// TLS as it is offered to other sidecars.
pub fn server_config(credentials: &Arc<Credentials>) -> Arc<ServerConfig> {
    let alpn = [names::ALPN_MESH_H2, names::ALPN_MESH_HTTP1, names::ALPN_MESH_TCP];
    credentials.server_config(ClientCertificate::Required, &alpn)
}

/// A request is sent to the application again so often: once because a kept connection was closed, and once because the
/// new one was.
const REPEATS_MAX: u32 = 2;

/// A way into the application.
#[derive(Clone, Copy, Debug)]
pub struct Entrance {
    /// The port by whose rules it is entered.
    pub port: u16,
    /// Where the application listens.
    pub app: SocketAddr,
}

/// Who is at the other end of a connection, and where that is counted.
pub struct Caller {
    entrant: Entrant,
    app: Rc<App>,
    called: SocketAddr,
    requests: Arc<Series>,
    /// How the application is told of it; `None` for plaintext.
    introduction: Option<HeaderValue>,
}

/// A connection that came in, decrypted if it was mTLS.
pub type Io = Transport<Rewound<TcpStream>, Box<TlsStream<Rewound<TcpStream>>>>;

/// A connection that HTTP is served over.
pub type Http = (Io, Version, Caller);

/// Takes a connection in: by which protocol, with or without mTLS. `None` = its bytes were opaque, and it is over.
pub async fn enter(
    worker: &Rc<Worker>,
    stream: TcpStream,
    entrance: Entrance,
    tls: Arc<ServerConfig>,
) -> io::Result<Option<Http>> {
    let port = configuration(worker, entrance.port).await.ok();
    let (expected, patience) = way::expected(port.as_deref());
    let (protocol, stream) = detect(stream, expected, patience).await?;
    let (io, way, identity) = match way::by_first_bytes(port.as_deref(), &protocol) {
        First::Mesh => {
            let caller = stream.get_ref().peer_addr().ok();
            // A handshake takes more memory than anything that could be said after it.
            if worker.shared.overload.pressure() == Pressure::All {
                opaque::no_room(worker, entrance, &stream);
                return Ok(None);
            }
            let shaken = handshake(stream, tls).await;
            let (stream, identity) =
                shaken.inspect_err(|_| opaque::no_handshake(worker, entrance, caller))?;
            let way = way::by_alpn(port.as_deref(), stream.get_ref().1.alpn_protocol());
            (Transport::Mesh(Box::new(stream)), way, Some(identity))
        }
        First::Plain(way) => (Transport::Plain(stream), way, None),
    };
    let caller = io.socket().peer_addr().ok();
    // A socket for both families shows IPv4 inside of IPv6.
    let address = caller.map(|caller| caller.ip().to_canonical());
    let entrant = Entrant { identity, address, port: entrance.port };
    let opaque = |entrant| opaque::Inward::begin(worker, caller, entrance, entrant, protocol);
    match way {
        Way::Http(version) => return Ok(Some((io, version, Caller::new(worker, entrant, entrance)))),
        Way::Opaque => opaque(entrant).carry(io).await,
        Way::Refused(fault) => opaque(entrant).refuse(&io, fault),
    }
    Ok(None)
}

async fn handshake(
    stream: Rewound<TcpStream>,
    tls: Arc<ServerConfig>,
) -> io::Result<(TlsStream<Rewound<TcpStream>>, Arc<str>)> {
    let accepting = TlsAcceptor::from(tls).accept(stream);
    let stream = timeout(HANDSHAKE_TIMEOUT, accepting).await.map_err(|_| io::ErrorKind::TimedOut)??;
    // The handshake has verified both; without them there would be no connection.
    let certificates = stream.get_ref().1.peer_certificates().ok_or(io::ErrorKind::PermissionDenied)?;
    let identity = peer_identity(certificates).map_err(io::Error::other)?;
    Ok((stream, identity.to_string().into()))
}

impl Caller {
    fn new(worker: &Worker, entrant: Entrant, entrance: Entrance) -> Self {
        let source = entrant.identity.as_deref().unwrap_or("");
        let requests = worker.shared.telemetry.server.series([source, &entrance.port.to_string()]);
        // The handshake has shown both; whose certificate this one's is does not change while it runs.
        let local = worker.shared.credentials.identity();
        let introduction = entrant.identity.as_deref().zip(local);
        let introduction =
            introduction.and_then(|(peer, local)| headers::client_cert(&local.id().to_string(), peer));
        Self { entrant, app: worker.apps.at(entrance.app), called: entrance.app, requests, introduction }
    }

    /// Whether it is another sidecar.
    pub fn is_sidecar(&self) -> bool {
        self.entrant.identity.is_some()
    }

    /// The connection itself, coming from `address`, where none of its requests tells of it.
    pub fn connection(&self, worker: &Rc<Worker>, address: Option<SocketAddr>) -> Connection {
        let mut connection = Connection::begin(worker, Direction::Inbound, address);
        connection.destination = Some(self.entrant.port.to_string().into());
        connection.tls = self.entrant.identity.is_some();
        connection.peer.clone_from(&self.entrant.identity);
        connection
    }
}

/// Answers one request of `caller`. What is said before the answer, `interim` is told.
pub async fn respond(
    worker: &Rc<Worker>,
    caller: &Caller,
    request: Request<Incoming>,
    interim: Option<Interim>,
) -> Response<Watched<Exchange>> {
    let (mut request, body) = request.into_parts();
    headers::assume_host(&mut request, &caller.called);
    let mut exchange = Exchange::begin(worker, Direction::Inbound, &request);
    exchange.interim = interim;
    let upgrade = Upgrade::wanted(&mut request);
    exchange.tls = caller.entrant.identity.is_some();
    exchange.peer.clone_from(&caller.entrant.identity);
    exchange.caller = caller.entrant.address;
    exchange.requests = Some(Arc::clone(&caller.requests));
    match forward(worker, caller, &mut exchange, &mut request, body, upgrade.as_ref()).await {
        Ok((response, held)) => {
            let (mut response, body) = response.into_parts();
            exchange.hear(&response.headers);
            response.version = SAID;
            let held = match upgrade {
                Some(upgrade) if upgrade.is_granted_by(response.status) => {
                    let destination = Some(caller.entrant.port.to_string().into());
                    upgrade.switch(worker, &exchange, destination, &mut response, held);
                    None
                }
                _ => {
                    // A field of a response that may not be passed on is dropped, not refused.
                    let _ = headers::strip_hop_by_hop(&mut response.headers);
                    Some(held)
                }
            };
            speak(worker, &mut response, exchange.started());
            exchange.respond(response.status, held);
            Response::from_parts(response, Watched::upstream(body, exchange))
        }
        Err(fault) => {
            exchange.fault = Some(fault);
            let response = fault.answer(&request);
            exchange.hear(response.headers());
            exchange.respond(response.status(), None);
            response.map(|text| Watched::local(Bytes::from_static(text.as_bytes()), exchange))
        }
    }
}

async fn forward(
    worker: &Rc<Worker>,
    caller: &Caller,
    exchange: &mut Exchange,
    request: &mut Parts,
    body: Incoming,
    upgrade: Option<&Upgrade>,
) -> Result<(Response<Incoming>, Held), Fault> {
    let entrant = &caller.entrant;
    let port = configuration(worker, entrant.port).await?;
    // The kubelet has no identity.
    let is_probe = entrant.identity.is_none() && way::is_probe(&port, request);
    // Another sidecar has decided already whether a trace begins with this request; and none does with a probe.
    exchange.trace(request, entrant.identity.is_none() && !is_probe);
    exchange.propagate(&mut request.headers);
    if entrant.identity.is_none() && !way::takes_plaintext(&port, request) {
        return Err(Fault::PlaintextRefused);
    }
    // A probe always passes: a restart, for want of an answer, would end all that has begun.
    if !is_probe {
        exchange.room()?;
    }
    headers::check_method(&request.method, upgrade.is_some() && way::connects(&port))?;
    gate::request(worker, entrant, &port, exchange, request)?;
    introduce(caller, request);
    // gRPC exists over HTTP/2 only, whatever the port was said to speak.
    let version = match upgrade {
        Some(_) => Version::Http1,
        None if is_grpc(request) => Version::Http2,
        None => way::spoken(&port),
    };
    let app = caller.app.over(version);
    exchange.address = Some(app.address);
    headers::prepare(request, version)?;
    if let Some(upgrade) = upgrade {
        upgrade.ask(&mut request.headers);
    }
    let body = if body.is_end_stream() { RequestBody::Empty } else { RequestBody::Once(body) };
    let may_repeat = matches!(body, RequestBody::Empty) && request.method.is_idempotent();
    let first = Request::from_parts(request.clone(), body);
    let limits = &worker.shared.app_limits;
    let interim = exchange.interim.as_ref();
    let mut sent = match upgrade {
        None => hear(interim, false, first, |first| worker.pools.send(app, first, limits)).await,
        Some(_) => {
            Box::pin(hear(interim, false, first, |first| worker.pools.send_alone(app, first, limits))).await
        }
    };
    // An application that stops closes connections while requests are on their way to it, and then its listener. What may be
    // repeated (RFC 9112, 9.3.1) is: it finds a new connection, or that nobody listens any more, which lets the caller go
    // elsewhere.
    let mut repeats = if may_repeat { REPEATS_MAX } else { 0 };
    while repeats > 0 && matches!(sent, Err(SendError::Ended(_))) {
        repeats -= 1;
        let again = Request::from_parts(request.clone(), RequestBody::Empty);
        sent = Box::pin(hear(interim, false, again, |again| worker.pools.send(app, again, limits))).await;
    }
    let (response, lease) = sent.map_err(|error| fault(&error))?;
    Ok((response, Held { lease, admission: None }))
}

/// What the mesh says of a response, no application says; but one that failed because of what it called, and was
/// retried there, is not to be retried here. An application that passes the mark on is believed: it harms only itself.
fn speak(worker: &Worker, response: &mut http::response::Parts, started: Instant) {
    let attempt = headers::strip_ours(&mut response.headers);
    if response.status.is_server_error() && (attempt > 0 || worker.shared.setbacks.any_since(started)) {
        headers::set_attempt(&mut response.headers, attempt.max(1));
    }
}

async fn configuration(worker: &Worker, port: u16) -> Result<Arc<Port>, Fault> {
    let snapshots = &worker.shared.snapshots;
    if let Some(port) = snapshots.load().inbound.get(port) {
        return Ok(Arc::clone(port));
    }
    let configured = snapshots.wait_for(|snapshot| snapshot.inbound.get(port).cloned());
    timeout(CONFIGURATION_WAIT, configured).await.map_err(|_| Fault::NotConfigured)
}

/// Removes what only the mesh may say, and says it: who calls. Another sidecar's count of attempts stays.
fn introduce(caller: &Caller, request: &mut Parts) {
    let attempt = headers::strip_ours(&mut request.headers);
    let Some(introduction) = &caller.introduction else { return };
    if attempt > 0 {
        headers::set_attempt(&mut request.headers, attempt);
    }
    request.headers.insert(headers::CLIENT_CERT, introduction.clone());
}

fn fault(error: &SendError) -> Fault {
    match error {
        SendError::Connect(error) => connect_fault(error),
        SendError::Overflow => Fault::Overflow,
        SendError::Refused => Fault::UpstreamRefused,
        SendError::Stale | SendError::Reset(_) | SendError::Ended(_) | SendError::Unasked => {
            Fault::UpstreamReset
        }
        SendError::Malformed(_) | SendError::TwoLengths | SendError::Interim(_) => Fault::UpstreamMalformed,
        SendError::Caller => Fault::ClientCancelled,
        SendError::BadBody => Fault::BadRequest,
    }
}

fn connect_fault(error: &ConnectError) -> Fault {
    match error {
        ConnectError::Tls(_) => Fault::TlsFailed,
        _ => Fault::ConnectFailed,
    }
}

#[cfg(test)]
mod tests;
