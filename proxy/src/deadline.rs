//! How much time a request has left: read from what came, told to whoever is asked next.

use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName, HeaderValue, header::CONTENT_TYPE};

/// gRPC over HTTP/2, "Timeout": at most eight digits and a unit.
const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
/// Envoy's way to tell the next hop in plain HTTP, in milliseconds.
const EXPECTED_TIMEOUT: HeaderName = HeaderName::from_static("x-envoy-expected-rq-timeout-ms");
/// Most that eight digits hold.
const GRPC_VALUE_MAX: u128 = 99_999_999;

/// When the request that came in at `started` must be answered: the sooner of what its caller gives it and `own`, the
/// route's timeout. A header that is none gives nothing.
pub fn of(headers: &HeaderMap, started: Instant, own: Option<Duration>) -> Option<Instant> {
    let given = headers.get(GRPC_TIMEOUT).and_then(grpc_timeout);
    let expected = headers.get(EXPECTED_TIMEOUT).and_then(|value| value.to_str().ok()?.parse().ok());
    let expected = expected.map(Duration::from_millis);
    // A time beyond what the clock can say is no deadline.
    [given, expected, own].into_iter().flatten().filter_map(|time| started.checked_add(time)).min()
}

/// Tells the next hop how much is left of it.
pub fn tell(headers: &mut HeaderMap, left: Duration) {
    let is_grpc =
        headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"));
    let (name, text) = if is_grpc {
        (GRPC_TIMEOUT, grpc_text(left))
    } else {
        (EXPECTED_TIMEOUT, left.as_millis().to_string())
    };
    headers.insert(name, HeaderValue::from_str(&text).expect("digits and a letter are a valid header value"));
}

fn grpc_timeout(value: &HeaderValue) -> Option<Duration> {
    let (digits, unit) = value.to_str().ok()?.split_at_checked(value.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let value: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(value * 3600)),
        "M" => Some(Duration::from_secs(value * 60)),
        "S" => Some(Duration::from_secs(value)),
        "m" => Some(Duration::from_millis(value)),
        "u" => Some(Duration::from_micros(value)),
        "n" => Some(Duration::from_nanos(value)),
        _ => None,
    }
}

/// In the finest unit whose value has eight digits, rounded down: nobody may be told more than is left.
fn grpc_text(left: Duration) -> String {
    let units = [(left.as_nanos(), 'n'), (left.as_micros(), 'u'), (left.as_millis(), 'm')];
    let fitting = units.into_iter().find(|(value, _)| *value <= GRPC_VALUE_MAX);
    let (value, unit) = fitting.unwrap_or((u128::from(left.as_secs()).min(GRPC_VALUE_MAX), 'S'));
    format!("{value}{unit}")
}

#[cfg(test)]
mod tests;
