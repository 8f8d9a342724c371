//! The spine to the mesh: what happens to a request of the local application on its way to another service.
//!
//! Connections whose bytes are no HTTP go by [`opaque`], and which connection is which, [`redirected`] finds out.
//!
//! This and [`tries`] are the one place that knows the order of the stages: here the route, and what it does with requests
//! and responses; there for each try a backend by weight, the target breaker, the limits, an endpoint, the request
//! itself, and what its end means to breaker and retry.

// Faults that are injected, and copies for somebody else,
mod injection;
mod mirror;
// and the request on its way to a backend, as often as it takes.
mod tries;
// A connection that the redirect led here, by where it was meant to go.
mod redirected;
// Bytes that are no HTTP.
mod opaque;
// What the end of a try is.
mod outcome;

use std::{net::SocketAddr, rc::Rc, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode,
    header::{ORIGIN, SET_COOKIE},
    request::Parts,
};
use hyper::body::Incoming;
use tokio::time::timeout;

use crate::{
    exchange::{Exchange, Held},
    fault::Fault,
    http::{body::Watched, headers, interim::Interim, serve::SAID},
    route::{Action, Forward, HeaderEdits, Route, Table},
    snapshot::{Destination, Snapshot},
    telemetry::Direction,
    upgrade::Upgrade,
    worker::Worker,
};
use tries::Tries;

pub use redirected::leave;

/// Of responses that nobody edits.
static NO_EDITS: HeaderEdits = HeaderEdits { remove: Vec::new(), put: Vec::new() };
/// A first request or connection waits so long for the configuration of its destination.
const CONFIGURATION_WAIT: Duration = Duration::from_secs(1);

/// Answers one request of `caller` that came in on the listener for `target`. What is said before the answer, `interim` is
/// told.
pub async fn respond(
    worker: &Rc<Worker>,
    target: &str,
    caller: Option<SocketAddr>,
    request: Request<Incoming>,
    interim: Option<Interim>,
) -> Response<Watched<Exchange>> {
    let (mut request, body) = request.into_parts();
    headers::assume_host(&mut request, &target);
    let mut exchange = Exchange::begin(worker, Direction::Outbound, &request);
    exchange.source = caller.map(|caller| caller.ip());
    exchange.interim = interim;
    exchange.trace(&request, true);
    let upgrade = Upgrade::wanted(&mut request);
    let route = match route(worker, target, &mut exchange, &request, upgrade.is_some()).await {
        Ok(route) => route,
        Err(fault) => return refuse(exchange, fault.into()),
    };
    if let Err(fault) = exchange.room() {
        return refuse(exchange, fault.into());
    }
    // Once the route is found, which goes by what the caller said, and before its edits, which have the last word.
    exchange.propagate(&mut request.headers);
    let cors = route.cors.as_ref().map(|cors| (cors, request.headers.get(ORIGIN).cloned()));
    let answer = match route.cors.as_ref().and_then(|cors| cors.preflight(&request)) {
        Some(response) => Ok(Answer::Local(response)),
        None => answer(worker, &route, &mut exchange, &mut request, body, upgrade.as_ref()).await,
    };
    let mut response = deliver(worker, &route.edits.response, exchange, upgrade, answer);
    if let Some((cors, origin)) = cors {
        cors.answer(origin.as_ref(), response.headers_mut());
    }
    response
}

/// Makes of an answer what the caller gets, and tells what became of the request.
fn deliver(
    worker: &Rc<Worker>,
    edits: &HeaderEdits,
    mut exchange: Box<Exchange>,
    upgrade: Option<Upgrade>,
    answer: Result<Answer<'_>, Refusal>,
) -> Response<Watched<Exchange>> {
    match answer {
        Ok(Answer::Upstream { response, held, backend, told }) => {
            let (mut response, body) = response.into_parts();
            exchange.hear(&response.headers);
            response.version = SAID;
            let held = match upgrade {
                Some(upgrade) if upgrade.is_granted_by(response.status) => {
                    let destination = exchange.destination.clone();
                    upgrade.switch(worker, &exchange, destination, &mut response, held);
                    None
                }
                _ => {
                    // Nothing in a response decides about it here: a field that may not be passed on is dropped, not refused.
                    let _ = headers::strip_hop_by_hop(&mut response.headers);
                    Some(held)
                }
            };
            // Stripped before, or else an upstream could nominate what the edits add.
            for (name, value) in told.into_iter().flatten() {
                if name == SET_COOKIE {
                    response.headers.append(name, value);
                } else {
                    response.headers.insert(name, value);
                }
            }
            backend.apply(&mut response.headers);
            edits.apply(&mut response.headers);
            mark(&mut response.headers, &exchange);
            exchange.respond(response.status, held);
            Response::from_parts(response, Watched::upstream(body, exchange))
        }
        // Nobody is at the other end.
        Ok(Answer::Local(response))
            if upgrade.as_ref().is_some_and(|it| it.is_granted_by(response.status())) =>
        {
            let fault = exchange.fault.unwrap_or(Fault::Injected);
            refuse(exchange, fault.into())
        }
        Ok(Answer::Local(mut response)) => {
            edits.apply(response.headers_mut());
            local(exchange, response)
        }
        Err(refusal) => refuse(exchange, refusal),
    }
}

/// A fault, and the status by which it is answered.
struct Refusal {
    fault: Fault,
    status: StatusCode,
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self { fault, status: fault.status() }
    }
}

impl Refusal {
    /// Nobody is there who would take the request. A route may say by which status that is answered.
    fn missing(status: StatusCode) -> Self {
        Self { fault: Fault::BackendMissing, status }
    }
}

fn refuse(mut exchange: Box<Exchange>, Refusal { fault, status }: Refusal) -> Response<Watched<Exchange>> {
    exchange.fault = Some(fault);
    let mut response = fault.response().map(|text| Bytes::from_static(text.as_bytes()));
    *response.status_mut() = status;
    local(exchange, response)
}

/// Says of a response that failed for good that this hop has had its chance to retry.
fn mark(headers: &mut HeaderMap, exchange: &Exchange) {
    if exchange.given_up {
        headers::set_attempt(headers, exchange.tries);
    }
}

fn local(mut exchange: Box<Exchange>, mut response: Response<Bytes>) -> Response<Watched<Exchange>> {
    mark(response.headers_mut(), &exchange);
    exchange.hear(response.headers());
    exchange.respond(response.status(), None);
    response.map(|body| Watched::local(body, exchange))
}

/// What the caller gets.
#[expect(clippy::large_enum_variant, reason = "made once per request, where a box would cost an allocation")]
enum Answer<'r> {
    /// A response, what it holds, what becomes of its headers by the backend that gave it, and what the caller is told so
    /// that it comes back to the same endpoint.
    Upstream {
        response: Response<Incoming>,
        held: Held,
        backend: &'r HeaderEdits,
        told: [Option<(HeaderName, HeaderValue)>; 2],
    },
    Local(Response<Bytes>),
}

/// The route that takes the request.
async fn route(
    worker: &Rc<Worker>,
    target: &str,
    exchange: &mut Exchange,
    request: &Parts,
    may_leave_http: bool,
) -> Result<Arc<Route>, Fault> {
    let (table, connects) = destination(worker, target).await?;
    exchange.destination = Some(Arc::clone(&table.name));
    headers::check_method(&request.method, connects && may_leave_http)?;
    let Some(route) = table.find(request) else {
        exchange.requests = Some(worker.shared.telemetry.client.series([&table.name, ""]));
        return Err(Fault::NoRoute);
    };
    exchange.route = Some(Arc::clone(&route.name));
    exchange.requests = Some(Arc::clone(&route.requests));
    Ok(Arc::clone(route))
}

/// Does what the route says.
async fn answer<'r>(
    worker: &Rc<Worker>,
    route: &'r Route,
    exchange: &mut Exchange,
    request: &mut Parts,
    body: Incoming,
    upgrade: Option<&Upgrade>,
) -> Result<Answer<'r>, Refusal> {
    match &route.action {
        Action::Respond(status) => Err(Refusal::missing(*status)),
        Action::Redirect(redirect) => {
            let authority = headers::authority(request)?;
            let response = redirect.response(request, &authority, &route.matches.path);
            response.map(Answer::Local).map_err(|_| Fault::BadRequest.into())
        }
        Action::Forward(forward) => {
            if let Some(faults) = &forward.faults {
                // In a box, since few requests have to do with it and all would be larger by it.
                let injected =
                    Box::pin(injection::inject(worker, faults, forward.timeout, exchange, request));
                if let Some(response) = injected.await? {
                    return Ok(Answer::Local(response));
                }
            }
            edit(route, forward, request)?;
            let body = match upgrade {
                None => mirror::copy(worker, route, forward, exchange, request, body),
                // What leaves HTTP has no end, and its other half no copy.
                Some(_) => body.into(),
            };
            let tries = Tries::new(worker, forward, exchange, request, body, upgrade);
            tries.run().await.map_err(|fault| match fault {
                Fault::BackendMissing => Refusal::missing(forward.missing),
                fault => fault.into(),
            })
        }
    }
}

/// Makes of a request what the route says that it be from here on.
fn edit(route: &Route, forward: &Forward, request: &mut Parts) -> Result<(), Fault> {
    let edits = &route.edits.request;
    if !edits.is_empty() {
        // Stripped before, or else a caller could nominate what the edits add.
        headers::strip_hop_by_hop(&mut request.headers)?;
        edits.apply(&mut request.headers);
    }
    // A tunnel is for whom it names, and has no path.
    if request.method == Method::CONNECT {
        return Ok(());
    }
    forward.rewrite.apply(request, &route.matches.path).map_err(|_| Fault::BadRequest)
}

/// The routes of the listener's target, as soon as they are known, and whether `CONNECT` is passed on.
async fn destination(worker: &Rc<Worker>, target: &str) -> Result<(Arc<Table>, bool), Fault> {
    let snapshots = &worker.shared.snapshots;
    let routes = |snapshot: &Snapshot| match snapshot.destinations.get(target)? {
        Destination::Service(service) => Some(service.routes.clone().map(|routes| (routes, service.connect))),
        Destination::Unknown => Some(None),
    };
    let found = match routes(&snapshots.load()) {
        Some(found) => found,
        None => {
            timeout(CONFIGURATION_WAIT, snapshots.wait_for(routes)).await.map_err(|_| Fault::NotConfigured)?
        }
    };
    found.ok_or(Fault::UnknownDestination)
}
