//! A backend: its endpoints, its limits, its breaker, and what callers get meanwhile.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use weft_api::{
    circuit_breaker::{Failures, FallbackCause},
    names,
};

use crate::{accrual::Accrual, balance::Endpoints, breaker::limits::Limits};

/// One backend as a snapshot has it. Limits, counters and breakers are shared with the snapshots before and after.
#[derive(Debug)]
pub struct Cluster {
    /// `<namespace>/<service>:<port>`.
    pub name: Arc<str>,
    /// What counts as a failure.
    pub failures: Failures,
    /// The breaker of the whole backend, if its policy has one.
    pub target: Option<Arc<Accrual>>,
    /// The canned answer, if its policy has one.
    pub fallback: Option<Fallback>,
    /// Bounds on what is under way.
    pub limits: Limits,
    /// Whether limits and fallback act, or are reported only.
    pub audit: bool,
    /// What happened here.
    pub counts: Arc<Counts>,
    /// Who takes requests.
    pub endpoints: Endpoints,
}

/// Counters of one backend.
#[derive(Debug, Default)]
pub struct Counts {
    /// Requests refused because of a limit.
    pub overflows: AtomicU64,
    /// Canned answers while the breaker was open.
    pub fallbacks_open: AtomicU64,
    /// Canned answers for requests that failed for good.
    pub fallbacks_failure: AtomicU64,
    /// Retries that were sent.
    pub retries: AtomicU64,
    /// Retries that the budget refused.
    pub retries_over_budget: AtomicU64,
}

/// A canned answer, ready to be sent.
#[derive(Clone, Debug)]
pub struct Fallback {
    /// While the breaker is open.
    pub on_open: bool,
    /// When a request has failed for good.
    pub on_failure: bool,
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
            on_open: policy.on.contains(&FallbackCause::Open),
            on_failure: policy.on.contains(&FallbackCause::Failure),
            status,
            headers,
            body: Bytes::from(policy.body.clone()),
        })
    }

    /// The answer for a caller, marked as what it is.
    pub fn response(&self, cause: FallbackCause) -> http::Response<Bytes> {
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

impl Cluster {
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

    /// A backend without endpoints.
    #[cfg(test)]
    pub fn for_tests(name: &str) -> Self {
        Self {
            name: name.into(),
            failures: Failures::default(),
            target: None,
            fallback: None,
            limits: Limits::new(&weft_api::circuit_breaker::Limits::default()),
            audit: false,
            counts: Arc::default(),
            endpoints: Endpoints::default(),
        }
    }
}
