//! The spine to the local application: who calls, whether that is taken, and the request handed on.

use std::{
    io,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, Response, header::CONTENT_TYPE, request::Parts};
use hyper::body::{Body, Incoming};
use rustls::ServerConfig;
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use weft_api::names;
use weft_identity::tls::{ClientCertificate, Credentials, peer_identity};

use crate::{
    detect::{Protocol, Rewound},
    exchange::{Direction, Exchange, Held},
    fault::Fault,
    http::{body::Watched, headers, replay::RequestBody, serve::Version, transport::Transport},
    snapshot::Inbound,
    telemetry::requests::Series,
    upstream::{ConnectError, SendError},
    worker::Worker,
};

/// A TLS handshake must be over within this time.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// A first request waits so long for the configuration of its port.
const CONFIGURATION_WAIT: Duration = Duration::from_secs(1);

/// TLS as it is offered to other sidecars.
pub fn server_config(credentials: &Arc<Credentials>) -> Arc<ServerConfig> {
    credentials.server_config(ClientCertificate::Required, &[names::ALPN_MESH_H2, names::ALPN_MESH_HTTP1])
}

/// Who is at the other end of a connection, and where that is counted.
pub struct Caller {
    /// SPIFFE id; `None` = plaintext.
    identity: Option<Arc<str>>,
    port: u16,
    requests: Arc<Series>,
}

/// A connection that came in, as HTTP is served over it.
pub type Io = Transport<Rewound<TcpStream>, Box<TlsStream<Rewound<TcpStream>>>>;

/// Finds out who is at the other end of a connection that came in on `port`.
pub async fn identify(
    worker: &Worker,
    stream: Rewound<TcpStream>,
    protocol: Protocol,
    port: u16,
    tls: Arc<ServerConfig>,
) -> io::Result<(Io, Version, Caller)> {
    let version = match protocol {
        Protocol::Tls => return mesh(worker, stream, port, tls).await,
        Protocol::Http1 => Version::Http1,
        Protocol::Http2 => Version::Http2,
    };
    Ok((Transport::Plain(stream), version, Caller::new(worker, None, port)))
}

async fn mesh(
    worker: &Worker,
    stream: Rewound<TcpStream>,
    port: u16,
    tls: Arc<ServerConfig>,
) -> io::Result<(Io, Version, Caller)> {
    let accepting = TlsAcceptor::from(tls).accept(stream);
    let stream = timeout(HANDSHAKE_TIMEOUT, accepting).await.map_err(|_| io::ErrorKind::TimedOut)??;
    let (_, session) = stream.get_ref();
    // The handshake has verified both; without them there would be no connection.
    let certificates = session.peer_certificates().ok_or(io::ErrorKind::PermissionDenied)?;
    let identity = peer_identity(certificates).map_err(io::Error::other)?;
    let version =
        if session.alpn_protocol() == Some(names::ALPN_MESH_H2) { Version::Http2 } else { Version::Http1 };
    let caller = Caller::new(worker, Some(identity.to_string().into()), port);
    Ok((Transport::Mesh(Box::new(stream)), version, caller))
}

impl Caller {
    fn new(worker: &Worker, identity: Option<Arc<str>>, port: u16) -> Self {
        let source = identity.as_deref().unwrap_or("");
        let requests = worker.shared.telemetry.server.series([source, &port.to_string()]);
        Self { identity, port, requests }
    }
}

/// Answers one request of `caller`.
pub async fn respond(
    worker: &Rc<Worker>,
    caller: &Caller,
    request: Request<Incoming>,
) -> Response<Watched<Exchange>> {
    let (mut request, body) = request.into_parts();
    let mut exchange = Exchange::begin(worker, Direction::Inbound, &request);
    exchange.tls = caller.identity.is_some();
    exchange.peer.clone_from(&caller.identity);
    exchange.requests = Some(Arc::clone(&caller.requests));
    match forward(worker, caller, &mut exchange, &mut request, body).await {
        Ok((response, held)) => {
            let (mut response, body) = response.into_parts();
            // A field of a response that may not be passed on is dropped, not refused.
            let _ = headers::strip_hop_by_hop(&mut response.headers);
            speak(worker, &mut response, exchange.started());
            exchange.respond(response.status, Some(held));
            Response::from_parts(response, Watched::upstream(body, exchange))
        }
        Err(fault) => {
            exchange.fault = Some(fault);
            let response = fault.response();
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
) -> Result<(Response<Incoming>, Held), Fault> {
    let inbound = configuration(worker, caller.port).await?;
    if caller.identity.is_none() && !inbound.plaintext {
        return Err(Fault::PlaintextRefused);
    }
    headers::check_method(&request.method)?;
    introduce(worker, caller, request);
    let app = if is_grpc(request) { &inbound.http2 } else { inbound.app() };
    exchange.address = Some(app.address);
    headers::prepare(request, app.version)?;
    let body = if body.is_end_stream() { RequestBody::Empty } else { RequestBody::Once(body) };
    let request = Request::from_parts(request.clone(), body);
    let (response, lease) =
        worker.pools.send(app, request, &inbound.limits).await.map_err(|error| fault(&error))?;
    Ok((response, Held { lease, admission: None }))
}

/// What the mesh says of a response, no application says; but one that failed because of what it called, and was
/// retried there, is not to be retried here. An application that passes the mark on is believed: it harms only itself.
fn speak(worker: &Worker, response: &mut http::response::Parts, started: Instant) {
    let attempt = headers::attempt(&response.headers);
    headers::strip_ours(&mut response.headers);
    if response.status.is_server_error() && (attempt > 0 || worker.shared.setbacks.any_since(started)) {
        headers::set_attempt(&mut response.headers, attempt.max(1));
    }
}

async fn configuration(worker: &Rc<Worker>, port: u16) -> Result<Inbound, Fault> {
    let snapshots = &worker.shared.snapshots;
    if let Some(inbound) = snapshots.load().inbound.get(&port) {
        return Ok(inbound.clone());
    }
    let configured = snapshots.wait_for(|snapshot| snapshot.inbound.get(&port).cloned());
    timeout(CONFIGURATION_WAIT, configured).await.map_err(|_| Fault::NotConfigured)
}

/// Removes what only the mesh may say, and says it: who calls. Another sidecar's count of attempts stays.
fn introduce(worker: &Worker, caller: &Caller, request: &mut Parts) {
    let attempt = headers::attempt(&request.headers);
    headers::strip_ours(&mut request.headers);
    let Some(peer) = &caller.identity else { return };
    if attempt > 0 {
        headers::set_attempt(&mut request.headers, attempt);
    }
    if let Some(local) = worker.shared.credentials.identity() {
        headers::set_client_cert(&mut request.headers, &local.id().to_string(), peer);
    }
}

/// gRPC exists over HTTP/2 only, whatever the port was said to speak.
fn is_grpc(request: &Parts) -> bool {
    request.headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

fn fault(error: &SendError) -> Fault {
    match error {
        SendError::Connect(ConnectError::Tls(_)) => Fault::TlsFailed,
        SendError::Connect(_) => Fault::ConnectFailed,
        SendError::Overflow => Fault::Overflow,
        SendError::Refused => Fault::UpstreamRefused,
        SendError::Stale | SendError::Reset(_) => Fault::UpstreamReset,
        SendError::Caller => Fault::ClientCancelled,
    }
}
