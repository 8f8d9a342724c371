//! One request as a trace tells it: what is known when it begins, and what when it has ended. What others send is cut to
//! a length, since spans wait in memory.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::{HeaderMap, Method, Version, header::USER_AGENT, request::Parts};

use super::{Context, w3c};
use crate::fault::{Fault, is_grpc};

/// Bytes of one text that a caller has sent.
const TEXT_BYTES_MAX: usize = 1024;
/// Bytes of `tracestate`: so many every hop must pass on (Trace Context, 3.3.1.5). A longer one is no part of the span.
const STATE_BYTES_MAX: usize = 512;
/// Tries of one request that are told.
const TRIES_MAX: usize = 16;

/// On which side of a hop a span is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Before the application that is called.
    Server,
    /// Beside the one that calls.
    Client,
}

/// A span that has begun.
#[derive(Debug)]
pub struct Begun {
    /// Which, of which trace.
    pub context: Context,
    /// `tracestate`, empty if there is none.
    pub state: String,
    /// HTTP as the caller speaks it.
    pub version: Version,
    /// The caller's program, as it calls itself.
    pub user_agent: Option<String>,
    /// Whether it is a call of gRPC.
    pub is_grpc: bool,
    /// By which status that ended.
    pub grpc_status: Option<tonic::Code>,
    /// Tries that were not the last one.
    pub tries: Vec<FailedTry>,
}

/// A try that was followed by another.
#[derive(Clone, Copy, Debug)]
pub struct FailedTry {
    /// When it failed, after the span began.
    pub after: Duration,
    /// Why there was no response.
    pub fault: Option<Fault>,
    /// The response that was not good enough.
    pub status: Option<u16>,
    /// Who was asked.
    pub endpoint: Option<SocketAddr>,
}

/// A span that has ended.
#[derive(Debug)]
pub struct Span {
    /// What was known at first.
    pub begun: Box<Begun>,
    /// On which side of the hop.
    pub kind: Kind,
    /// When.
    pub start: SystemTime,
    /// For how long.
    pub took: Duration,
    /// Method.
    pub method: Method,
    /// Path, without the query.
    pub path: String,
    /// Host and port that the caller named.
    pub authority: String,
    /// Status that the caller got.
    pub status: u16,
    /// Bytes of the response body.
    pub body_bytes: u64,
    /// Retries.
    pub resends: u32,
    /// Who called, where it is known.
    pub caller: Option<IpAddr>,
    /// Who took the last try.
    pub endpoint: Option<SocketAddr>,
    /// Why the proxy answered itself.
    pub fault: Option<Fault>,
    /// What a policy has done to it, in words.
    pub injected: Option<Arc<str>>,
    /// SPIFFE id of the other sidecar.
    pub peer: Option<Arc<str>>,
    /// Service port that was called.
    pub destination: Option<Arc<str>>,
    /// Route that matched.
    pub route: Option<Arc<str>>,
}

impl Begun {
    pub(super) fn new(context: Context, request: &Parts) -> Self {
        let user_agent = request.headers.get(USER_AGENT);
        Self {
            context,
            state: if context.has_state { state(&request.headers) } else { String::new() },
            version: request.version,
            user_agent: user_agent.map(|value| cut(&String::from_utf8_lossy(value.as_bytes()))),
            is_grpc: is_grpc(request),
            grpc_status: None,
            tries: Vec::new(),
        }
    }

    /// One more try was in vain.
    pub fn tried(&mut self, failed: FailedTry) {
        if self.tries.len() < TRIES_MAX {
            self.tries.push(failed);
        }
    }
}

/// What all fields `tracestate` say together.
fn state(headers: &HeaderMap) -> String {
    let fields = headers.get_all(w3c::STATE).iter().filter_map(|value| value.to_str().ok());
    let state = fields.collect::<Vec<_>>().join(",");
    if state.len() > STATE_BYTES_MAX { String::new() } else { state }
}

/// `text` as far as it is told.
pub fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(TEXT_BYTES_MAX)].to_owned()
}
