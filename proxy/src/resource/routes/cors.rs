//! What a route tells the CORS filter of HTTP.

use http::HeaderValue;
use weft_xds::{
    cors::CorsPolicy,
    packed::{UnpackError, unpack},
    route::{FilterConfig, Route as RouteMessage},
};

use super::text;
use crate::route::{Cors, Grant};

/// Name of the HTTP filter.
const CORS: &str = "envoy.filters.http.cors";

/// What `message` says of pages of other origins. What it tells other filters is passed over, since there are none.
pub(super) fn cors(message: &RouteMessage) -> Result<Option<Cors>, String> {
    let Some(config) = message.typed_per_filter_config.get(CORS) else { return Ok(None) };
    // It may stand there by itself, or with what is said about it.
    let policy: Result<CorsPolicy, UnpackError> = match unpack::<FilterConfig>(config) {
        Ok(FilterConfig { config: Some(config), .. }) => unpack(&config),
        _ => unpack(config),
    };
    let policy = policy.map_err(|error| format!("typed_per_filter_config `{CORS}`: {error}"))?;
    granted(&policy).map(Some).map_err(|reason| format!("typed_per_filter_config `{CORS}`: {reason}"))
}

fn granted(policy: &CorsPolicy) -> Result<Cors, String> {
    let origins = policy.allow_origin_string_match.iter().map(text).collect::<Result<_, _>>();
    Ok(Cors {
        origins: origins.map_err(|reason| format!("allow_origin_string_match: {reason}"))?,
        methods: grant("allow_methods", &policy.allow_methods)?,
        headers: grant("allow_headers", &policy.allow_headers)?,
        exposed: grant("expose_headers", &policy.expose_headers)?,
        max_age: value("max_age", &policy.max_age)?,
        credentials: policy.allow_credentials.unwrap_or_default(),
    })
}

fn grant(field: &str, list: &str) -> Result<Grant, String> {
    if list.trim() == "*" {
        return Ok(Grant::All);
    }
    Ok(value(field, list)?.map_or(Grant::Nothing, Grant::List))
}

fn value(field: &str, text: &str) -> Result<Option<HeaderValue>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    HeaderValue::from_str(text).map(Some).map_err(|_| format!("{field}: `{text}` is no value of a header"))
}
