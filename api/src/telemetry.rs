//! Traces of requests: whom a sidecar tells of them, and how many begin with it.

use serde::{Deserialize, Serialize};

use crate::{ports::is_host_port, violation::Violation};

/// Share of the traces that begin where nothing else is said: enough to see how things are, and little to pay.
const DEFAULT_RATIO: f64 = 0.01;

/// Where spans go, and of which requests there are any. Its absence is that sidecars know nothing of traces, and pass on
/// the headers of others as they came.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tracing {
    /// `host:port` of a collector that takes OTLP over gRPC.
    pub endpoint: String,
    /// SPIFFE id of the sidecar before the collector, which is then spoken to by mTLS. Absent: without TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// Share of the requests that are traced of those which come without a decision, 0 to 1. Default 0.01. Who calls
    /// with a decision is obeyed.
    #[serde(default = "default_ratio")]
    pub ratio: f64,
}

impl Tracing {
    /// Checks what the types cannot say. Errors name the field by its path below `field`.
    pub fn validate(&self, field: &str) -> Result<(), Violation> {
        // A NaN is not within either.
        if !(0.0..=1.0).contains(&self.ratio) {
            let rule =
                format!("is {}; it must be within 0 to 1, such as 0.01 for one of a hundred", self.ratio);
            return Err(Violation::new(format!("{field}.ratio"), rule));
        }
        if !is_host_port(&self.endpoint) {
            let rule = format!(
                "is `{}`; write host:port, such as collector.observability:4317, without http:// before it",
                self.endpoint
            );
            return Err(Violation::new(format!("{field}.endpoint"), rule));
        }
        let fits = |id: &String| {
            let rest = id.strip_prefix("spiffe://").unwrap_or_default();
            rest.contains('/')
                && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._/".contains(&byte))
        };
        match &self.identity {
            Some(id) if !fits(id) => {
                let rule = format!(
                    "is `{id}`; write a SPIFFE id, spiffe://<trust domain>/ns/<namespace>/sa/<account>"
                );
                Err(Violation::new(format!("{field}.identity"), rule))
            }
            _ => Ok(()),
        }
    }
}

const fn default_ratio() -> f64 {
    DEFAULT_RATIO
}

#[cfg(test)]
mod tests;
