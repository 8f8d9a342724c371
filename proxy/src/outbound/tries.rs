//! A request on its way to a backend: for each try a backend by weight, the guards, an endpoint, the request itself.

use std::{
    cell::RefCell,
    pin::pin,
    rc::Rc,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant, SystemTime},
};

use futures_util::future::Either;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, header::SET_COOKIE, request::Parts};
use hyper::body::{Body, Incoming};
use rand::Rng;
use tokio::time::{sleep, timeout_at};
use weft_api::circuit_breaker::FallbackCause;

use super::{Answer, NO_EDITS, outcome};
use crate::{
    admission::Admission,
    affinity::Place,
    balance::{Endpoint, Picked},
    breaker::{Event, Outcome, Retryable, Verdict},
    cluster::Cluster,
    deadline,
    exchange::{Exchange, Held},
    fault::{Blame, Fault},
    http::{
        headers,
        replay::{Kept, Replay, RequestBody},
        serve::Version,
        source::Source,
    },
    retry::Decision,
    route::{Backend, Forward, HeaderEdits, session::Session},
    upgrade::Upgrade,
    upstream::{SendError, hear},
    worker::Worker,
};

/// Tries at other endpoints that a request gets beside those of a policy, as long as nobody has processed it.
const ELSEWHERE_MAX: u32 = 2;
/// So much of a body is kept for them where no policy says how much: most calls of gRPC, and no upload.
const ELSEWHERE_BODY_BYTES_MAX: usize = 16 * 1024;

/// The tries of one request.
pub(super) struct Tries<'a, 'r> {
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
    /// The session that the caller has.
    session: Option<Session>,
    /// Where the request goes by its hash, and at which backend.
    place: Option<(&'r Arc<Cluster>, Place)>,
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

    fn status(&self) -> Result<StatusCode, Fault> {
        self.result.as_ref().map(|(response, _)| response.status()).map_err(|fault| *fault)
    }

    fn cluster(&self) -> Option<&'r Arc<Cluster>> {
        self.backend.and_then(|backend| backend.cluster.as_ref())
    }
}

impl<'a, 'r> Tries<'a, 'r> {
    pub(super) fn new(
        worker: &'a Rc<Worker>,
        forward: &'r Forward,
        exchange: &'a mut Exchange,
        request: &'a mut Parts,
        body: Source,
        upgrade: Option<&'a Upgrade>,
    ) -> Self {
        let earlier = headers::strip_ours(&mut request.headers);
        let deadline = deadline::of(&request.headers, exchange.started(), forward.timeout);
        let sessions = forward.sessions.as_ref();
        let session = sessions.and_then(|sessions| sessions.shown(&request.headers, SystemTime::now()));
        let mut tries = Self {
            worker,
            forward,
            exchange,
            request,
            upgrade,
            kept: None,
            earlier,
            deadline,
            session,
            place: None,
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

    /// Tries until one is good enough, or the last one.
    pub(super) async fn run(mut self) -> Result<Answer<'r>, Fault> {
        loop {
            self.exchange.tries += 1;
            let tried = self.once().await;
            let Some(pause) = self.pause(&tried) else { return self.answer(tried) };
            self.exchange.try_failed(tried.status());
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
        let told = [self.tell(&tried), self.give(&tried)];
        let backend = tried.backend.map_or(&NO_EDITS, |backend| &backend.edits.response);
        tried.result.map(|(response, held)| Answer::Upstream { response, held, backend, told })
    }

    /// The cookie by which the caller's next request has the same hash.
    fn give(&self, tried: &Try<'_>) -> Option<(HeaderName, HeaderValue)> {
        let (cluster, place) = self.place.as_ref()?;
        let is_its_own = tried.cluster().is_some_and(|answered| Arc::ptr_eq(answered, cluster));
        place.cookie.clone().filter(|_| is_its_own).map(|cookie| (SET_COOKIE, cookie))
    }

    /// The hash by which the request's endpoint is chosen at `cluster`, the same for all of its tries; `None` = by none.
    fn hash(&mut self, cluster: &'r Arc<Cluster>) -> Option<u64> {
        let affinity = cluster.affinity.as_ref()?;
        let known = self.place.as_ref().filter(|(of, _)| Arc::ptr_eq(of, cluster));
        if let Some((_, place)) = known {
            return place.hash;
        }
        let random = &mut *self.worker.random.borrow_mut();
        let mut place = affinity.place(self.request, self.exchange.source, random);
        place.hash.get_or_insert_with(|| random.random());
        let hash = place.hash;
        self.place = Some((cluster, place));
        hash
    }

    /// What the caller is told of the session that it has from now on.
    fn tell(&self, tried: &Try<'_>) -> Option<(HeaderName, HeaderValue)> {
        let sessions = self.forward.sessions.as_ref()?;
        let (_, held) = tried.result.as_ref().ok()?;
        let endpoint = &held.admission.as_ref()?.endpoint;
        sessions.tell(self.session.as_ref(), tried.cluster()?.name(), endpoint, SystemTime::now())
    }

    /// Where the caller's session is, unless that has failed this very request.
    fn seat(&self) -> Option<(&'r Backend, &'r Arc<Endpoint>)> {
        let (index, endpoint) = self.forward.sessions.as_ref()?.seat(self.session.as_ref()?)?;
        let has_failed = self.tried.iter().any(|tried| Arc::ptr_eq(tried, endpoint));
        self.forward.backends.get(index).filter(|_| !has_failed).map(|backend| (backend, endpoint))
    }

    async fn once(&mut self) -> Try<'r> {
        let forward = self.forward;
        let seat = self.seat();
        let picked = match seat {
            Some((backend, _)) => Some(backend),
            None => forward.backends.pick(&mut *self.worker.random.borrow_mut()),
        };
        let Some((backend, cluster)) = picked.and_then(|backend| Some((backend, backend.cluster.as_ref()?)))
        else {
            return Try::refused(Fault::BackendMissing, None);
        };
        if self.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return Try::refused(Fault::DeadlineExceeded, Some(backend));
        }
        let mut admission = match self.admit(cluster, seat.map(|(_, endpoint)| endpoint)) {
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
        // Over a connection of its own HTTP/1.1 is spoken.
        let (alone, folds) = (self.upgrade.is_some(), self.upgrade.is_none() && peer.folds());
        let sending = pin!(hear(self.exchange.interim.as_ref(), folds, request, |request| {
            if alone {
                Either::Right(Box::pin(pools.send_alone(&peer, request, limits)))
            } else {
                Either::Left(pools.send(&peer, request, limits))
            }
        }));
        let sent = match self.try_deadline(admission.sent) {
            None => Ok(sending.await),
            Some(at) => timeout_at(at.into(), sending).await,
        };
        let now = Instant::now();
        let (event, fault) = match &sent {
            Ok(Ok((response, _))) => {
                (outcome::of_response(response, now.saturating_duration_since(admission.sent)), None)
            }
            Ok(Err(SendError::Caller)) if self.has_malformed_body() => {
                outcome::of_sending(&SendError::BadBody)
            }
            Ok(Err(error)) => outcome::of_sending(error),
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
    /// nothing. The endpoint is that of the caller's session, if it takes the try.
    fn admit(&mut self, cluster: &'r Arc<Cluster>, seat: Option<&Arc<Endpoint>>) -> Result<Admission, Fault> {
        let now = Instant::now();
        let route = self.forward.guard.as_ref().map(|guard| guard.enter(now)).transpose()?;
        let backend = cluster.guard.enter(now)?;
        let picked = seat.and_then(|endpoint| endpoint.pick(now)).or_else(|| {
            let hash = self.hash(cluster);
            cluster.endpoints.pick(now, &mut *self.worker.random.borrow_mut(), hash, &self.tried)
        });
        let Picked { endpoint, pass, in_flight } = picked.ok_or(Fault::NoEndpoint)?;
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

    /// HTTP/2 does not tell why a request had no end.
    fn has_malformed_body(&self) -> bool {
        self.kept.as_ref().is_some_and(|kept| kept.borrow().is_malformed())
    }

    /// When this try must have response headers.
    fn try_deadline(&self, sent: Instant) -> Option<Instant> {
        let per_try = self.rule().and_then(|rule| rule.per_try_timeout).map(|timeout| sent + timeout);
        per_try.into_iter().chain(self.deadline).min()
    }
}
