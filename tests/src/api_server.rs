//! An API server over TLS that has the objects a test gives it, and tells what it was asked for.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    fs,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, header::AUTHORIZATION, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use rcgen::{CertificateParams, KeyPair};
use rustls::{ServerConfig, crypto::aws_lc_rs, version::TLS13};
use rustls_pki_types::PrivateKeyDer;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use weft_kubernetes::Place;
use weft_runtime::Tasks;

/// What callers show.
const TOKEN: &str = "a token";

/// The running API server.
pub struct ApiServer {
    state: Arc<Mutex<State>>,
    place: Place,
    _folder: TempDir,
    _tasks: Tasks,
}

#[derive(Default)]
struct State {
    /// Status and object by method and path.
    answers: BTreeMap<String, (u16, Value)>,
    /// What was asked, each with the object that was sent along.
    log: Vec<(String, Value)>,
    /// Nobody is known.
    strangers: bool,
}

impl ApiServer {
    /// Starts it without any object. Must run inside a runtime with I/O.
    pub async fn start() -> Self {
        let (folder, tasks) = (tempfile::tempdir().expect("there is room for files"), Tasks::new());
        let key = KeyPair::generate().expect("there is randomness");
        let certificate =
            CertificateParams::new(["127.0.0.1".to_owned()]).and_then(|own| own.self_signed(&key));
        let certificate = certificate.expect("a key signs its own certificate");
        let file = |name: &str, text: &str| -> PathBuf {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            path
        };
        let (roots, token) = (file("ca.crt", &certificate.pem()), file("token", TOKEN));
        let der = PrivateKeyDer::try_from(key.serialize_der()).expect("it is a key");
        let tls = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&TLS13])
            .expect("the provider has TLS 1.3")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], der)
            .expect("the certificate is for this key");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let port = listener.local_addr().expect("a listener has an address").port();
        let state = Arc::<Mutex<State>>::default();
        let serving = serve(listener, TlsAcceptor::from(Arc::new(tls)), state.clone(), tasks.clone());
        tasks.spawn("api server", serving);
        let place = Place { host: "127.0.0.1".to_owned(), port, roots, token };
        Self { state, place, _folder: folder, _tasks: tasks }
    }

    /// Where it is.
    pub fn place(&self) -> Place {
        self.place.clone()
    }

    /// From now on answers `asked` (`GET /api/v1/…`, without a query) with `status` and `object`.
    pub fn answers(&self, asked: &str, status: u16, object: Value) {
        self.state().answers.insert(asked.to_owned(), (status, object));
    }

    /// From now on knows no caller by its token, or knows them again.
    pub fn knows_nobody(&self, strangers: bool) {
        self.state().strangers = strangers;
    }

    /// What was asked with this beginning, query included, and the objects that were sent along.
    pub fn asked(&self, begin: &str) -> Vec<(String, Value)> {
        self.state().log.iter().filter(|(line, _)| line.starts_with(begin)).cloned().collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn answer(&mut self, request: &Request<Bytes>) -> (u16, Value) {
        let (method, uri) = (request.method(), request.uri());
        self.log
            .push((format!("{method} {uri}"), serde_json::from_slice(request.body()).unwrap_or_default()));
        let token = request.headers().get(AUTHORIZATION);
        if self.strangers || token.is_none_or(|token| token != &format!("Bearer {TOKEN}")) {
            return refusal(401);
        }
        let found = self.answers.get(&format!("{method} {}", uri.path()));
        found.cloned().unwrap_or_else(|| refusal(404))
    }
}

/// A `Status` as API servers say no.
fn refusal(code: u16) -> (u16, Value) {
    (code, json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "no", "code": code}))
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, state: Arc<Mutex<State>>, tasks: Tasks) {
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, state) = (acceptor.clone(), state.clone());
        tasks.spawn("api connection", async move {
            // A client that does not believe the certificate goes away.
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let service = service_fn(move |request: Request<Incoming>| {
                let state = state.clone();
                async move {
                    let (head, body) = request.into_parts();
                    let body =
                        body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
                    let request = Request::from_parts(head, body);
                    let (status, object) =
                        state.lock().unwrap_or_else(PoisonError::into_inner).answer(&request);
                    let mut response = Response::new(Full::<Bytes>::from(object.to_string()));
                    *response.status_mut() = status.try_into().expect("tests give statuses");
                    Ok::<_, Infallible>(response)
                }
            });
            drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
        });
    }
}
