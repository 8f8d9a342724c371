//! One request from its first byte to the last byte of its response: what it holds, and what is told of it when it
//! ends, however it ends.

use std::{
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header::HOST, request::Parts};
use weft_api::circuit_breaker::FallbackCause;

use crate::{
    balance::{Endpoint, InFlight},
    breaker::{Event, Outcome, Pass, Permit, classify},
    cluster::{Cluster, cause_label},
    fault::Fault,
    http::body::{End, Watch},
    telemetry::{
        log::Entry,
        requests::{self, Series},
    },
    upstream::Lease,
    worker::Worker,
};

/// A good response may still break off; within this time of its headers that is the endpoint's failure. After it the
/// outcome is settled, also for a stream that goes on for hours.
const SETTLED: Duration = Duration::from_secs(10);

/// Which way a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Into the local application.
    Inbound,
    /// Out to another service.
    Outbound,
}

/// One request.
pub struct Exchange {
    worker: Rc<Worker>,
    direction: Direction,
    started: Instant,
    time: SystemTime,
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
    /// Where the last try went.
    pub address: Option<std::net::SocketAddr>,
    /// Tries so far.
    pub tries: u32,
    /// Cause of the canned answer.
    pub fallback: Option<FallbackCause>,
    /// Why the proxy answers itself.
    pub fault: Option<Fault>,
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

/// An admitted try.
pub struct Admission {
    /// The backend.
    pub cluster: Arc<Cluster>,
    /// The endpoint.
    pub endpoint: Arc<Endpoint>,
    /// The target breaker's admission.
    pub target_pass: Option<Pass>,
    /// The endpoint breaker's admission.
    pub endpoint_pass: Option<Pass>,
    /// The place within `limits.maxRequests`.
    #[expect(dead_code, reason = "held, and given back when the response has ended")]
    pub permit: Option<Permit>,
    /// The endpoint's load.
    #[expect(dead_code, reason = "held, and given back when the response has ended")]
    pub in_flight: InFlight,
    /// When the try was sent.
    pub sent: Instant,
    /// When its response headers came.
    pub headers: Option<Instant>,
}

impl Admission {
    /// Reports the outcome to both breakers. Later calls do nothing.
    pub fn settle(&mut self, now: Instant, outcome: Outcome) {
        if let Some(target) = &self.cluster.target {
            target.report(self.target_pass.take(), now, outcome);
        }
        self.endpoint.accrual.report(self.endpoint_pass.take(), now, outcome);
    }

    /// Whether an outcome is still owed.
    fn is_open(&self) -> bool {
        self.target_pass.is_some() || self.endpoint_pass.is_some()
    }

    /// Whether a probe waits for the outcome.
    pub fn is_probe(&self) -> bool {
        [&self.target_pass, &self.endpoint_pass].into_iter().flatten().any(Pass::is_probe)
    }
}

impl Exchange {
    /// A request that has just come in.
    pub fn begin(worker: &Rc<Worker>, direction: Direction, request: &Parts) -> Self {
        Self {
            worker: Rc::clone(worker),
            direction,
            started: Instant::now(),
            time: SystemTime::now(),
            method: request.method.clone(),
            uri: request.uri.clone(),
            host: request.headers.get(HOST).cloned(),
            requests: None,
            destination: None,
            route: None,
            tls: false,
            peer: None,
            address: None,
            tries: 0,
            fallback: None,
            fault: None,
            status: None,
            body_bytes: 0,
            held: None,
            over: false,
        }
    }

    /// When it came in.
    pub fn started(&self) -> Instant {
        self.started
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
            let now = Instant::now();
            let outcome = match end {
                // When the caller leaves, the headers were good all the same.
                End::Complete | End::Cancelled => Outcome::Success,
                End::Broken => {
                    let after = now.saturating_duration_since(admission.headers.unwrap_or(now));
                    classify(Event::BodyBroken { after }, &admission.cluster.failures, false).outcome
                }
            };
            admission.settle(now, outcome);
        }
        if end == End::Complete {
            lease.finish();
        }
    }

    fn tell(&self) {
        let status = self.status.unwrap_or_else(|| Fault::ClientCancelled.status()).as_u16();
        let log = &self.worker.shared.telemetry.log;
        if !log.wants(status, self.fault) {
            return;
        }
        let local = self
            .worker
            .shared
            .credentials
            .identity()
            .filter(|_| self.tls)
            .map(|identity| identity.id().to_string());
        let host = self.host.as_ref().map(|host| String::from_utf8_lossy(host.as_bytes()));
        let authority = self.uri.authority().map(http::uri::Authority::as_str);
        log.tell(&Entry {
            time: self.time,
            direction: if self.direction == Direction::Inbound { "inbound" } else { "outbound" },
            method: self.method.as_str(),
            path: self.uri.path(),
            authority: authority.or(host.as_deref()).unwrap_or_default(),
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
            reason: self.fault.map(Fault::reason),
        });
    }
}

impl Watch for Exchange {
    fn sent(&mut self, bytes: usize) {
        self.body_bytes += bytes as u64;
        let Some(admission) = self.held.as_mut().and_then(|held| held.admission.as_mut()) else { return };
        if !admission.is_open() {
            return;
        }
        let now = Instant::now();
        if admission.headers.is_some_and(|headers| now.saturating_duration_since(headers) > SETTLED) {
            admission.settle(now, Outcome::Success);
        }
    }

    fn trailers(&mut self, trailers: &HeaderMap) {
        let Some(admission) = self.held.as_mut().and_then(|held| held.admission.as_mut()) else { return };
        let (Some(code), Some(headers)) = (grpc_status(trailers), admission.headers) else { return };
        let headers_after = headers.saturating_duration_since(admission.sent);
        let verdict = classify(Event::Grpc { code, headers_after }, &admission.cluster.failures, false);
        admission.settle(Instant::now(), verdict.outcome);
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
