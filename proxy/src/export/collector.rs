//! One connection to the collector, and one call over it.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::{BufMut, Bytes, BytesMut};
use http::{Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Collected, Full, Limited};
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use prost::Message;
use tokio::{net::lookup_host, time::timeout};
use tonic::Code;
use weft_api::{names, telemetry::Tracing};
use weft_identity::{SpiffeId, tls::Credentials};
use weft_runtime::Tasks;

use super::otlp::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use crate::{
    exchange::grpc_status,
    http::{
        replay::RequestBody,
        serve::{LocalExecutor, Version},
    },
    upstream::{ConnectError, Mesh, Peer, dial},
};

/// The call.
const PATH: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
/// A call must be answered within this time, as exporters of OpenTelemetry have it.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(10);
/// Most bytes of an answer, which holds a number and a sentence.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// A silent collector is asked for a sign of life after this time.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// Length of what gRPC puts before a message: whether it is compressed, and its length.
const PREFIX_BYTES: usize = 5;

/// Where a collector is, and how to recognise it.
pub struct Collector {
    endpoint: String,
    uri: Uri,
    mesh: Option<(Arc<str>, Arc<rustls::ClientConfig>)>,
}

/// A connection to it that stood the last time somebody looked.
pub struct Connection {
    // Of the same type as those of the pools, so that the program holds one HTTP/2 client for both.
    sender: http2::SendRequest<RequestBody>,
    uri: Uri,
    /// Ends with the connection.
    _tasks: Tasks,
}

/// Why spans have not been taken.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// Its name has no address.
    #[error("{endpoint}: {source}")]
    Resolve {
        /// Of this one.
        endpoint: String,
        /// Why.
        source: io::Error,
    },
    /// No connection.
    #[error("{0}")]
    Connect(ConnectError),
    /// The connection broke, or carries no HTTP/2.
    #[error("HTTP/2: {0}")]
    Http(#[from] hyper::Error),
    /// No answer in time.
    #[error("no answer within {EXPORT_TIMEOUT:?}")]
    TimedOut,
    /// An answer that is none of gRPC.
    #[error("it answers {0}, which is not gRPC: is this the port for OTLP over gRPC?")]
    NotGrpc(StatusCode),
    /// An answer without end.
    #[error("its answer is longer than {ANSWER_BYTES_MAX} bytes")]
    TooLong,
    /// It answers that it failed.
    #[error("it answers {code:?}: {message}")]
    Status {
        /// How.
        code: Code,
        /// In its own words.
        message: String,
    },
}

impl ExportError {
    /// Whether the same may be taken another time (OTLP, "Failures").
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Resolve { .. } | Self::Connect(_) | Self::Http(_) | Self::TimedOut => true,
            // A gateway may stand before the collector.
            Self::NotGrpc(status) => status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS,
            Self::TooLong => false,
            Self::Status { code, .. } => matches!(
                code,
                Code::Cancelled
                    | Code::DeadlineExceeded
                    | Code::Aborted
                    | Code::OutOfRange
                    | Code::Unavailable
                    | Code::DataLoss
            ),
        }
    }
}

impl Collector {
    /// As `tracing` says. `identity` is who it must be, parsed.
    ///
    /// # Errors
    /// When its endpoint is none.
    pub fn new(
        tracing: &Tracing,
        identity: Option<SpiffeId>,
        credentials: &Arc<Credentials>,
    ) -> http::Result<Self> {
        let uri = Uri::builder().scheme("http").authority(tracing.endpoint.as_str()).path_and_query(PATH);
        let mesh = identity.map(|identity| {
            let name = identity.to_string().into();
            (name, credentials.client_config(identity, &[names::ALPN_MESH_H2]))
        });
        Ok(Self { endpoint: tracing.endpoint.clone(), uri: uri.build()?, mesh })
    }

    /// A new connection: to the first of its addresses that answers; they are asked for anew each time.
    pub async fn connect(&self) -> Result<Connection, ExportError> {
        let resolve = |source| ExportError::Resolve { endpoint: self.endpoint.clone(), source };
        let mut error = resolve(io::Error::new(io::ErrorKind::NotFound, "this name has no address"));
        for address in lookup_host(&self.endpoint).await.map_err(resolve)? {
            match self.connect_to(address).await {
                Ok(connection) => return Ok(connection),
                Err(failed) => error = failed,
            }
        }
        Err(error)
    }

    async fn connect_to(&self, address: SocketAddr) -> Result<Connection, ExportError> {
        let mesh = self
            .mesh
            .as_ref()
            .map(|(identity, config)| Mesh { identity: Arc::clone(identity), config: Arc::clone(config) });
        let io = dial(&Peer::new(address, Version::Http2, mesh)).await.map_err(ExportError::Connect)?;
        let (sender, connection) = http2::Builder::new(LocalExecutor)
            .timer(TokioTimer::new())
            .keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE)
            .handshake(TokioIo::new(io))
            .await?;
        let tasks = Tasks::new();
        // Its end is that of the call over it, which says why.
        tasks.spawn_local("connection to the collector", async move { drop(connection.await) });
        Ok(Connection { sender, uri: self.uri.clone(), _tasks: tasks })
    }
}

impl Connection {
    /// Whether it still stands, as far as is known.
    pub fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    /// Hands spans over. Returns how many of them the collector did not want.
    pub async fn export(&mut self, spans: &ExportTraceServiceRequest) -> Result<u64, ExportError> {
        timeout(EXPORT_TIMEOUT, self.call(spans)).await.map_err(|_| ExportError::TimedOut)?
    }

    async fn call(&mut self, spans: &ExportTraceServiceRequest) -> Result<u64, ExportError> {
        let mut request = Request::new(RequestBody::Own(Full::new(framed(spans))));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = self.uri.clone();
        let headers = request.headers_mut();
        for (name, value) in [
            (header::CONTENT_TYPE, "application/grpc"),
            (header::TE, "trailers"),
            (header::USER_AGENT, concat!("OTel-OTLP-Exporter-Weft/", env!("CARGO_PKG_VERSION"))),
        ] {
            headers.insert(name, http::HeaderValue::from_static(value));
        }
        self.sender.ready().await?;
        answer(self.sender.send_request(request).await?).await
    }
}

/// What the collector says to a batch.
async fn answer(response: Response<Incoming>) -> Result<u64, ExportError> {
    let (head, body) = response.into_parts();
    if head.status != StatusCode::OK {
        return Err(ExportError::NotGrpc(head.status));
    }
    let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await.map_err(|error| {
        error.downcast::<hyper::Error>().map_or(ExportError::TooLong, |error| ExportError::Http(*error))
    })?;
    // A call that fails at once has its status in the headers, and no body.
    let trailers = body.trailers().cloned().unwrap_or_default();
    let said = if head.headers.contains_key("grpc-status") { &head.headers } else { &trailers };
    let Some(code) = grpc_status(said) else { return Err(ExportError::NotGrpc(head.status)) };
    if code != Code::Ok {
        let message = said.get("grpc-message").map(|text| String::from_utf8_lossy(text.as_bytes()));
        return Err(ExportError::Status { code, message: message.unwrap_or_default().into_owned() });
    }
    Ok(rejected(body))
}

/// How many spans the collector did not want. What cannot be read is no complaint.
fn rejected(body: Collected<Bytes>) -> u64 {
    let body = body.to_bytes();
    let message = body.get(PREFIX_BYTES..).map(ExportTraceServiceResponse::decode);
    let Some(partial) = message.and_then(Result::ok).and_then(|answer| answer.partial_success) else {
        return 0;
    };
    if partial.rejected_spans > 0 {
        tracing::warn!(
            spans = partial.rejected_spans,
            reason = partial.error_message,
            "the collector rejects spans"
        );
    }
    u64::try_from(partial.rejected_spans).unwrap_or(0)
}

/// A message as gRPC sends it, not compressed.
fn framed(message: &ExportTraceServiceRequest) -> Bytes {
    let length = message.encoded_len();
    let mut framed = BytesMut::with_capacity(PREFIX_BYTES + length);
    framed.put_u8(0);
    // A batch is some hundred KiB.
    framed.put_u32(length as u32);
    message.encode(&mut framed).expect("the buffer has room for it");
    framed.freeze()
}
