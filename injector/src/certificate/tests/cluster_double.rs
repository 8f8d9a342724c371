//! An API server over TLS that lets the injector do what its roles say, and nothing else.

use std::{
    convert::Infallible,
    fs,
    sync::{Arc, Mutex, MutexGuard},
};

use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use rcgen::{CertificateParams, KeyPair};
use rustls::{ServerConfig, crypto::aws_lc_rs, version::TLS13};
use rustls_pki_types::PrivateKeyDer;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{net::TcpListener, sync::watch};
use tokio_rustls::TlsAcceptor;
use weft_runtime::Tasks;

use weft_kubernetes::{ApiServer, Place};

use crate::certificate::{Cluster, Names};

const SECRETS: &str = "/api/v1/namespaces/weft-system/secrets";
const SECRET: &str = "/api/v1/namespaces/weft-system/secrets/weft-injector-tls";
const CONFIGURATION: &str =
    "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/weft-injector";

/// The running API server.
pub(super) struct Double {
    objects: Arc<Mutex<Objects>>,
    seen: watch::Receiver<usize>,
    place: Place,
    folder: TempDir,
    _tasks: Tasks,
}

/// What it holds.
pub(super) struct Objects {
    pub(super) secret: Option<Value>,
    version: u64,
    pub(super) configuration: Option<Value>,
    /// Method and object of each request.
    pub(super) log: Vec<String>,
    /// How many there were.
    requests: watch::Sender<usize>,
}

impl Double {
    pub(super) async fn start() -> Self {
        let (folder, tasks) = (tempfile::tempdir().unwrap(), Tasks::new());
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(["127.0.0.1".to_owned()]).unwrap().self_signed(&key).unwrap();
        let (roots, token) = (folder.path().join("ca.crt"), folder.path().join("token"));
        fs::write(&roots, certificate.pem()).unwrap();
        fs::write(&token, "first\n").unwrap();
        let der = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let tls = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], der)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let place = Place { host: "127.0.0.1".to_owned(), port, roots, token };
        let (requests, seen) = watch::channel(0);
        let objects = Objects {
            secret: None,
            version: 0,
            configuration: Some(configuration()),
            log: Vec::new(),
            requests,
        };
        let objects = Arc::new(Mutex::new(objects));
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let token = place.token.clone();
        tasks.spawn("api server", serve(listener, acceptor, token, objects.clone(), tasks.clone()));
        Self { objects, seen, place, folder, _tasks: tasks }
    }

    /// The injector's way to it.
    pub(super) async fn cluster(&self) -> Cluster {
        let names = Names {
            namespace: "weft-system".to_owned(),
            secret: "weft-injector-tls".to_owned(),
            webhook_configuration: "weft-injector".to_owned(),
        };
        Cluster::new(ApiServer::at(self.place.clone(), "test").await.unwrap(), names)
    }

    pub(super) fn place(&self) -> Place {
        self.place.clone()
    }

    pub(super) fn objects(&self) -> MutexGuard<'_, Objects> {
        self.objects.lock().unwrap()
    }

    /// From now on another token is good, and stands in the file.
    pub(super) fn rotate_token(&self) {
        fs::write(self.folder.path().join("token"), "second\n").unwrap();
    }

    /// `caBundle` of each webhook.
    pub(super) fn bundles(&self) -> Vec<Value> {
        let objects = self.objects();
        let webhooks = objects.configuration.as_ref().unwrap()["webhooks"].as_array().unwrap();
        webhooks.iter().map(|webhook| webhook["clientConfig"]["caBundle"].clone()).collect()
    }

    /// How many requests have been made that begin so.
    pub(super) fn count(&self, begin: &str) -> usize {
        self.objects().log.iter().filter(|line| line.starts_with(begin)).count()
    }
}

impl Double {
    /// Waits for a request that begins so.
    pub(super) async fn asked(&self, begin: &str) {
        let mut seen = self.seen.clone();
        while self.count(begin) == 0 {
            seen.changed().await.unwrap();
        }
    }
}

impl Objects {
    fn answer(&mut self, request: &Request<Bytes>, token: &str) -> (u16, Value) {
        let (method, path) = (request.method().as_str(), request.uri().path());
        self.log.push(format!("{method} {}", path.rsplit('/').next().unwrap_or_default()));
        self.requests.send_replace(self.log.len());
        let headers = request.headers();
        if text(headers, AUTHORIZATION.as_str()) != format!("Bearer {}", token.trim()) {
            return failure(401);
        }
        let query = request.uri().query().unwrap_or_default();
        let found =
            |object: &Option<Value>| object.clone().map_or_else(|| failure(404), |object| (200, object));
        let sent: Value = serde_json::from_slice(request.body()).unwrap_or_default();
        match (method, path) {
            ("GET", SECRET) => found(&self.secret),
            ("POST", SECRETS) if self.secret.is_some() => failure(409),
            ("PUT", SECRET) if self.secret.is_none() => failure(404),
            ("PUT", SECRET) if sent["metadata"]["resourceVersion"] != json!(self.version.to_string()) => {
                failure(409)
            }
            ("POST", SECRETS) | ("PUT", SECRET) => {
                assert_eq!(query, "fieldManager=weft-injector");
                assert_eq!(sent["type"], "kubernetes.io/tls");
                self.version += 1;
                let mut kept = sent;
                kept["metadata"]["resourceVersion"] = json!(self.version.to_string());
                self.secret = Some(kept.clone());
                (201, kept)
            }
            ("GET", CONFIGURATION) => found(&self.configuration),
            ("PATCH", CONFIGURATION) => {
                assert_eq!(query, "fieldManager=weft-injector&force=true");
                assert_eq!(text(headers, CONTENT_TYPE.as_str()), "application/apply-patch+yaml");
                (200, self.apply(&sent))
            }
            _ => failure(403),
        }
    }

    /// Server-side apply, as far as it is used: webhooks are merged by name.
    fn apply(&mut self, sent: &Value) -> Value {
        let kept = self.configuration.as_mut().unwrap();
        for ours in sent["webhooks"].as_array().unwrap() {
            let all = kept["webhooks"].as_array_mut().unwrap();
            let own = all.iter_mut().find(|webhook| webhook["name"] == ours["name"]).unwrap();
            own["clientConfig"]["caBundle"] = ours["clientConfig"]["caBundle"].clone();
            assert_eq!(ours.as_object().unwrap().len(), 2, "nothing else is touched");
        }
        kept.clone()
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).map_or("", |value| value.to_str().unwrap())
}

fn failure(code: u16) -> (u16, Value) {
    let message = format!("no, for the reason {code}");
    (
        code,
        json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": code}),
    )
}

fn configuration() -> Value {
    let service = json!({"name": "weft-injector", "namespace": "weft-system", "path": "/inject"});
    let webhook =
        |name: &str| json!({"name": name, "sideEffects": "None", "clientConfig": {"service": service}});
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": "weft-injector"},
        "webhooks": [webhook("namespace.injector.weft.dev"), webhook("pod.injector.weft.dev")],
    })
}

async fn serve(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    token: std::path::PathBuf,
    objects: Arc<Mutex<Objects>>,
    tasks: Tasks,
) {
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, objects, token) = (acceptor.clone(), objects.clone(), token.clone());
        tasks.spawn("api connection", async move {
            // A client that does not believe the certificate goes away.
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let service = service_fn(move |request: Request<Incoming>| {
                let (objects, token) = (objects.clone(), fs::read_to_string(&token).unwrap());
                async move {
                    let (head, body) = request.into_parts();
                    let body = body.collect().await.unwrap().to_bytes();
                    let request = Request::from_parts(head, body);
                    let (status, answer) = objects.lock().unwrap().answer(&request, &token);
                    let mut response = Response::new(Full::<Bytes>::from(answer.to_string()));
                    *response.status_mut() = status.try_into().unwrap();
                    Ok::<_, Infallible>(response)
                }
            });
            drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
        });
    }
}
