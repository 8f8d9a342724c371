//! A collector of traces: a server that speaks OTLP over gRPC, and reads what it is sent by the messages that
//! OpenTelemetry itself publishes.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::Context;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, header::CONTENT_TYPE};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::{Body, Incoming},
    server::conn::http2,
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::{
    collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse},
    common::v1::{KeyValue, any_value::Value},
    trace::v1::Span,
};
use prost::Message;
use tokio::net::{TcpListener, TcpStream};
use weft_runtime::Tasks;

use crate::patience::until;

/// A running collector. Dropped, it is gone, with its connections.
pub struct Collector {
    address: SocketAddr,
    told: Arc<Mutex<Vec<Told>>>,
    _tasks: Tasks,
}

/// A span, and who has told of it.
#[derive(Clone, Debug)]
pub struct Told {
    /// `service.name`.
    pub service: String,
    /// The span.
    pub span: Span,
}

impl Collector {
    /// Starts one that takes everything.
    pub async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("loopback has free ports");
        let address = listener.local_addr().expect("it listens");
        let (told, tasks) = (Arc::default(), Tasks::new());
        tasks.spawn("collector", accept(listener, Arc::clone(&told)));
        Self { address, told, _tasks: tasks }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Every span so far.
    pub fn told(&self) -> Vec<Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The spans of one trace, as soon as there are `count` of them, in the order in which they began.
    pub async fn trace(&self, id: &str, count: usize) -> Vec<Told> {
        let what = format!("the collector is told {count} spans of {id}");
        let mut found = until(&what, async || {
            let found: Vec<Told> = self.told().into_iter().filter(|told| told.trace_id() == id).collect();
            (found.len() >= count).then_some(found)
        })
        .await;
        found.sort_by_key(|told| told.span.start_time_unix_nano);
        found
    }
}

impl Told {
    /// Its trace: 32 hexadecimal digits.
    pub fn trace_id(&self) -> String {
        hex(&self.span.trace_id)
    }

    /// Its id: 16 hexadecimal digits.
    pub fn id(&self) -> String {
        hex(&self.span.span_id)
    }

    /// The span that called; nothing, if the trace begins here.
    pub fn parent(&self) -> String {
        hex(&self.span.parent_span_id)
    }

    /// An attribute as text, or nothing.
    pub fn attribute(&self, name: &str) -> String {
        attribute(&self.span.attributes, name)
    }
}

/// An attribute as text, or nothing.
pub fn attribute(attributes: &[KeyValue], name: &str) -> String {
    let found = attributes.iter().find(|attribute| attribute.key == name);
    match found.and_then(|attribute| attribute.value.clone()?.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        None => String::new(),
        Some(other) => panic!("{name} is {other:?}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|digit| char::from_digit(u32::from(digit), 16)).collect()
}

async fn accept(listener: TcpListener, told: Arc<Mutex<Vec<Told>>>) {
    let connections = Tasks::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn("connection to the collector", serve(stream, Arc::clone(&told)));
    }
}

async fn serve(stream: TcpStream, told: Arc<Mutex<Vec<Told>>>) {
    let service = service_fn(move |request| answer(Arc::clone(&told), request));
    // An error is the exporter's going away.
    drop(http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await);
}

/// Takes one batch: a unary call as gRPC over HTTP/2 has it.
async fn answer(
    told: Arc<Mutex<Vec<Told>>>,
    request: Request<Incoming>,
) -> anyhow::Result<Response<impl Body<Data = Bytes, Error: std::error::Error + Send + Sync>>> {
    let (head, body) = request.into_parts();
    assert_eq!(head.uri.path(), "/opentelemetry.proto.collector.trace.v1.TraceService/Export");
    assert_eq!(head.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes), Some(&b"application/grpc"[..]));
    assert_eq!(head.headers.get("te").map(HeaderValue::as_bytes), Some(&b"trailers"[..]));
    let body = body.collect().await?.to_bytes();
    let (prefix, message) = body.split_at_checked(5).context("a message has a prefix")?;
    assert_eq!(prefix[0], 0, "nobody has agreed to compression");
    assert_eq!(prefix[1..], (message.len() as u32).to_be_bytes(), "one message, and nothing behind it");
    let batch = ExportTraceServiceRequest::decode(message)?;
    let mut all = told.lock().unwrap_or_else(PoisonError::into_inner);
    for of_resource in batch.resource_spans {
        let resource = of_resource.resource.context("spans are of somebody")?;
        let service = attribute(&resource.attributes, "service.name");
        let spans = of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
        all.extend(spans.map(|span| Told { service: service.clone(), span }));
    }
    drop(all);
    let answer = ExportTraceServiceResponse::default().encode_to_vec();
    let framed = [&[0][..], &(answer.len() as u32).to_be_bytes(), &answer].concat();
    let trailers =
        HeaderMap::from_iter([(http::HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"))]);
    let body = Full::new(Bytes::from(framed)).with_trailers(std::future::ready(Some(Ok(trailers))));
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    Ok(response)
}
