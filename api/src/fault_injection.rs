//! `FaultInjectionPolicy`: which requests are held back or answered as if a service were slow or broken, to test who
//! calls it.

use serde::{Deserialize, Serialize};

use crate::{
    Duration,
    violation::{Violation, within},
};

/// A request is held for so long at most.
pub const DELAY_MAX: Duration = Duration::from_secs(300);

/// A proxy holds so many requests at once; what comes beyond that goes on at once.
pub const HELD_MAX: u32 = 1024;

/// `spec` of a `FaultInjectionPolicy`, less the targets it applies to. Also what a proxy receives, under
/// [`crate::names::METADATA_KEY`] of an xDS route.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct FaultInjection {
    /// Requests that are held before they go on, or are answered. Absent: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay: Option<Delay>,
    /// Requests that are answered in place of the service. Absent: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub abort: Option<Abort>,
}

/// Requests that are held.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Delay {
    /// Share of the requests, drawn for each of them; the finest step is 0.0001. Range 0-100.
    pub percent: f64,
    /// For how long, but not beyond the deadline of the request. Range 1 ms to 5 min.
    pub duration: Duration,
}

/// Requests that are answered in place of the service.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Abort {
    /// Share of the requests, drawn for each of them; the finest step is 0.0001. Range 0-100.
    pub percent: f64,
    /// Status of the answer; to calls of gRPC too, unless `grpcStatus` is there. Absent: only these are answered. Range
    /// 400-599.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_status: Option<u16>,
    /// Status of the answer to calls of gRPC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grpc_status: Option<GrpcStatus>,
}

/// A status of gRPC that is no success, by its name and number in the standard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "the standard says what each of them means")]
pub enum GrpcStatus {
    Cancelled = 1,
    Unknown = 2,
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    AlreadyExists = 6,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    Aborted = 10,
    OutOfRange = 11,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    DataLoss = 15,
    Unauthenticated = 16,
}

impl FaultInjection {
    /// Checks what the types cannot say. Errors name the field by its path below `spec`.
    pub fn validate(&self) -> Result<(), Violation> {
        if self.delay.is_none() && self.abort.is_none() {
            return Err(Violation::new("delay", "is missing, and so is abort; one of them must be there"));
        }
        if let Some(Delay { percent, duration }) = self.delay {
            share("delay.percent", percent)?;
            if !(Duration::from_millis(1)..=DELAY_MAX).contains(&duration) {
                let rule = format!("is {duration}; it must be within 1ms to {DELAY_MAX}");
                return Err(Violation::new("delay.duration", rule));
            }
        }
        let Some(Abort { percent, http_status, grpc_status }) = self.abort else { return Ok(()) };
        share("abort.percent", percent)?;
        if http_status.is_none() && grpc_status.is_none() {
            return Err(Violation::new("abort", "must hold httpStatus, grpcStatus, or both"));
        }
        http_status.map_or(Ok(()), |status| within("abort.httpStatus", status.into(), 400, 599))
    }
}

/// `percent` in millionths, the finest that proxies draw by.
pub fn parts_per_million(percent: f64) -> u32 {
    // A float is cut to the range of the integer, so nothing wraps.
    (percent * 10_000.0).round() as u32
}

fn share(field: &str, percent: f64) -> Result<(), Violation> {
    if (0.0..=100.0).contains(&percent) {
        return Ok(());
    }
    Err(Violation::new(field, format!("is {percent}; it must be within 0 to 100")))
}
