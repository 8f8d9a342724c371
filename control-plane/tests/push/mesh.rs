//! A control plane over real files and sockets, and proxies that talk to it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    future::Future,
    net::SocketAddr,
    path::Path,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant, SystemTime},
};

use futures_util::stream;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
    time::timeout,
};
use tokio_rustls::TlsConnector;
use tonic::{Request, Status, Streaming, body::Body};
use weft_control_plane::{Config, ControlPlane};
use weft_identity::{
    SpiffeId,
    bundle::TrustBundle,
    tls::Credentials,
    token::{LocalIssuer, Workload},
};
use weft_runtime::{Shutdown, Tasks, shutdown::Trigger};
use weft_xds::{
    Kind, Subscriber,
    core::Node,
    discovery::{
        DeltaDiscoveryRequest, DeltaDiscoveryResponse,
        aggregated_discovery_service_client::AggregatedDiscoveryServiceClient,
    },
};

/// Far more than any of this takes.
pub const PATIENCE: Duration = Duration::from_mins(1);
pub const CONTROL_PLANE: &str = "spiffe://cluster.local/ns/weft-system/sa/weft-control-plane";

pub const API: &str = r#"
apiVersion: v1
kind: Service
metadata: {name: api}
spec: {ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: api-1, labels: {kubernetes.io/service-name: api}}
addressType: IPv4
ports: [{port: 15443}]
endpoints: [{addresses: [127.0.0.1], targetRef: {kind: Workload, name: api}}]
---
apiVersion: local.weft.dev/v1alpha1
kind: Workload
metadata: {name: api}
spec: {admin: "127.0.0.1:15191", inbound: [{port: 15443, app: "127.0.0.1:8080"}]}
---
apiVersion: local.weft.dev/v1alpha1
kind: Workload
metadata: {name: frontend}
spec:
  admin: 127.0.0.1:15192
  inbound: [{port: 15444, app: "127.0.0.1:4200", mtls: Permissive}]
  outbound: [{listen: "127.0.0.1:8888", service: api, port: 80}]
"#;

/// What stays when a control plane is restarted.
pub struct Machine {
    folder: TempDir,
    issuer: LocalIssuer,
}

/// A running control plane.
pub struct Running {
    pub xds: SocketAddr,
    pub admin: SocketAddr,
    trigger: Trigger,
    tasks: Tasks,
}

impl Machine {
    pub fn new() -> Self {
        let folder = TempDir::new().expect("a folder can be made");
        let issuer = LocalIssuer::create().expect("a key can be made");
        fs::create_dir(folder.path().join("objects")).expect("a folder can be made");
        fs::write(folder.path().join("issuer.pub"), issuer.public_key_pem()).expect("a file can be written");
        let machine = Self { folder, issuer };
        machine.write("api.yaml", API);
        machine
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path().join("objects").join(name), text).expect("a file can be written");
    }

    pub fn config(&self) -> Config {
        let path = |name: &str| self.path().join(name).display().to_string();
        let text = format!(
            "listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\nsource: {{directory: {}}}\nauthority: {{directory: {}}}\n\
             authentication: {{localIssuer: {{publicKey: {}}}}}\n",
            path("objects"),
            path("ca"),
            path("issuer.pub"),
        );
        Config::parse(Path::new("weft.yaml"), &text).expect("the configuration is sound")
    }

    pub fn start(&self) -> Running {
        let (trigger, shutdown) = Shutdown::manual();
        let started = ControlPlane::start(&self.config(), shutdown).expect("the control plane starts");
        let (xds, admin) = (started.server_addr(), started.admin_addr());
        let tasks = Tasks::new();
        tasks.spawn("control plane", started.run());
        Running { xds, admin, trigger, tasks }
    }

    pub fn token(&self, workload: &str, service_account: &str) -> String {
        self.token_of("default", workload, service_account)
    }

    pub fn token_of(&self, namespace: &str, workload: &str, service_account: &str) -> String {
        let workload = Workload {
            namespace: namespace.to_owned(),
            service_account: service_account.to_owned(),
            pod: workload.to_owned(),
            pod_uid: "1".to_owned(),
        };
        let hour = Duration::from_hours(1);
        self.issuer.issue(&workload, "weft.dev", hour, SystemTime::now()).expect("a token can be made")
    }

    /// Connects, and trusts what the control plane of this machine wrote down, if it is `identity`.
    pub async fn connect(&self, xds: SocketAddr, identity: &str) -> Result<Connection, std::io::Error> {
        let bundle = fs::read_to_string(self.path().join("ca/bundle.pem"))?;
        let bundle = TrustBundle::from_pem(&bundle).expect("the bundle holds roots");
        let credentials = Credentials::new("cluster.local".parse().expect("a trust domain"), bundle);
        let identity: SpiffeId = identity.parse().expect("a SPIFFE id");
        let connector = TlsConnector::from(credentials.client_config(identity, &[b"h2"]));
        let name = "unused".try_into().expect("a server name");
        let stream = connector.connect(name, TcpStream::connect(xds).await?).await?;
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .map_err(std::io::Error::other)?;
        let tasks = Tasks::new();
        tasks.spawn("connection", async move { drop(connection.await) });
        Ok(Connection { sender, _tasks: tasks })
    }
}

impl Running {
    /// Stops it, and waits until it is gone.
    pub async fn stop(self) {
        self.trigger.drain();
        assert!(self.tasks.join_all(PATIENCE).await.is_empty(), "it stops by itself");
    }

    pub async fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.admin).await.expect("the admin endpoint is there");
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("it answers");
        answer.split_once("\r\n\r\n").expect("an answer has a head").1.to_owned()
    }
}

/// HTTP/2 as tonic wants it.
#[derive(Clone)]
pub struct Connection {
    sender: SendRequest<Body>,
    _tasks: Tasks,
}

impl tower_service::Service<http::Request<Body>> for Connection {
    type Response = http::Response<hyper::body::Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, hyper::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        self.sender.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(self.sender.send_request(request))
    }
}

/// A proxy as far as the protocol goes.
pub struct Proxy {
    pub subscriber: Subscriber,
    pub held: BTreeMap<(Kind, String), Vec<u8>>,
    /// Names that it refuses.
    pub refuses: BTreeSet<String>,
    stream: Option<(mpsc::Sender<DeltaDiscoveryRequest>, Streaming<DeltaDiscoveryResponse>)>,
}

/// What one response brought.
#[derive(Debug, PartialEq)]
pub struct News {
    pub kind: Kind,
    pub changed: Vec<String>,
    pub removed: Vec<String>,
}

impl Proxy {
    pub fn new() -> Self {
        let subscriber = Subscriber::new(Node::default());
        Self { subscriber, held: BTreeMap::new(), refuses: BTreeSet::new(), stream: None }
    }

    /// Opens a stream, and says what is held.
    pub async fn open(&mut self, connection: Connection, token: Option<&str>) -> Result<(), Status> {
        self.subscriber.disconnected();
        let (sender, receiver) = mpsc::channel(16);
        let requests =
            stream::unfold(receiver, async |mut receiver| Some((receiver.recv().await?, receiver)));
        let mut request = Request::new(requests);
        if let Some(token) = token {
            let value = format!("Bearer {token}").parse().expect("a token is text");
            request.metadata_mut().insert("authorization", value);
        }
        let origin = http::Uri::from_static("https://weft-control-plane");
        let mut client = AggregatedDiscoveryServiceClient::with_origin(connection, origin);
        let responses = client.delta_aggregated_resources(request).await?.into_inner();
        self.stream = Some((sender, responses));
        for request in self.subscriber.connected(Instant::now()) {
            self.send(request).await;
        }
        Ok(())
    }

    pub async fn subscribe(&mut self, kind: Kind, name: &str) {
        let request = self.subscriber.subscribe(kind, name, Instant::now()).expect("a new name");
        self.send(request).await;
    }

    pub async fn request_identity(&mut self, csr: &str) {
        let request = self.subscriber.request_identity(csr, Instant::now()).expect("there is a stream");
        self.send(request).await;
    }

    async fn send(&mut self, request: DeltaDiscoveryRequest) {
        let (sender, _) = self.stream.as_ref().expect("there is a stream");
        sender.send(request).await.expect("the stream stands");
    }

    /// Takes the next response in, and acknowledges it.
    pub async fn next(&mut self) -> News {
        let (_, responses) = self.stream.as_mut().expect("there is a stream");
        let response = timeout(PATIENCE, responses.message()).await.expect("something comes");
        let response = response.expect("the stream stands").expect("the stream goes on");
        let refuses = &self.refuses;
        let incoming = self
            .subscriber
            .handle(response, |_, name, body| {
                if refuses.contains(name) { Err("because".to_owned()) } else { Ok(body.to_vec()) }
            })
            .expect("the response is sound");
        let kind = incoming.kind;
        let changed: Vec<String> = incoming.changed.iter().map(|changed| changed.name.clone()).collect();
        for changed in incoming.changed {
            self.held.insert((kind, changed.name), changed.resource);
        }
        for name in &incoming.removed {
            self.held.remove(&(kind, name.clone()));
        }
        self.send(incoming.reply).await;
        News { kind, changed, removed: incoming.removed }
    }

    /// Subscribes, and takes the answer in.
    pub async fn ask(&mut self, kind: Kind, name: &str) -> News {
        self.subscribe(kind, name).await;
        self.next().await
    }
}
