//! An injector with a certificate from files, and clients that believe it.

use std::{
    convert::Infallible,
    fs,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Body, Bytes, Frame, Incoming},
    client::conn::{http1, http2},
    header::{CONTENT_TYPE, HOST},
    rt::Executor,
};
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use rustls_pki_types::ServerName;
use tempfile::TempDir;
use tokio::{net::TcpStream, sync::mpsc, time::timeout};
use tokio_rustls::{TlsConnector, client::TlsStream};
use weft_injector::{Config, config::Source, run::Injector};
use weft_runtime::{Shutdown, Tasks, shutdown::Trigger};

/// The name under which API servers call.
const NAME: &str = "weft-injector.weft-system.svc";
/// Whatever takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running injector.
pub struct Webhook {
    address: SocketAddr,
    roots: RootCertStore,
    trigger: Trigger,
    tasks: Tasks,
    _folder: TempDir,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Http {
    One,
    Two,
}

/// One connection.
pub struct Client {
    sender: Sender,
    _tasks: Tasks,
}

enum Sender {
    One(http1::SendRequest<Payload>),
    Two(http2::SendRequest<Payload>),
}

type Payload = BoxBody<Bytes, Infallible>;

type Answer = Pin<Box<dyn Future<Output = hyper::Result<Response<Incoming>>> + Send>>;

/// A body that comes in pieces.
struct Pieces(mpsc::Receiver<Bytes>);

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}

/// A request whose body is still being sent.
pub struct Begun {
    pieces: mpsc::Sender<Bytes>,
    response: Answer,
}

#[derive(Clone)]
struct Owned(Tasks);

impl<F: Future<Output: Send> + Send + 'static> Executor<F> for Owned {
    fn execute(&self, future: F) {
        self.0.spawn("client", async move { drop(future.await) });
    }
}

impl Webhook {
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root_key = KeyPair::generate().unwrap();
        let mut root = CertificateParams::default();
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root_certificate = root.self_signed(&root_key).unwrap();
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new([NAME.to_owned()]).unwrap();
        let leaf = leaf.signed_by(&key, &Issuer::from_params(&root, &root_key)).unwrap();
        fs::write(folder.path().join("tls.crt"), leaf.pem()).unwrap();
        fs::write(folder.path().join("tls.key"), key.serialize_pem()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(root_certificate.der().clone()).unwrap();

        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut config = Config { listen: any, admin: any, ..Config::default() };
        config.certificate.source = Source::Files;
        config.certificate.directory = folder.path().to_owned();
        let (trigger, shutdown) = Shutdown::manual();
        let injector = Injector::start(&config, "weft-system", shutdown).await.unwrap();
        let address = injector.server_addr();
        let readiness = injector.readiness().clone();
        let tasks = Tasks::new();
        tasks.spawn("injector", injector.run());
        let ready = async {
            while !readiness.is_ready() {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, ready).await.expect("it gets ready");
        Self { address, roots, trigger, tasks, _folder: folder }
    }

    /// Tells it to end.
    pub fn drain(&self) {
        self.trigger.drain();
    }

    /// Ends it at once.
    pub async fn stop(self) {
        self.trigger.abort();
        self.ended().await;
    }

    /// Waits for its end.
    pub async fn ended(self) {
        assert!(self.tasks.join_all(PATIENCE).await.is_empty(), "it ends when it is told to");
    }

    async fn connect_tls(&self, alpn: &[&[u8]]) -> std::io::Result<TlsStream<TcpStream>> {
        let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(self.roots.clone())
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        let stream = TcpStream::connect(self.address).await?;
        let name = ServerName::try_from(NAME).unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }

    pub async fn connect(&self, http: Http) -> Client {
        let alpn: &[u8] = if http == Http::One { b"http/1.1" } else { b"h2" };
        let stream = self.connect_tls(&[alpn]).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(alpn));
        let (io, tasks) = (TokioIo::new(stream), Tasks::new());
        let sender = match http {
            Http::One => {
                let (sender, driver) = http1::handshake(io).await.unwrap();
                tasks.spawn("driver", async move { drop(driver.await) });
                Sender::One(sender)
            }
            Http::Two => {
                let (sender, driver) = http2::handshake(Owned(tasks.clone()), io).await.unwrap();
                tasks.spawn("driver", async move { drop(driver.await) });
                Sender::Two(sender)
            }
        };
        Client { sender, _tasks: tasks }
    }
}

impl Client {
    /// Status and body of the answer to a review.
    pub async fn post(&mut self, body: &str) -> (StatusCode, String) {
        self.send(Method::POST, "/inject", "application/json", body.to_owned()).await
    }

    pub async fn send(
        &mut self,
        method: Method,
        path: &str,
        media: &str,
        body: String,
    ) -> (StatusCode, String) {
        let response = self.request(method, path, media, Full::from(body).boxed()).await;
        let response = timeout(PATIENCE, response).await.unwrap().unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    /// Sends a body of which nobody says how long it is.
    pub async fn post_in_pieces(&mut self, body: &str) -> StatusCode {
        let begun = self.begin("").await;
        for piece in body.as_bytes().chunks(64 * 1024) {
            // Who has been refused need not read on.
            if begun.pieces.send(Bytes::copy_from_slice(piece)).await.is_err() {
                break;
            }
        }
        begun.status().await
    }

    /// Sends the first part of a body.
    pub async fn begin(&mut self, first: &str) -> Begun {
        let (pieces, receiver) = mpsc::channel::<Bytes>(1);
        let response =
            self.request(Method::POST, "/inject", "application/json", Pieces(receiver).boxed()).await;
        let mut begun = Begun { pieces, response };
        begun.send(first).await;
        begun
    }

    /// Sends a request, and returns what waits for the answer.
    async fn request(&mut self, method: Method, path: &str, media: &str, body: Payload) -> Answer {
        let uri = match self.sender {
            Sender::One(_) => path.to_owned(),
            Sender::Two(_) => format!("https://{NAME}{path}"),
        };
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = uri.parse().unwrap();
        if !media.is_empty() {
            request.headers_mut().insert(CONTENT_TYPE, media.parse().unwrap());
        }
        match &mut self.sender {
            Sender::One(sender) => {
                request.headers_mut().insert(HOST, NAME.parse().unwrap());
                sender.ready().await.unwrap();
                Box::pin(sender.send_request(request))
            }
            Sender::Two(sender) => {
                sender.ready().await.unwrap();
                Box::pin(sender.send_request(request))
            }
        }
    }
}

impl Begun {
    pub async fn send(&mut self, piece: &str) {
        self.pieces.send(Bytes::copy_from_slice(piece.as_bytes())).await.unwrap();
    }

    /// Status of the answer, once the body is at its end.
    pub async fn status(self) -> StatusCode {
        drop(self.pieces);
        timeout(PATIENCE, self.response).await.unwrap().unwrap().status()
    }
}
