//! What a request leaves behind: one observation in a histogram and, if asked for, one line in the access log and one
//! span of a trace. Recorded once, by the spines.

// What policies did, counted.
pub mod deeds;
// Opaque connections, counted.
pub mod connections;
// The requests, counted.
pub mod requests;
// Both, told.
pub mod log;

use std::sync::Arc;

use connections::Connections;
use deeds::Deeds;
use requests::Family;

use crate::trace::Tracer;

/// Which way requests and connections go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Into the local application.
    Inbound,
    /// Out to another service.
    Outbound,
}

impl Direction {
    /// As metric label and log field.
    pub fn label(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
        }
    }
}

/// Everything the spines record into.
pub struct Telemetry {
    /// Requests that came in for the local application.
    pub server: Arc<Family>,
    /// Requests that went out to other services.
    pub client: Arc<Family>,
    /// Connections whose bytes were not looked at, both ways.
    pub connections: Arc<Connections>,
    /// What policies did.
    pub deeds: Arc<Deeds>,
    /// The access log.
    pub log: log::AccessLog,
    /// Spans of traces, where somebody wants them.
    pub tracer: Option<Tracer>,
}

impl Telemetry {
    /// For `workers` threads that record; each into its own cells. Without traces.
    pub fn new(workers: usize, log: log::AccessLog) -> Self {
        let server = Family::new(
            "http_server_request_duration_seconds",
            "Requests to the local application, from the first byte read to response headers.",
            ["source", "port"],
            workers,
        );
        let client = Family::new(
            "http_client_request_duration_seconds",
            "Requests of the local application to other services, retries included, to response headers.",
            ["destination", "route"],
            workers,
        );
        Self {
            server: Arc::new(server),
            client: Arc::new(client),
            connections: Arc::default(),
            deeds: Arc::default(),
            log,
            tracer: None,
        }
    }
}
