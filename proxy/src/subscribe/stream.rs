//! One configuration stream: TCP, TLS to the control plane and nobody else, HTTP/2, gRPC.

use std::{
    io,
    path::PathBuf,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::{Request, Response, Uri};
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::{
    net::{TcpStream, lookup_host},
    sync::mpsc,
    time::timeout,
};
use tokio_rustls::TlsConnector;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Streaming, body::Body, metadata::MetadataValue};
use weft_api::{bootstrap, names};
use weft_identity::{SpiffeId, tls::Credentials};
use weft_runtime::Tasks;
use weft_xds::discovery::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse,
    aggregated_discovery_service_client::AggregatedDiscoveryServiceClient,
};

use crate::http::serve::LocalExecutor;

/// TCP, TLS and HTTP/2 must stand within this time.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// After this time without an answer, the next address of the control plane is tried.
const ADDRESS_TIMEOUT: Duration = Duration::from_secs(1);
/// A silent control plane is asked for a sign of life after this time.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// Requests that wait to be sent. A proxy with so many unsent ones has lost its stream.
const WAITING_MAX: usize = 256;
/// Most bytes of one message (docs/xds.md).
const MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Where the control plane is, and how to recognise it.
pub struct Endpoint {
    address: String,
    token: PathBuf,
    tls: Arc<ClientConfig>,
}

/// A stream that stands.
pub struct Stream {
    /// What is sent.
    pub requests: mpsc::Sender<DeltaDiscoveryRequest>,
    /// What comes.
    pub responses: Streaming<DeltaDiscoveryResponse>,
    /// The connection's tasks: dropped, the connection ends.
    pub tasks: Tasks,
}

/// Why there is no stream.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// No connection.
    #[error("control plane {address}: {reason}")]
    Connect {
        /// Where.
        address: String,
        /// Why.
        reason: String,
    },
    /// The token cannot be read.
    #[error("token {path}: {source}", path = path.display())]
    Token {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The control plane ended the stream.
    #[error("control plane: {0}")]
    Status(Box<tonic::Status>),
    /// The control plane ended the stream without a reason.
    #[error("the control plane ended the stream")]
    Ended,
    /// An answer is overdue.
    #[error("the control plane has been silent for too long")]
    Silent,
    /// It sent what it must not.
    #[error("protocol: {0}")]
    Protocol(#[from] weft_xds::subscriber::ProtocolError),
}

impl From<tonic::Status> for StreamError {
    fn from(status: tonic::Status) -> Self {
        Self::Status(Box::new(status))
    }
}

impl Endpoint {
    /// The control plane of the bootstrap, which must show `identity`.
    pub fn new(
        control_plane: &bootstrap::ControlPlane,
        identity: SpiffeId,
        credentials: &Arc<Credentials>,
    ) -> Self {
        Self {
            address: control_plane.address.clone(),
            token: control_plane.token.clone(),
            tls: credentials.client_config(identity, &[names::ALPN_XDS]),
        }
    }

    /// Opens a stream that begins with `first`.
    pub async fn open(&self, first: Vec<DeltaDiscoveryRequest>) -> Result<Stream, StreamError> {
        let connect = |reason: String| StreamError::Connect { address: self.address.clone(), reason };
        let token = super::read_token(&self.token)
            .map_err(|source| StreamError::Token { path: self.token.clone(), source })?;
        let tasks = Tasks::new();
        let channel = timeout(CONNECT_TIMEOUT, self.channel(&tasks))
            .await
            .map_err(|_| connect(format!("no connection within {CONNECT_TIMEOUT:?}")))?
            .map_err(connect)?;
        let (requests, waiting) = mpsc::channel(WAITING_MAX);
        for request in first {
            // The channel holds far more than the handful of first requests, one per kind.
            let _ = requests.try_send(request);
        }
        let mut request = tonic::Request::new(ReceiverStream::new(waiting));
        let bearer = MetadataValue::try_from(format!("Bearer {token}")).map_err(|_| StreamError::Token {
            path: self.token.clone(),
            source: io::Error::other("it holds bytes that no token has"),
        })?;
        request.metadata_mut().insert("authorization", bearer);
        let authority = self.address.parse().map(|authority| {
            Uri::builder()
                .scheme("https")
                .authority::<http::uri::Authority>(authority)
                .path_and_query("/")
                .build()
        });
        let Ok(Ok(origin)) = authority else { return Err(connect("is no host:port".to_owned())) };
        let mut client = AggregatedDiscoveryServiceClient::with_origin(channel, origin)
            .max_decoding_message_size(MESSAGE_BYTES_MAX);
        let responses = client.delta_aggregated_resources(request).await?.into_inner();
        Ok(Stream { requests, responses, tasks })
    }

    /// To the first of the control plane's addresses that answers; they are asked for anew each time.
    async fn connect(&self) -> io::Result<TcpStream> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "its name has no address");
        for address in lookup_host(&self.address).await? {
            match timeout(ADDRESS_TIMEOUT, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => last = error,
                Err(_) => last = io::ErrorKind::TimedOut.into(),
            }
        }
        Err(last)
    }

    async fn channel(&self, tasks: &Tasks) -> Result<Channel, String> {
        let stream = self.connect().await.map_err(|error| error.to_string())?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        let address = stream.peer_addr().map_err(|error| error.to_string())?;
        // The verifier looks for the SPIFFE id, not for a name.
        let name = ServerName::IpAddress(address.ip().into());
        let stream = TlsConnector::from(Arc::clone(&self.tls))
            .connect(name, stream)
            .await
            .map_err(|error| format!("TLS: {error}"))?;
        let (sender, connection) = http2::Builder::new(LocalExecutor)
            .timer(TokioTimer::new())
            .keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE)
            .keep_alive_while_idle(true)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| format!("HTTP/2: {error}"))?;
        tasks.spawn_local("configuration connection", async move {
            // Its end is the end of the stream, which says why.
            let _ = connection.await;
        });
        Ok(Channel(sender))
    }
}

/// A connection as tonic's client takes it.
struct Channel(http2::SendRequest<Body>);

impl tower_service::Service<Request<Body>> for Channel {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = std::pin::Pin<Box<dyn Future<Output = hyper::Result<Response<Incoming>>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}
