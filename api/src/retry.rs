//! `RetryPolicy`: which failures are tried again, how often, and within which budget.

use serde::{Deserialize, Serialize};

use crate::{
    Duration,
    circuit_breaker::{StatusRange, named},
    violation::{Violation, within},
};

/// `spec` of a `RetryPolicy`, less the targets it applies to. Also what a proxy receives, under
/// [`crate::names::METADATA_KEY`] of an xDS route.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Retry {
    /// HTTP status codes that are tried again, at most 64 codes and ranges. Default 502-504. Failures before a byte was sent always are.
    pub http: Vec<StatusRange>,
    /// Retries after the first try, as in the Gateway API. Default 1. Range 0-5.
    pub attempts: u32,
    /// Pause before a retry.
    pub backoff: Backoff,
    /// Each try must have response headers within this time. Absent: only the request's deadline counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_try_timeout: Option<Duration>,
    /// The whole request, retries included, must have response headers within this time. Absent: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// How many retries there may be in relation to requests.
    pub budget: Budget,
    /// A request body is kept for a retry up to this many bytes. Default 65536, which is also the most.
    pub max_body_bytes: u32,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            http: vec![StatusRange { first: 502, last: 504 }],
            attempts: 1,
            backoff: Backoff::default(),
            per_try_timeout: None,
            timeout: None,
            budget: Budget::default(),
            max_body_bytes: 64 * 1024,
        }
    }
}

/// Full jitter: a random time below `base * 2^n`, at most `max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Backoff {
    /// Before the first retry, at most. Default 25 ms.
    pub base: Duration,
    /// Before any retry, at most. Default 250 ms.
    pub max: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { base: Duration::from_millis(25), max: Duration::from_millis(250) }
    }
}

/// Retries are at most `percent` of the requests of the last `interval`, and `min_per_second` beside that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Budget {
    /// Share of the requests. Default 20. Range 0-100.
    pub percent: u32,
    /// How far the budget looks back. Default 10 s. Range 1-60 s.
    pub interval: Duration,
    /// Retries per second that are always allowed, so that a quiet client may retry at all. Default 1.
    pub min_per_second: u32,
}

impl Default for Budget {
    fn default() -> Self {
        Self { percent: 20, interval: Duration::from_secs(10), min_per_second: 1 }
    }
}

impl Retry {
    /// Checks what the types cannot say. Errors name the field by its path below `spec`.
    pub fn validate(&self) -> Result<(), Violation> {
        named("http", &self.http)?;
        within("attempts", self.attempts, 0, 5)?;
        within("budget.percent", self.budget.percent, 0, 100)?;
        within("budget.minPerSecond", self.budget.min_per_second, 0, 1000)?;
        within("maxBodyBytes", self.max_body_bytes, 0, 64 * 1024)?;
        if !(Duration::from_secs(1)..=Duration::from_secs(60)).contains(&self.budget.interval) {
            return Err(Violation::new(
                "budget.interval",
                format!("is {}; it must be within 1s to 1m", self.budget.interval),
            ));
        }
        if self.backoff.base > self.backoff.max {
            let Backoff { base, max } = self.backoff;
            return Err(Violation::new(
                "backoff.base",
                format!("is {base}, above backoff.max, which is {max}"),
            ));
        }
        for (field, value) in [("perTryTimeout", self.per_try_timeout), ("timeout", self.timeout)] {
            if value.is_some_and(Duration::is_zero) {
                return Err(Violation::new(field, "must be longer than 0s; leave it out for no limit"));
            }
        }
        Ok(())
    }
}
