//! What a span is in OTLP: names of attributes are those of OpenTelemetry's semantic conventions for HTTP and RPC, and
//! `weft.…` where they have none.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{Method, Version, uri::Authority};
use tonic::Code;
use weft_api::bootstrap::Workload;

use super::otlp::{
    AnyValue, Event, ExportTraceServiceRequest, HAS_IS_REMOTE, IS_REMOTE, InstrumentationScope, KeyValue,
    Resource, ResourceSpans, STATUS_CODE_ERROR, ScopeSpans, Span as Message, SpanKind, Status, Value,
};
use crate::{
    fault::Fault,
    trace::{FailedTry, Kind, Span},
};

/// Methods that have a name (RFC 9110, 9; RFC 5789). Anything else could be anything.
const METHODS: [Method; 9] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::DELETE,
    Method::CONNECT,
    Method::OPTIONS,
    Method::TRACE,
    Method::PATCH,
];
/// What stands for all others.
const OTHER_METHOD: &str = "_OTHER";
/// Bytes of the name of a call that is told as such.
const CALL_BYTES_MAX: usize = 256;

/// Who tells: the workload beside this sidecar.
pub fn resource(workload: &Workload) -> Resource {
    let mut attributes = Attributes::default();
    attributes.text("service.name", workload.service.as_ref().unwrap_or(&workload.service_account));
    attributes.text("service.namespace", &workload.namespace);
    attributes.text("service.instance.id", &workload.name);
    Resource { attributes: attributes.0 }
}

/// One batch as it is sent.
pub fn request(resource: &Resource, spans: &[Box<Span>]) -> ExportTraceServiceRequest {
    let scope = InstrumentationScope {
        name: env!("CARGO_PKG_NAME").to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let spans = spans.iter().map(|span| message(span)).collect();
    let scope_spans = vec![ScopeSpans { scope: Some(scope), spans }];
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans { resource: Some(resource.clone()), scope_spans }],
    }
}

fn message(span: &Span) -> Message {
    let context = &span.begun.context;
    let parent = context.parent.map(|parent| parent.get().to_be_bytes().to_vec());
    let remote = if parent.is_some() { HAS_IS_REMOTE | IS_REMOTE } else { HAS_IS_REMOTE };
    Message {
        trace_id: context.ids.trace.get().to_be_bytes().to_vec(),
        span_id: context.ids.span.get().to_be_bytes().to_vec(),
        trace_state: span.begun.state.clone(),
        parent_span_id: parent.unwrap_or_default(),
        name: name(span),
        kind: match span.kind {
            Kind::Server => SpanKind::Server,
            Kind::Client => SpanKind::Client,
        }
        .into(),
        start_time_unix_nano: unix_nanos(span.start, Duration::ZERO),
        end_time_unix_nano: unix_nanos(span.start, span.took),
        attributes: attributes(span),
        events: span.begun.tries.iter().map(|failed| event(span, failed)).collect(),
        status: status(span),
        flags: u32::from(context.flags()) | remote,
    }
}

/// What many spans have in common: the method, and of gRPC the call.
fn name(span: &Span) -> String {
    match call(span) {
        Some((service, method)) => format!("{service}/{method}"),
        None if METHODS.contains(&span.method) => span.method.as_str().to_owned(),
        None => "HTTP".to_owned(),
    }
}

/// Service and method of a call of gRPC.
fn call(span: &Span) -> Option<(&str, &str)> {
    let path = span.path.strip_prefix('/').filter(|path| path.len() <= CALL_BYTES_MAX)?;
    path.rsplit_once('/').filter(|_| span.begun.is_grpc)
}

fn attributes(span: &Span) -> Vec<KeyValue> {
    let mut said = Attributes::default();
    if METHODS.contains(&span.method) {
        said.text("http.request.method", span.method.as_str());
    } else {
        said.text("http.request.method", OTHER_METHOD);
        said.text("http.request.method_original", span.method.as_str());
    }
    said.text("url.scheme", "http");
    said.text("url.path", &span.path);
    if span.kind == Kind::Client {
        said.text("url.full", &format!("http://{}{}", span.authority, span.path));
    }
    if let Ok(authority) = span.authority.parse::<Authority>() {
        said.text("server.address", authority.host());
        said.number("server.port", authority.port_u16().unwrap_or(80));
    }
    said.number("http.response.status_code", span.status);
    said.number("http.response.body.size", i64::try_from(span.body_bytes).unwrap_or(i64::MAX));
    if span.resends > 0 {
        said.number("http.request.resend_count", span.resends);
    }
    said.text("network.protocol.version", version(span.begun.version));
    peers(span, &mut said);
    if let Some(agent) = &span.begun.user_agent {
        said.text("user_agent.original", agent);
    }
    if let Some((service, method)) = call(span) {
        said.text("rpc.system", "grpc");
        said.text("rpc.service", service);
        said.text("rpc.method", method);
    }
    if let Some(code) = span.begun.grpc_status {
        said.number("rpc.grpc.status_code", code as i32);
    }
    if let Some(kind) = error_type(span) {
        said.text("error.type", &kind);
    }
    for (name, value) in [
        ("weft.destination", span.destination.as_deref()),
        ("weft.route", span.route.as_deref()),
        ("weft.peer.identity", span.peer.as_deref()),
        ("weft.fault", span.fault.map(Fault::flag)),
        ("weft.injected", span.injected.as_deref()),
    ] {
        if let Some(value) = value {
            said.text(name, value);
        }
    }
    said.0
}

/// Who is at the other end: of a server the one who calls, of a client the one who is called.
fn peers(span: &Span, said: &mut Attributes) {
    match span.kind {
        Kind::Server => {
            if let Some(caller) = span.caller {
                said.text("network.peer.address", &caller.to_string());
                said.text("client.address", &caller.to_string());
            }
        }
        Kind::Client => {
            if let Some(endpoint) = span.endpoint {
                said.text("network.peer.address", &endpoint.ip().to_string());
                said.number("network.peer.port", endpoint.port());
            }
        }
    }
}

fn event(span: &Span, failed: &FailedTry) -> Event {
    let mut said = Attributes::default();
    if let Some(status) = failed.status {
        said.number("http.response.status_code", status);
    }
    if let Some(kind) =
        failed.fault.map(|fault| fault.flag().to_owned()).or(failed.status.map(|s| s.to_string()))
    {
        said.text("error.type", &kind);
    }
    if let Some(endpoint) = failed.endpoint {
        said.text("network.peer.address", &endpoint.ip().to_string());
        said.number("network.peer.port", endpoint.port());
    }
    Event {
        time_unix_nano: unix_nanos(span.start, failed.after),
        name: "weft.try.failed".to_owned(),
        attributes: said.0,
    }
}

/// Whether it failed, and why in a word: as the conventions have it, a server does not answer for what its callers do
/// wrong, and clients do.
fn error_type(span: &Span) -> Option<String> {
    let code = span.begun.grpc_status.filter(|code| is_failure(*code, span.kind));
    let least = if span.kind == Kind::Server { 500 } else { 400 };
    // What broke off after its headers has a fault, and a status of success.
    let failed = code.is_some() || span.status >= least || span.fault == Some(Fault::BodyBroken);
    let word = span.fault.map(Fault::flag).or(code.map(code_name)).map(str::to_owned);
    failed.then(|| word.unwrap_or_else(|| span.status.to_string()))
}

fn status(span: &Span) -> Option<Status> {
    error_type(span)?;
    let message = span.fault.map(Fault::reason).unwrap_or_default().to_owned();
    Some(Status { message, code: STATUS_CODE_ERROR })
}

/// Whether a call with this status has failed, as its server or its client sees it.
fn is_failure(code: Code, kind: Kind) -> bool {
    match kind {
        Kind::Client => code != Code::Ok,
        Kind::Server => matches!(
            code,
            Code::Unknown
                | Code::DeadlineExceeded
                | Code::Unimplemented
                | Code::Internal
                | Code::Unavailable
                | Code::DataLoss
        ),
    }
}

/// The name of a code as gRPC writes it.
const fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

const fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        _ => "1.1",
    }
}

/// Nanoseconds since 1970, `after` behind `start`. A clock before that is one that nobody set.
fn unix_nanos(start: SystemTime, after: Duration) -> u64 {
    let since = start.duration_since(UNIX_EPOCH).unwrap_or_default() + after;
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Attributes that are being gathered.
#[derive(Default)]
struct Attributes(Vec<KeyValue>);

impl Attributes {
    fn text(&mut self, key: &str, value: &str) {
        self.push(key, Value::String(value.to_owned()));
    }

    fn number(&mut self, key: &str, value: impl Into<i64>) {
        self.push(key, Value::Int(value.into()));
    }

    fn push(&mut self, key: &str, value: Value) {
        self.0.push(KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }) });
    }
}

#[cfg(test)]
mod tests;
