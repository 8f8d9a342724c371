//! What stands before a backend or a route: its limits, its breaker, and what callers get meanwhile.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use weft_api::{
    circuit_breaker::{Failures, FallbackCause},
    names,
};

use crate::{
    accrual::{Accrual, Open},
    breaker::{Event, Limits, Outcome, Pass, Permit, classify},
    fault::Fault,
};

/// The circuit breaker policy of one backend or route, as a snapshot has it. Limits, counters and breaker are shared
/// with the snapshots before and after.
#[derive(Debug)]
pub struct Guard {
    /// `<namespace>/<service>:<port>`, or the route's name.
    pub name: Arc<str>,
    /// What counts as a failure.
    pub failures: Failures,
    /// The target breaker, if the policy has one.
    pub target: Option<Arc<Accrual>>,
    /// The canned answer, if the policy has one.
    pub fallback: Option<Fallback>,
    /// Bounds on what is under way.
    pub limits: Limits,
    /// Whether to report only.
    pub audit: bool,
    /// What happened here.
    pub counts: Arc<Counts>,
}

/// Counters of one guard.
#[derive(Debug, Default)]
pub struct Counts {
    /// Requests refused because of a limit, on requests or on connections.
    pub overflows: AtomicU64,
    /// Canned answers while the breaker was open.
    pub fallbacks_open: AtomicU64,
    /// Canned answers for requests that failed for good.
    pub fallbacks_failure: AtomicU64,
}

/// One try that a guard has let through. Dropped, its place is free; without a report it says nothing about health.
#[derive(Debug)]
pub struct Entry {
    guard: Arc<Guard>,
    pass: Option<Pass>,
    /// The place within `limits.maxRequests`; `None` in audit mode, beyond the limit, and for what is no request.
    _permit: Option<Permit>,
}

/// A canned answer, ready to be sent.
#[derive(Clone, Debug)]
pub struct Fallback {
    on_open: bool,
    on_failure: bool,
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

/// Why a fallback cannot be given as it is written.
#[derive(Debug, thiserror::Error)]
pub enum InvalidFallback {
    /// The status is none.
    #[error("fallback.status {0} is not a status code")]
    Status(u16),
    /// A header is none.
    #[error("fallback.headers: `{0}` with its value is not a valid header")]
    Header(String),
}

impl Guard {
    /// Lets a try through: breaker first, then the limit, so that an open breaker costs nothing.
    pub fn enter(self: &Arc<Self>, now: Instant) -> Result<Entry, Fault> {
        let pass = self.pass(now)?;
        let permit = self.limits.requests.try_acquire().ok();
        if permit.is_none() {
            self.counts.overflows.fetch_add(1, Relaxed);
            if !self.audit {
                return Err(Fault::Overflow);
            }
        }
        Ok(Entry { guard: Arc::clone(self), pass, _permit: permit })
    }

    /// Lets the try of an opaque connection through. It is no request: `limits.maxConnections` bounds it.
    pub fn enter_opaque(self: &Arc<Self>, now: Instant) -> Result<Entry, Fault> {
        Ok(Entry { guard: Arc::clone(self), pass: self.pass(now)?, _permit: None })
    }

    fn pass(&self, now: Instant) -> Result<Option<Pass>, Fault> {
        match self.target.as_ref().map(|target| target.acquire(now)) {
            None => Ok(None),
            Some(Ok(pass)) => Ok(pass),
            Some(Err(Open { retry_after })) => Err(Fault::BreakerOpen { retry_after }),
        }
    }

    /// Counts and makes the canned answer for `cause`, if the policy gives one.
    pub fn fall_back(&self, cause: FallbackCause) -> Option<http::Response<Bytes>> {
        let fallback = self.fallback.as_ref().filter(|_| !self.audit)?;
        let (given, count) = match cause {
            FallbackCause::Open => (fallback.on_open, &self.counts.fallbacks_open),
            FallbackCause::Failure => (fallback.on_failure, &self.counts.fallbacks_failure),
        };
        given.then(|| {
            count.fetch_add(1, Relaxed);
            fallback.response(cause)
        })
    }

    /// A guard that lets everything through.
    #[cfg(test)]
    pub fn for_tests(name: &str) -> Arc<Self> {
        Arc::new(Self {
            name: name.into(),
            failures: Failures::default(),
            target: None,
            fallback: None,
            limits: Limits::new(&weft_api::circuit_breaker::Limits::default()),
            audit: false,
            counts: Arc::default(),
        })
    }
}

impl Entry {
    /// Who let it through.
    pub fn guard(&self) -> &Guard {
        &self.guard
    }

    /// How the try ended, by this guard's idea of a failure.
    pub fn outcome(&self, event: Event, starved: bool) -> Outcome {
        classify(event, &self.guard.failures, starved).outcome
    }

    /// Reports the outcome. Later reports do nothing.
    pub fn settle(&mut self, outcome: Outcome, now: Instant) {
        if let Some(target) = &self.guard.target {
            target.report(self.pass.take(), now, outcome);
        }
    }

    /// Whether a report is still owed.
    pub fn is_owed(&self) -> bool {
        self.pass.is_some()
    }

    /// Whether the breaker waits for this try to find out where it stands.
    pub fn is_probe(&self) -> bool {
        self.pass.as_ref().is_some_and(Pass::is_probe)
    }
}

impl Fallback {
    /// Makes the answer that `policy` describes.
    pub fn new(policy: &weft_api::circuit_breaker::Fallback) -> Result<Self, InvalidFallback> {
        let status =
            StatusCode::from_u16(policy.status).map_err(|_| InvalidFallback::Status(policy.status))?;
        let mut headers = HeaderMap::new();
        for header in &policy.headers {
            let invalid = || InvalidFallback::Header(header.name.clone());
            let name = HeaderName::from_bytes(header.name.as_bytes()).map_err(|_| invalid())?;
            headers.append(name, HeaderValue::from_str(&header.value).map_err(|_| invalid())?);
        }
        // The length follows from the body; another one would be a lie on the wire.
        headers.remove(http::header::CONTENT_LENGTH);
        headers.remove(http::header::TRANSFER_ENCODING);
        Ok(Self {
            on_open: policy.causes.contains(&FallbackCause::Open),
            on_failure: policy.causes.contains(&FallbackCause::Failure),
            status,
            headers,
            body: Bytes::from(policy.body.clone()),
        })
    }

    /// The answer for a caller, marked as what it is.
    fn response(&self, cause: FallbackCause) -> http::Response<Bytes> {
        let mut response = http::Response::new(self.body.clone());
        *response.status_mut() = self.status;
        response.headers_mut().clone_from(&self.headers);
        response.headers_mut().insert(names::HEADER_FALLBACK, HeaderValue::from_static(cause_label(cause)));
        response
    }
}

/// A cause as header value, log field and metric label.
pub fn cause_label(cause: FallbackCause) -> &'static str {
    match cause {
        FallbackCause::Open => "open",
        FallbackCause::Failure => "failure",
    }
}

#[cfg(test)]
mod tests;
