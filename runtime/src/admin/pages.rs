//! What the endpoint answers: a method and a path in, a response out.

use hyper::{Method, StatusCode};

use super::Route;
use crate::{metrics::Registry, readiness::Readiness};

const TEXT: &str = "text/plain; charset=utf-8";

/// The content type of the Prometheus text exposition format.
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Where the answers come from.
pub(super) struct Pages {
    pub(super) registry: Registry,
    pub(super) readiness: Readiness,
    pub(super) routes: Vec<Route>,
}

/// An answer, before it becomes HTTP.
pub(super) struct Page {
    pub(super) status: StatusCode,
    pub(super) content_type: &'static str,
    pub(super) body: String,
}

impl Pages {
    /// The answer to `method` at `path`. A route cannot take the place of a built-in page.
    pub(super) fn answer(&self, method: &Method, path: &str) -> Page {
        if method != Method::GET && method != Method::HEAD {
            return text(StatusCode::METHOD_NOT_ALLOWED, "this endpoint is read-only\n");
        }
        match path {
            "/metrics" => ok(METRICS, self.registry.encode()),
            "/live" => ok(TEXT, "live\n"),
            "/ready" => self.ready(),
            _ => match self.routes.iter().find(|(at, ..)| *at == path) {
                Some((_, content_type, body)) => ok(content_type, body()),
                None => text(StatusCode::NOT_FOUND, "no such page\n"),
            },
        }
    }

    fn ready(&self) -> Page {
        let waiting_for = self.readiness.waiting_for();
        if self.readiness.is_draining() {
            text(StatusCode::SERVICE_UNAVAILABLE, "draining\n")
        } else if waiting_for.is_empty() {
            ok(TEXT, "ready\n")
        } else {
            text(StatusCode::SERVICE_UNAVAILABLE, format!("waiting for {}\n", waiting_for.join(", ")))
        }
    }
}

fn ok(content_type: &'static str, body: impl Into<String>) -> Page {
    Page { status: StatusCode::OK, content_type, body: body.into() }
}

fn text(status: StatusCode, body: impl Into<String>) -> Page {
    Page { status, content_type: TEXT, body: body.into() }
}
