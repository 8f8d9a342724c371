//! One request from its first byte to the last byte of its response: what it holds, and what is told of it when it
//! ends, however it ends.

use std::{
    borrow::Cow,
    net::IpAddr,
    rc::Rc,
    sync::Arc,
    time::{Instant, SystemTime},
};

use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header::HOST, request::Parts};
use weft_api::circuit_breaker::FallbackCause;

use crate::{
    admission::Admission,
    breaker::Event,
    fault::Fault,
    guard::cause_label,
    http::{
        body::{End, Watch},
        interim::Interim,
    },
    telemetry::{
        Direction,
        log::Entry,
        requests::{self, Series},
    },
    trace::{self, FailedTry, Span},
    upstream::Lease,
    worker::Worker,
};

/// One request.
pub struct Exchange {
    worker: Rc<Worker>,
    direction: Direction,
    started: Instant,
    method: Method,
    uri: Uri,
    host: Option<HeaderValue>,
    /// Where it is counted.
    pub requests: Option<Arc<Series>>,
    /// Service port that is called.
    pub destination: Option<Arc<str>>,
    /// Route that matched.
    pub route: Option<Arc<str>>,
    /// Whether the other side is a sidecar.
    pub tls: bool,
    /// SPIFFE id of the other side.
    pub peer: Option<Arc<str>>,
    /// Address of the one who called, where that is told.
    pub caller: Option<IpAddr>,
    /// The same where it only says to which endpoint a request goes.
    pub source: Option<IpAddr>,
    /// Where the last try went.
    pub address: Option<std::net::SocketAddr>,
    /// Tries so far.
    pub tries: u32,
    /// Cause of the canned answer.
    pub fallback: Option<FallbackCause>,
    /// Where what upstreams say before their response goes; `None` = the caller takes none.
    pub interim: Option<Interim>,
    /// Why the proxy answers itself.
    pub fault: Option<Fault>,
    /// The policy that is the cause of that, in words, where one is.
    pub words: Option<Arc<str>>,
    /// Why a policy in audit mode would refuse it, in words.
    pub audit: Option<Arc<str>>,
    /// The fault that a policy injected and that is no answer, in words.
    pub injected: Option<Arc<str>>,
    /// Whether it failed for good where it might have been retried.
    pub given_up: bool,
    span: Option<Box<trace::Begun>>,
    status: Option<StatusCode>,
    body_bytes: u64,
    held: Option<Held>,
    over: bool,
}

/// What a response holds until its last byte.
pub struct Held {
    /// The connection.
    pub lease: Lease,
    /// What the limits, breakers and balancer know of it; not for the local application.
    pub admission: Option<Admission>,
}

impl Exchange {
    /// A request that has just come in. In a box, since it is handed from the spine to the body of the response, and through
    /// all of hyper.
    pub fn begin(worker: &Rc<Worker>, direction: Direction, request: &Parts) -> Box<Self> {
        Box::new(Self {
            worker: Rc::clone(worker),
            direction,
            started: Instant::now(),
            method: request.method.clone(),
            uri: request.uri.clone(),
            host: request.headers.get(HOST).cloned(),
            requests: None,
            destination: None,
            route: None,
            tls: false,
            peer: None,
            caller: None,
            source: None,
            address: None,
            tries: 0,
            fallback: None,
            interim: None,
            fault: None,
            words: None,
            audit: None,
            injected: None,
            given_up: false,
            span: None,
            status: None,
            body_bytes: 0,
            held: None,
            over: false,
        })
    }

    /// Which way it goes.
    pub fn direction(&self) -> Direction {
        self.direction
    }

    /// When it came in.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// Asks whether there is memory for it.
    pub fn room(&mut self) -> Result<(), Fault> {
        self.worker.room(self.direction).map_err(|words| {
            self.words = Some(words);
            Fault::Shed
        })
    }

    /// Begins the span of `request`, if it has one. Where nobody has said so, it has one only if it `may_begin` a trace.
    pub fn trace(&mut self, request: &Parts, may_begin: bool) {
        if let Some(tracer) = &self.worker.shared.telemetry.tracer {
            self.span = tracer.begin(request, may_begin, &mut *self.worker.random.borrow_mut());
        }
    }

    /// Tells the next hop of the span, if there is one.
    pub fn propagate(&self, headers: &mut HeaderMap) {
        if let Some(span) = &self.span {
            span.context.write(headers);
        }
    }

    /// A try was in vain, and another one follows.
    pub fn try_failed(&mut self, result: Result<StatusCode, Fault>) {
        let (after, endpoint) = (self.started.elapsed(), self.address);
        if let Some(span) = &mut self.span {
            let (status, fault) = (result.ok().map(|status| status.as_u16()), result.err());
            span.tried(FailedTry { after, fault, status, endpoint });
        }
    }

    /// What the headers of the response, or its trailers, say of how a call ended.
    pub fn hear(&mut self, headers: &HeaderMap) {
        if let Some(span) = self.span.as_mut().filter(|span| span.is_grpc) {
            span.grpc_status = grpc_status(headers).or(span.grpc_status);
        }
    }

    /// Response headers go to the caller now: from here on, the body is watched.
    pub fn respond(&mut self, status: StatusCode, held: Option<Held>) {
        self.status = Some(status);
        self.held = held;
        self.count(status);
    }

    fn count(&self, status: StatusCode) {
        if let Some(requests) = &self.requests {
            let outcome = requests::Outcome { status, tls: self.tls, fault: self.fault };
            requests.record(self.worker.index, outcome, self.started.elapsed());
        }
    }

    fn settle(&mut self, end: End) {
        let Some(Held { lease, admission }) = self.held.take() else { return };
        if let Some(mut admission) = admission {
            match end {
                // When the caller leaves, the headers were good all the same.
                End::Complete | End::Cancelled => admission.succeed(Instant::now()),
                End::Broken => admission.break_off(Instant::now()),
            }
        }
        if end == End::Complete {
            lease.finish();
        }
    }

    /// The try whose outcome is not yet known, if there is one.
    fn owed(&mut self) -> Option<&mut Admission> {
        self.held.as_mut()?.admission.as_mut().filter(|admission| admission.is_owed())
    }

    fn final_status(&self) -> u16 {
        self.status.unwrap_or_else(|| Fault::ClientCancelled.status()).as_u16()
    }

    fn tell(&self) {
        let status = self.final_status();
        let log = &self.worker.shared.telemetry.log;
        if !log.wants(status, self.fault, self.audit.is_some() || self.injected.is_some()) {
            return;
        }
        let local = self
            .worker
            .shared
            .credentials
            .identity()
            .filter(|_| self.tls)
            .map(|identity| identity.id().to_string());
        log.tell(&Entry {
            time: self.time(),
            direction: self.direction.label(),
            method: self.method.as_str(),
            path: self.uri.path(),
            authority: &self.authority(),
            status,
            duration_ms: self.started.elapsed(),
            body_bytes: self.body_bytes,
            tls: self.tls,
            peer: self.peer.as_deref(),
            local: local.as_deref(),
            destination: self.destination.as_deref(),
            route: self.route.as_deref(),
            endpoint: self.address.map(|address| address.to_string()),
            tries: (self.tries > 0).then_some(self.tries),
            fallback: self.fallback.map(cause_label),
            fault: self.fault,
            reason: self.words.as_deref().or(self.fault.map(Fault::reason)),
            audit: self.audit.as_deref(),
            injected: self.injected.as_deref(),
        });
    }

    /// When it came in, by the clock: read only where somebody is told.
    fn time(&self) -> SystemTime {
        let now = SystemTime::now();
        now.checked_sub(self.started.elapsed()).unwrap_or(now)
    }

    /// The authority that the caller named.
    fn authority(&self) -> Cow<'_, str> {
        match (self.uri.authority(), &self.host) {
            (Some(authority), _) => Cow::Borrowed(authority.as_str()),
            (None, Some(host)) => String::from_utf8_lossy(host.as_bytes()),
            (None, None) => Cow::Borrowed(""),
        }
    }

    /// Hands the span over.
    fn finish_span(&mut self) {
        let Some(begun) = self.span.take() else { return };
        let Some(tracer) = &self.worker.shared.telemetry.tracer else { return };
        tracer.finish(Box::new(Span {
            begun,
            kind: match self.direction {
                Direction::Inbound => trace::Kind::Server,
                Direction::Outbound => trace::Kind::Client,
            },
            start: self.time(),
            took: self.started.elapsed(),
            method: self.method.clone(),
            path: trace::cut(self.uri.path()),
            authority: trace::cut(&self.authority()),
            status: self.final_status(),
            body_bytes: self.body_bytes,
            resends: self.tries.saturating_sub(1),
            caller: self.caller,
            endpoint: self.address,
            fault: self.fault,
            injected: self.injected.clone(),
            peer: self.peer.clone(),
            destination: self.destination.clone(),
            route: self.route.clone(),
        }));
    }
}

impl Watch for Exchange {
    fn sent(&mut self, bytes: usize) {
        self.body_bytes += bytes as u64;
        if let Some(admission) = self.owed() {
            admission.go_on(Instant::now());
        }
    }

    fn trailers(&mut self, trailers: &HeaderMap) {
        self.hear(trailers);
        let Some(admission) = self.owed() else { return };
        let (Some(code), Some(headers)) = (grpc_status(trailers), admission.headers) else { return };
        let headers_after = headers.saturating_duration_since(admission.sent);
        admission.report(Event::Grpc { code, headers_after }, false, Instant::now());
    }

    fn ended(&mut self, end: End) {
        if std::mem::replace(&mut self.over, true) {
            return;
        }
        match end {
            End::Complete => {}
            End::Broken => self.fault = self.fault.or(Some(Fault::BodyBroken)),
            End::Cancelled => self.fault = self.fault.or(Some(Fault::ClientCancelled)),
        }
        self.settle(end);
        self.tell();
        self.finish_span();
    }
}

impl Drop for Exchange {
    /// The caller went away before there was a response.
    fn drop(&mut self) {
        if !self.over {
            self.fault = Some(Fault::ClientCancelled);
            self.count(Fault::ClientCancelled.status());
            self.ended(End::Cancelled);
        }
    }
}

/// The gRPC status of a response's headers or trailers.
pub fn grpc_status(headers: &HeaderMap) -> Option<tonic::Code> {
    let status = headers.get("grpc-status")?;
    Some(tonic::Code::from_bytes(status.as_bytes()))
}
