//! The spine to the mesh: what happens to a request of the local application on its way to another service.
//!
//! Connections whose bytes are no HTTP go by [`opaque`], and which connection is which, [`redirected`] finds out.
//!
//! This is the one place that knows the order of the stages: route, then for each try a backend by weight, the target
//! breaker, the limits, an endpoint, the request itself, and what its end means to breaker and retry.

// A connection that the redirect led here, by where it was meant to go.
mod redirected;
// Bytes that are no HTTP.
mod opaque;

use std::{
    cell::RefCell,
    rc::Rc,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::future::Either;
use http::{HeaderMap, Request, Response, StatusCode, header::RETRY_AFTER, request::Parts};
use hyper::body::{Body, Incoming};
use tokio::time::{sleep, timeout, timeout_at};
use weft_api::circuit_breaker::FallbackCause;

use crate::{
    admission::Admission,
    balance::{Endpoint, Picked},
    breaker::{Event, Outcome, Retryable, Verdict},
    cluster::Cluster,
    deadline,
    exchange::{Exchange, Held, grpc_status},
    fault::{Blame, Fault},
    http::{
        body::Watched,
        headers,
        replay::{Kept, Replay, RequestBody},
        serve::Version,
    },
    retry::Decision,
    route::{Action, Backend, Forward, HeaderEdits, Route, Table},
    snapshot::{Destination, Snapshot},
    telemetry::Direction,
    upgrade::Upgrade,
    upstream::{ConnectError, SendError},
    worker::Worker,
};

pub use redirected::leave;

/// Tries at other endpoints that a request gets beside those of a policy, as long as nobody has processed it.
const ELSEWHERE_MAX: u32 = 2;
/// So much of a body is kept for them where no policy says how much: most calls of gRPC, and no upload.
const ELSEWHERE_BODY_BYTES_MAX: usize = 16 * 1024;
/// Of responses that no backend gave.
static NO_EDITS: HeaderEdits = HeaderEdits { remove: Vec::new(), put: Vec::new() };
/// A first request or connection waits so long for the configuration of its destination.
const CONFIGURATION_WAIT: Duration = Duration::from_secs(1);

/// Answers one request that came in on the listener for `target`.
pub async fn respond(
    worker: &Rc<Worker>,
    target: &str,
    request: Request<Incoming>,
) -> Response<Watched<Exchange>> {
    let (mut request, body) = request.into_parts();
    let mut exchange = Exchange::begin(worker, Direction::Outbound, &request);
    let upgrade = Upgrade::wanted(&mut request);
    let route = match route(worker, target, &mut exchange, &request).await {
        Ok(route) => route,
        Err(fault) => return refuse(exchange, fault),
    };
    match answer(worker, &route, &mut exchange, &mut request, body, upgrade.as_ref()).await {
        Ok(Answer::Upstream { response, held, backend }) => {
            let (mut response, body) = response.into_parts();
            let held = match upgrade {
                Some(upgrade) if response.status == StatusCode::SWITCHING_PROTOCOLS => {
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
            backend.apply(&mut response.headers);
            route.edits.response.apply(&mut response.headers);
            mark(&mut response.headers, &exchange);
            exchange.respond(response.status, held);
            Response::from_parts(response, Watched::upstream(body, exchange))
        }
        Ok(Answer::Local(mut response)) => {
            route.edits.response.apply(response.headers_mut());
            local(exchange, response)
        }
        Err(fault) => refuse(exchange, fault),
    }
}

fn refuse(mut exchange: Exchange, fault: Fault) -> Response<Watched<Exchange>> {
    exchange.fault = Some(fault);
    local(exchange, fault.response().map(|text| Bytes::from_static(text.as_bytes())))
}

/// Says of a response that failed for good that this hop has had its chance to retry.
fn mark(headers: &mut HeaderMap, exchange: &Exchange) {
    if exchange.given_up {
        headers::set_attempt(headers, exchange.tries);
    }
}

fn local(mut exchange: Exchange, mut response: Response<Bytes>) -> Response<Watched<Exchange>> {
    mark(response.headers_mut(), &exchange);
    exchange.respond(response.status(), None);
    response.map(|body| Watched::local(body, exchange))
}

/// What the caller gets.
#[expect(clippy::large_enum_variant, reason = "made once per request, where a box would cost an allocation")]
enum Answer<'r> {
    /// A response, what it holds, and what becomes of its headers by the backend that gave it.
    Upstream {
        response: Response<Incoming>,
        held: Held,
        backend: &'r HeaderEdits,
    },
    Local(Response<Bytes>),
}

/// The route that takes the request.
async fn route(
    worker: &Rc<Worker>,
    target: &str,
    exchange: &mut Exchange,
    request: &Parts,
) -> Result<Arc<Route>, Fault> {
    let table = destination(worker, target).await?;
    exchange.destination = Some(Arc::clone(&table.name));
    headers::check_method(&request.method)?;
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
) -> Result<Answer<'r>, Fault> {
    match &route.action {
        Action::Respond(status) => {
            let mut response =
                Fault::BackendMissing.response().map(|text| Bytes::from_static(text.as_bytes()));
            *response.status_mut() = *status;
            exchange.fault = Some(Fault::BackendMissing);
            Ok(Answer::Local(response))
        }
        Action::Redirect(redirect) => {
            let authority = headers::authority(request)?;
            let response = redirect.response(request, &authority, &route.matches.path);
            response.map(Answer::Local).map_err(|_| Fault::BadRequest)
        }
        Action::Forward(forward) => {
            edit(route, forward, request)?;
            Tries { upgrade, ..Tries::new(worker, forward, exchange, request, body) }.run().await
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
    forward.rewrite.apply(request, &route.matches.path).map_err(|_| Fault::BadRequest)
}

/// The routes of the listener's target, as soon as they are known.
async fn destination(worker: &Rc<Worker>, target: &str) -> Result<Arc<Table>, Fault> {
    let snapshots = &worker.shared.snapshots;
    let routes = |snapshot: &Snapshot| match snapshot.destinations.get(target)? {
        Destination::Service(service) => Some(service.routes.clone()),
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

/// The tries of one request.
struct Tries<'a, 'r> {
    worker: &'a Rc<Worker>,
    forward: &'r Forward,
    exchange: &'a mut Exchange,
    request: &'a Parts,
    upgrade: Option<&'a Upgrade>,
    /// Its body, if it has one.
    kept: Option<Rc<RefCell<Kept>>>,
    /// Retries that others have made of this request before it came here.
    earlier: u32,
    deadline: Option<Instant>,
    tried: Vec<Arc<Endpoint>>,
    /// Tries that were no retries: nobody had processed the request yet.
    elsewhere: u32,
}

/// How one try ended.
struct Try<'r> {
    result: Result<(Response<Incoming>, Held), Fault>,
    verdict: Verdict,
    backend: Option<&'r Backend>,
}

impl<'r> Try<'r> {
    /// Refused before anything was sent: no sample for a breaker, and no reason to try again.
    fn refused(fault: Fault, backend: Option<&'r Backend>) -> Self {
        let verdict = Verdict { outcome: Outcome::Ignored, retryable: Retryable::Never };
        Self { result: Err(fault), verdict, backend }
    }

    fn cluster(&self) -> Option<&'r Arc<Cluster>> {
        self.backend.and_then(|backend| backend.cluster.as_ref())
    }
}

impl<'a, 'r> Tries<'a, 'r> {
    fn new(
        worker: &'a Rc<Worker>,
        forward: &'r Forward,
        exchange: &'a mut Exchange,
        request: &'a mut Parts,
        body: Incoming,
    ) -> Self {
        let earlier = headers::attempt(&request.headers);
        headers::strip_ours(&mut request.headers);
        let deadline = deadline::of(&request.headers, exchange.started(), forward.timeout);
        let mut tries = Self {
            worker,
            forward,
            exchange,
            request,
            upgrade: None,
            kept: None,
            earlier,
            deadline,
            tried: Vec::new(),
            elsewhere: 0,
        };
        let mut kept_bytes_max = ELSEWHERE_BODY_BYTES_MAX;
        if let Some(rule) = tries.rule() {
            rule.budget.count_original(tries.exchange.started());
            kept_bytes_max = rule.body_bytes_max;
        }
        tries.kept =
            Some(body).filter(|body| !body.is_end_stream()).map(|body| Kept::new(body, kept_bytes_max));
        tries
    }

    /// The retry rule, unless somebody before has retried this very request: retries must not multiply over hops.
    fn rule(&self) -> Option<&'r crate::retry::Rule> {
        self.forward.retry.as_ref().filter(|_| self.earlier == 0)
    }

    async fn run(mut self) -> Result<Answer<'r>, Fault> {
        loop {
            self.exchange.tries += 1;
            let tried = self.once().await;
            let Some(pause) = self.pause(&tried) else { return self.answer(tried) };
            // The failed response and its connection end here, before the pause.
            drop(tried);
            if !pause.is_zero() {
                sleep(pause).await;
            }
        }
    }

    /// The pause before another try, if there is to be one.
    fn pause(&mut self, tried: &Try<'_>) -> Option<Duration> {
        if !self.kept.as_ref().is_none_or(|kept| kept.borrow().can_replay()) {
            return None;
        }
        let now = Instant::now();
        let left = self.deadline.map(|deadline| deadline.saturating_duration_since(now));
        self.retry(tried, left, now).or_else(|| self.go_elsewhere(tried, left, now))
    }

    /// The pause before a retry, as the policy has it.
    fn retry(&mut self, tried: &Try<'_>, left: Option<Duration>, now: Instant) -> Option<Duration> {
        let rule = self.rule()?;
        let (method, tries) = (&self.request.method, self.exchange.tries - self.elsewhere);
        let random = &mut *self.worker.random.borrow_mut();
        match rule.decide(tried.verdict.retryable, method, tries, left, now, random) {
            Decision::After(pause) => Some(pause),
            Decision::OverBudget | Decision::GiveUp => None,
        }
    }

    /// No pause at all: a request that nobody has processed goes on to another endpoint, with or without a policy. So
    /// pods come and go unnoticed; that repeats nothing, and where all endpoints are gone it ends soon.
    fn go_elsewhere(&mut self, tried: &Try<'_>, left: Option<Duration>, now: Instant) -> Option<Duration> {
        let cluster = tried.cluster()?;
        let may_go = tried.verdict.retryable == Retryable::Always
            && self.elsewhere < ELSEWHERE_MAX
            && left.is_none_or(|left| !left.is_zero())
            && cluster.endpoints.has_other(now, &self.tried);
        may_go.then(|| {
            self.elsewhere += 1;
            Duration::ZERO
        })
    }

    /// What the caller gets of the last try: its response, a canned one, or the fault.
    fn answer(self, tried: Try<'r>) -> Result<Answer<'r>, Fault> {
        let failed = !matches!(tried.verdict.outcome, Outcome::Success);
        let cause = match &tried.result {
            Err(Fault::BreakerOpen { .. }) => Some(FallbackCause::Open),
            Err(fault) if matches!(fault.blame(), Blame::Upstream | Blame::Mesh) => {
                Some(FallbackCause::Failure)
            }
            Ok(_) if failed => Some(FallbackCause::Failure),
            _ => None,
        };
        // The nearest to the caller that gives one.
        let guards = self.forward.guard.iter().chain(tried.cluster().map(|cluster| &cluster.guard));
        let canned = cause.and_then(|cause| {
            guards.map(|guard| guard.fall_back(cause)).find_map(|answer| Some((cause, answer?)))
        });
        if let Some((cause, response)) = canned {
            self.exchange.fallback = Some(cause);
            self.exchange.fault = tried.result.err();
            return Ok(Answer::Local(response));
        }
        if cause.is_some() && self.forward.retry.is_some() {
            self.exchange.given_up = true;
            self.worker.shared.setbacks.note(Instant::now());
        }
        let backend = tried.backend.map_or(&NO_EDITS, |backend| &backend.edits.response);
        tried.result.map(|(response, held)| Answer::Upstream { response, held, backend })
    }

    async fn once(&mut self) -> Try<'r> {
        let forward = self.forward;
        let picked = forward.backends.pick(&mut *self.worker.random.borrow_mut());
        let Some((backend, cluster)) = picked.and_then(|backend| Some((backend, backend.cluster.as_ref()?)))
        else {
            return Try::refused(Fault::BackendMissing, None);
        };
        if self.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return Try::refused(Fault::DeadlineExceeded, Some(backend));
        }
        let mut admission = match self.admit(cluster) {
            Ok(admission) => admission,
            Err(fault) => return Try::refused(fault, Some(backend)),
        };
        let peer = Arc::clone(&admission.endpoint.peer);
        self.exchange.address = Some(peer.address);
        self.exchange.tls = peer.mesh.is_some();
        self.exchange.peer = peer.identity().cloned();
        let request = match self.request(&admission, &backend.edits.request) {
            Ok(request) => request,
            Err(fault) => return Try::refused(fault, Some(backend)),
        };
        let (pools, limits) = (&self.worker.pools, &cluster.guard.limits);
        let sending = match self.upgrade {
            None => Either::Left(pools.send(&peer, request, limits)),
            Some(_) => Either::Right(Box::pin(pools.send_alone(&peer, request, limits))),
        };
        let sent = match self.try_deadline(admission.sent) {
            None => Ok(sending.await),
            Some(at) => timeout_at(at.into(), sending).await,
        };
        let now = Instant::now();
        let (event, fault) = match &sent {
            Ok(Ok((response, _))) => {
                (response_event(response, now.saturating_duration_since(admission.sent)), None)
            }
            Ok(Err(error)) => send_event(error),
            Err(_) if self.deadline.is_some_and(|deadline| deadline <= now) => {
                (Event::PerTryTimeout, Some(Fault::DeadlineExceeded))
            }
            Err(_) => (Event::PerTryTimeout, Some(Fault::TryTimeout)),
        };
        let starved = self.worker.is_starved(now);
        let mut verdict = admission.verdict(event, starved);
        if let Ok(Ok((response, _))) = &sent {
            if headers::attempt(response.headers()) > 0 {
                // It was retried further down, where it failed: see `setback`.
                verdict.retryable = Retryable::Never;
            } else if peer.mesh.is_some() && headers::says_unprocessed(response.headers()) {
                verdict.retryable = Retryable::Always;
            }
        }
        if verdict.retryable != Retryable::Never {
            self.tried.push(Arc::clone(&admission.endpoint));
        }
        let result = match (fault, sent) {
            (None, Ok(Ok((response, lease)))) => {
                admission.respond(event, starved, now, response.body().is_end_stream());
                Ok((response, Held { lease, admission: Some(admission) }))
            }
            (fault, sent) => {
                admission.report(event, starved, now);
                if let Ok(Err(error)) = sent {
                    if matches!(error, SendError::Overflow) {
                        cluster.guard.counts.overflows.fetch_add(1, Relaxed);
                    }
                    tracing::debug!(destination = %cluster.name(), address = %peer.address, %error, "try failed");
                }
                Err(fault.unwrap_or(Fault::UpstreamReset))
            }
        };
        Try { result, verdict, backend: Some(backend) }
    }

    /// Guard of the route, guard of the backend, endpoint with its breaker: in this order, so that an open breaker costs
    /// nothing.
    fn admit(&mut self, cluster: &Arc<Cluster>) -> Result<Admission, Fault> {
        let now = Instant::now();
        let route = self.forward.guard.as_ref().map(|guard| guard.enter(now)).transpose()?;
        let backend = cluster.guard.enter(now)?;
        let random = &mut *self.worker.random.borrow_mut();
        let Picked { endpoint, pass, in_flight } =
            cluster.endpoints.pick(now, random, &self.tried).ok_or(Fault::NoEndpoint)?;
        Ok(Admission { route, backend, endpoint, pass, in_flight, sent: now, headers: None })
    }

    /// The request as this try sends it.
    fn request(&self, admission: &Admission, edits: &HeaderEdits) -> Result<Request<RequestBody>, Fault> {
        let body =
            self.kept.as_ref().map_or(RequestBody::Empty, |kept| RequestBody::Replay(Replay::start(kept)));
        let mut parts = self.request.clone();
        let version = self.upgrade.map_or(admission.endpoint.peer.version, |_| Version::Http1);
        headers::prepare(&mut parts, version)?;
        edits.apply(&mut parts.headers);
        if let Some(upgrade) = self.upgrade {
            upgrade.ask(&mut parts.headers);
        }
        if let Some(deadline) = self.deadline {
            deadline::tell(&mut parts.headers, deadline.saturating_duration_since(admission.sent));
        }
        let attempt = self.earlier + self.exchange.tries - 1 - self.elsewhere;
        if attempt > 0 {
            headers::set_attempt(&mut parts.headers, attempt);
        }
        Ok(Request::from_parts(parts, body))
    }

    /// When this try must have response headers.
    fn try_deadline(&self, sent: Instant) -> Option<Instant> {
        let per_try = self.rule().and_then(|rule| rule.per_try_timeout).map(|timeout| sent + timeout);
        per_try.into_iter().chain(self.deadline).min()
    }
}

fn response_event(response: &Response<Incoming>, headers_after: Duration) -> Event {
    // A gRPC call that fails at once has its status in the headers, and no body.
    if let Some(code) = grpc_status(response.headers()) {
        return Event::Grpc { code, headers_after };
    }
    let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let retry_after = retry_after.map(Duration::from_secs);
    Event::Response { status: response.status().as_u16(), retry_after, headers_after }
}

fn send_event(error: &SendError) -> (Event, Option<Fault>) {
    let (event, fault) = match error {
        SendError::Connect(error) => connect_event(error),
        SendError::Overflow => (Event::LocalReject, Fault::Overflow),
        SendError::Refused => (Event::RefusedStream, Fault::UpstreamRefused),
        SendError::Stale => (Event::StaleConnection, Fault::UpstreamReset),
        SendError::Reset(_) | SendError::Unasked => (Event::ResetBeforeHeaders, Fault::UpstreamReset),
        SendError::Caller => (Event::ClientCancelled, Fault::ClientCancelled),
    };
    (event, Some(fault))
}

fn connect_event(error: &ConnectError) -> (Event, Fault) {
    match error {
        ConnectError::TimedOut(_) => (Event::ConnectTimedOut, Fault::ConnectFailed),
        ConnectError::Tcp(_) | ConnectError::Http(_) => (Event::ConnectFailed, Fault::ConnectFailed),
        ConnectError::Tls(_) => (Event::TlsFailed, Fault::TlsFailed),
    }
}
