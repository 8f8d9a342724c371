//! `CircuitBreakerPolicy`: limits, failure accrual at two scopes, and what the caller gets meanwhile.

use serde::{Deserialize, Serialize};

use crate::{
    Duration,
    policy::Mode,
    violation::{Violation, within},
};

/// Statuses are named by so many codes and ranges at most.
pub const STATUSES_MAX: usize = 64;
/// The body of a canned answer has so many bytes at most.
pub const FALLBACK_BODY_BYTES_MAX: usize = 64 * 1024;

/// `spec` of a `CircuitBreakerPolicy`, less the targets it applies to. Also what a proxy receives, under
/// [`crate::names::METADATA_KEY`] of an xDS resource.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct CircuitBreaker {
    /// How much may be under way at once.
    pub limits: Limits,
    /// What counts as a failure.
    pub failures: Failures,
    /// Breaker of each single endpoint: the balancer passes over an open one.
    pub endpoint: Breaker,
    /// Breaker of the whole target (Service or route): while it is open, requests fail fast or get the fallback.
    /// Absent: no target breaker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<Breaker>,
    /// The canned answer that callers get instead of an error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fallback: Option<Fallback>,
    /// Whether to act, or to compute and report only.
    pub mode: Mode,
}

/// Exact bounds on what is under way to one destination, per proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Limits {
    /// Connections open at once. Default 1024.
    pub max_connections: u32,
    /// Requests waiting for a connection at once. Default 1024.
    pub max_pending: u32,
    /// Requests in flight at once. Default 1024.
    pub max_requests: u32,
}

impl Default for Limits {
    /// The numbers of Envoy's default thresholds.
    fn default() -> Self {
        Self { max_connections: 1024, max_pending: 1024, max_requests: 1024 }
    }
}

/// Which answers are failures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Failures {
    /// HTTP status codes: single (`503`) or ranges (`500-599`), at most 64. 501 and 505 count only when named singly.
    pub http: Vec<StatusRange>,
    /// A response slower than this, to its headers, is a failure. Absent: off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slower_than: Option<Duration>,
}

impl Default for Failures {
    fn default() -> Self {
        Self { http: vec![StatusRange { first: 500, last: 599 }], slower_than: None }
    }
}

/// An inclusive range of HTTP status codes, written `503` or `500-599`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "StatusText", into = "String")]
pub struct StatusRange {
    /// First code of the range.
    pub first: u16,
    /// Last code of the range, itself included.
    pub last: u16,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum StatusText {
    Code(u16),
    Range(String),
}

impl StatusRange {
    /// Whether `status` is in the range. 501 (not implemented) and 505 (version) say something about the request,
    /// not about the server's health, so a range passes over them; naming one singly includes it.
    pub fn contains(self, status: u16) -> bool {
        let named = self.first == self.last;
        (self.first..=self.last).contains(&status) && (named || !matches!(status, 501 | 505))
    }
}

impl TryFrom<StatusText> for StatusRange {
    type Error = String;

    fn try_from(text: StatusText) -> Result<Self, String> {
        let (first, last) = match text {
            StatusText::Code(code) => (code, code),
            StatusText::Range(text) => {
                let (first, last) = text.split_once('-').unwrap_or((&text, &text));
                let code = |part: &str| {
                    part.trim()
                        .parse()
                        .map_err(|_| format!("`{text}` is not a status code or range such as `500-599`"))
                };
                (code(first)?, code(last)?)
            }
        };
        if first > last || !(100..=599).contains(&first) || !(100..=599).contains(&last) {
            return Err(format!("status range {first}-{last} must ascend within 100-599"));
        }
        Ok(Self { first, last })
    }
}

impl From<StatusRange> for String {
    fn from(range: StatusRange) -> Self {
        if range.first == range.last {
            range.first.to_string()
        } else {
            format!("{}-{}", range.first, range.last)
        }
    }
}

/// One failure-accrual state machine. The same fields at endpoint and target scope; what is absent takes the
/// default of the scope.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Breaker {
    /// Trip after this many failures in a row; 0 = never by this rule. Default 5. Range 0-1000.
    pub consecutive: u32,
    /// Trip when this share of the requests in the window failed; 0 = never by this rule. Default 50. Range 0-100.
    pub failure_percent: u32,
    /// The share is judged only from this many requests on. Default 20. At least 1.
    pub min_requests: u32,
    /// How far the share looks back. Default 10 s. Range 1-600 s.
    pub window: Duration,
    /// How long the breaker stays open, and how that grows.
    pub open: Open,
    /// How it finds out whether to close.
    pub half_open: HalfOpen,
    /// Endpoint scope: at most this share of the endpoints is ejected at once, though one of two or more may always be,
    /// and never all. 0 = none at all. Default 50. Range 0-100.
    pub max_ejection_percent: u32,
    /// Endpoint scope: after closing, the endpoint's share grows from 10 % to all over this time; 0 = at once.
    /// Default 10 s.
    pub slow_start: Duration,
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            consecutive: 5,
            failure_percent: 50,
            min_requests: 20,
            window: Duration::from_secs(10),
            open: Open::default(),
            half_open: HalfOpen::default(),
            max_ejection_percent: 50,
            slow_start: Duration::from_secs(10),
        }
    }
}

/// Back-off of an open breaker: `base * 2^(trips - 1)`, at most `max`, plus up to `jitter` of itself.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Open {
    /// After the first trip. Default 3 s.
    pub base: Duration,
    /// At most. Default 60 s. Not below `base`.
    pub max: Duration,
    /// Share of the time that is added at random, so that proxies do not probe together. Default 0.5. Range 0-1.
    pub jitter: f64,
}

impl Default for Open {
    fn default() -> Self {
        Self { base: Duration::from_secs(3), max: Duration::from_secs(60), jitter: 0.5 }
    }
}

/// Probing of a half-open breaker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct HalfOpen {
    /// Probes at once. Default 1 at endpoint scope, 3 at target scope. Range 1-100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probes: Option<u32>,
    /// Successes needed to close. Default 1 at endpoint scope, 3 at target scope. Range 1-100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub successes: Option<u32>,
    /// A probe without an answer for this long is a failure. Default 5 s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
}

/// What callers get instead of an error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Fallback {
    /// When it is given. Default: while the target breaker is open.
    pub causes: Vec<FallbackCause>,
    /// Status of the answer. Default 200. Range 200-599.
    pub status: u16,
    /// Headers of the answer.
    pub headers: Vec<Header>,
    /// Body of the answer, at most 64 KiB.
    pub body: String,
}

impl Default for Fallback {
    fn default() -> Self {
        Self { causes: vec![FallbackCause::Open], status: 200, headers: Vec::new(), body: String::new() }
    }
}

/// Occasion of a fallback.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum FallbackCause {
    /// The target breaker is open.
    Open,
    /// The request failed for good, after its retries.
    Failure,
}

/// A header, as the Gateway API writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// Name, any case.
    pub name: String,
    /// Value.
    pub value: String,
}

impl CircuitBreaker {
    /// Checks what the types cannot say. Errors name the field by its path below `spec`.
    pub fn validate(&self) -> Result<(), Violation> {
        self.endpoint.validate("endpoint")?;
        if let Some(target) = &self.target {
            target.validate("target")?;
        }
        for (field, value) in [
            ("limits.maxConnections", self.limits.max_connections),
            ("limits.maxRequests", self.limits.max_requests),
        ] {
            within(field, value, 1, u32::MAX)?;
        }
        named("failures.http", &self.failures.http)?;
        if self.failures.slower_than.is_some_and(Duration::is_zero) {
            return Err(Violation::new(
                "failures.slowerThan",
                "must be longer than 0s; leave it out to switch it off",
            ));
        }
        let Some(fallback) = &self.fallback else { return Ok(()) };
        within("fallback.status", u32::from(fallback.status), 200, 599)?;
        if fallback.body.len() > FALLBACK_BODY_BYTES_MAX {
            return Err(Violation::new("fallback.body", "must be at most 64 KiB"));
        }
        if !(1..=2).contains(&fallback.causes.len()) {
            return Err(Violation::new("fallback.causes", "must name Open, Failure, or both"));
        }
        if self.target.is_none() && !fallback.causes.contains(&FallbackCause::Failure) {
            return Err(Violation::new(
                "fallback.causes",
                "is [Open] but `target` is absent, so it could never be given",
            ));
        }
        Ok(())
    }
}

impl Breaker {
    fn validate(&self, scope: &str) -> Result<(), Violation> {
        let at = |field: &str| format!("{scope}.{field}");
        within(&at("consecutive"), self.consecutive, 0, 1000)?;
        within(&at("failurePercent"), self.failure_percent, 0, 100)?;
        within(&at("minRequests"), self.min_requests, 1, u32::MAX)?;
        within(&at("maxEjectionPercent"), self.max_ejection_percent, 0, 100)?;
        for (field, value) in [("probes", self.half_open.probes), ("successes", self.half_open.successes)] {
            within(&at(&format!("halfOpen.{field}")), value.unwrap_or(1), 1, 100)?;
        }
        if !(Duration::from_secs(1)..=Duration::from_secs(600)).contains(&self.window) {
            return Err(Violation::new(
                at("window"),
                format!("is {}; it must be within 1s to 10m", self.window),
            ));
        }
        if self.half_open.timeout.is_some_and(Duration::is_zero) {
            return Err(Violation::new(at("halfOpen.timeout"), "must be longer than 0s"));
        }
        if self.open.base.is_zero() {
            return Err(Violation::new(at("open.base"), "must be longer than 0s"));
        }
        if self.open.base > self.open.max {
            let (base, max) = (self.open.base, self.open.max);
            return Err(Violation::new(
                at("open.base"),
                format!("is {base}, above open.max, which is {max}"),
            ));
        }
        if !(0.0..=1.0).contains(&self.open.jitter) {
            return Err(Violation::new(
                at("open.jitter"),
                format!("is {}; it must be within 0 to 1", self.open.jitter),
            ));
        }
        Ok(())
    }
}

/// `field` must not name more than [`STATUSES_MAX`] codes and ranges.
pub(crate) fn named(field: &str, statuses: &[StatusRange]) -> Result<(), Violation> {
    if statuses.len() <= STATUSES_MAX {
        return Ok(());
    }
    Err(Violation::new(field, format!("must hold at most {STATUSES_MAX} codes and ranges")))
}
