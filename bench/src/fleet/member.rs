//! What a control plane sees of a sidecar: a stream over which it asks for what it needs, and says that it has it.

use std::{
    fs,
    pin::Pin,
    task::{Context, Poll},
    time::Instant,
};

use anyhow::{Context as _, Result, ensure};
use futures_util::stream;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{net::TcpStream, sync::mpsc, time::timeout};
use tokio_rustls::TlsConnector;
use tonic::{Request, Streaming, body::Body};
use weft_api::names;
use weft_identity::{bundle::TrustBundle, request::KeyPair, tls::Credentials};
use weft_runtime::Tasks;
use weft_xds::{
    Kind, Subscriber,
    core::Node,
    discovery::{
        DeltaDiscoveryRequest, DeltaDiscoveryResponse,
        aggregated_discovery_service_client::AggregatedDiscoveryServiceClient,
    },
};

use super::{
    PATIENCE,
    mesh::{BUNDLE, CONTROL_PLANE, Mesh, SHARED},
};

/// Services that a sidecar's application calls, [`SHARED`] among them.
const CALLED: usize = 5;
/// Messages to the control plane that wait for the stream.
const QUEUE: usize = 64;

/// A stream of one sidecar.
pub struct Member {
    subscriber: Subscriber,
    requests: mpsc::Sender<DeltaDiscoveryRequest>,
    responses: Streaming<DeltaDiscoveryResponse>,
    /// The connection.
    _tasks: Tasks,
}

impl Member {
    /// Connects as sidecar `number`, and waits until it has all that a sidecar needs to serve.
    ///
    /// # Errors
    /// If the connection cannot be made, or something does not come.
    pub async fn join(mesh: &Mesh, number: usize) -> Result<Self> {
        let tasks = Tasks::new();
        let connection = connect(mesh, &tasks).await?;
        let mut subscriber = Subscriber::new(Node::default());
        let called = (0..CALLED).map(|nth| if nth == 0 { SHARED } else { number * (CALLED - 1) + nth });
        let mut wanted = vec![(Kind::Listener, names::RESOURCE_INBOUND.to_owned())];
        for service in called.map(|service| service % mesh.size.services) {
            let name = format!("default/s{service}:80");
            wanted.extend([Kind::Routes, Kind::Cluster, Kind::Endpoints].map(|kind| (kind, name.clone())));
        }
        let now = Instant::now();
        for (kind, name) in &wanted {
            // Before the stream stands all of it is part of how it begins.
            let _ = subscriber.subscribe(*kind, name, now);
        }
        let _ = subscriber.request_identity(&KeyPair::generate()?.csr_pem()?, now);
        wanted.push((Kind::Secret, names::RESOURCE_IDENTITY.to_owned()));

        let (requests, receiver) = mpsc::channel(QUEUE);
        let receiver =
            stream::unfold(receiver, async |mut receiver| Some((receiver.recv().await?, receiver)));
        let mut request = Request::new(receiver);
        request.metadata_mut().insert("authorization", format!("Bearer {}", mesh.token(number)?).parse()?);
        for first in subscriber.connected(now) {
            requests.send(first).await?;
        }
        let origin = http::Uri::from_static("https://weft-control-plane");
        let mut client = AggregatedDiscoveryServiceClient::with_origin(connection, origin);
        let responses = client.delta_aggregated_resources(request).await?.into_inner();
        let mut member = Self { subscriber, requests, responses, _tasks: tasks };
        while wanted.iter().any(|(kind, name)| member.subscriber.held(*kind, name).is_none()) {
            member.next().await?;
        }
        Ok(member)
    }

    /// Takes in what comes, and says through `news` when new endpoints of the service came that all call. Ends with the
    /// stream, or with whoever listens.
    pub async fn listen(mut self, news: mpsc::UnboundedSender<Instant>) {
        let shared = format!("default/s{SHARED}:80");
        while let Ok(changed) = self.next_of(Kind::Endpoints, &shared).await {
            if changed && news.send(Instant::now()).is_err() {
                return;
            }
        }
    }

    async fn next(&mut self) -> Result<()> {
        let response = timeout(PATIENCE, self.responses.message()).await.context("nothing comes")??;
        self.take(response.context("the stream has ended")?, |_, _| {}).await
    }

    /// Whether what came next has a resource of this kind and name.
    async fn next_of(&mut self, kind: Kind, name: &str) -> Result<bool> {
        let response = self.responses.message().await?.context("the stream has ended")?;
        let mut is_it = false;
        self.take(response, |of, changed| is_it |= of == kind && changed == name).await?;
        Ok(is_it)
    }

    async fn take(
        &mut self,
        response: DeltaDiscoveryResponse,
        mut changed: impl FnMut(Kind, &str),
    ) -> Result<()> {
        let incoming = self.subscriber.handle(response, |_, _, body| Ok::<_, String>(body.len()))?;
        ensure!(incoming.reply.error_detail.is_none(), "a response is refused: {:?}", incoming.reply);
        incoming.changed.iter().for_each(|change| changed(incoming.kind, &change.name));
        Ok(self.requests.send(incoming.reply).await?)
    }
}

async fn connect(mesh: &Mesh, tasks: &Tasks) -> Result<Connection> {
    let bundle = TrustBundle::from_pem(&fs::read_to_string(mesh.path(BUNDLE))?)?;
    let credentials = Credentials::new("cluster.local".parse()?, bundle);
    let connector = TlsConnector::from(credentials.client_config(CONTROL_PLANE.parse()?, &[b"h2"]));
    let stream = connector.connect("unused".try_into()?, TcpStream::connect(mesh.xds).await?).await?;
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    tasks.spawn("connection", async move { drop(connection.await) });
    Ok(Connection(sender))
}

/// HTTP/2 as tonic wants it.
#[derive(Clone)]
struct Connection(SendRequest<Body>);

impl tower_service::Service<http::Request<Body>> for Connection {
    type Response = http::Response<hyper::body::Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, hyper::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}
