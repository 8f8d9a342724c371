//! Requests to the API server of the cluster that this process runs in: HTTP/1.1 over TLS, with the token of its
//! service account. Four kinds of request are made in all, so a client library would be a hundred crates for nothing.

use std::{io, path::PathBuf, pin::pin, sync::Arc, time::Duration};

use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Method, Request, StatusCode,
    body::Bytes,
    client::conn::http1::handshake,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT},
};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs, version::TLS13};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};
use serde_json::Value;
use tokio::{fs, net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;

use crate::config::Place;

/// How long a request may take, the connection included.
const REQUEST_WAIT: Duration = Duration::from_secs(10);
/// Bytes of an answer at most: a Secret holds at most 1 MiB, and base64 makes a third more of it.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes of an answer that an error repeats.
const QUOTED_CHARS_MAX: usize = 200;

/// The API server.
#[derive(Clone)]
pub struct ApiServer {
    place: Place,
    name: ServerName<'static>,
    /// How this process calls itself (`User-Agent`).
    agent: HeaderValue,
    tls: TlsConnector,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// A file cannot be read or used.
    #[error("{path}: {reason}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The host is neither a name nor an address.
    #[error("the API server's host `{0}` is neither a name nor an address")]
    Host(String),
    /// No connection, or no TLS.
    #[error("no connection to the API server: {0}")]
    Connect(io::Error),
    /// It broke.
    #[error("the connection to the API server broke: {0}")]
    Broken(#[from] hyper::Error),
    /// What came is too long, or no JSON.
    #[error("the API server's answer cannot be used: {0}")]
    Answer(String),
    /// It takes too long.
    #[error("the API server gave no answer within {} s", REQUEST_WAIT.as_secs())]
    Slow,
    /// It says no.
    #[error("the API server answered {status}: {message}")]
    Refused {
        /// With which status.
        status: StatusCode,
        /// And which words.
        message: String,
    },
}

impl ApiServer {
    /// The one at `place`, for a program that calls itself `agent`.
    pub async fn at(place: Place, agent: &'static str) -> Result<Self, RequestError> {
        let unusable = |reason: String| RequestError::File { path: place.roots.clone(), reason };
        let text = fs::read(&place.roots).await.map_err(|error| unusable(error.to_string()))?;
        let mut roots = RootCertStore::empty();
        for root in CertificateDer::pem_slice_iter(&text) {
            let root = root.map_err(|error| unusable(error.to_string()))?;
            roots.add(root).map_err(|error| unusable(error.to_string()))?;
        }
        if roots.is_empty() {
            return Err(unusable("holds no certificate".to_owned()));
        }
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&TLS13])
            .expect("the provider has cipher suites and groups of TLS 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name =
            ServerName::try_from(place.host.clone()).map_err(|_| RequestError::Host(place.host.clone()))?;
        let agent = HeaderValue::from_static(agent);
        Ok(Self { place, name, agent, tls: TlsConnector::from(Arc::new(config)) })
    }

    /// The object at `path`; none if there is none.
    pub async fn get(&self, path: &str) -> Result<Option<Value>, RequestError> {
        match self.request(Method::GET, path, "application/json", None).await {
            Ok(object) => Ok(Some(object)),
            Err(RequestError::Refused { status: StatusCode::NOT_FOUND, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sends `object`, and returns what it has become.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        media: &'static str,
        object: &Value,
    ) -> Result<Value, RequestError> {
        self.request(method, path, media, Some(object)).await
    }

    async fn request(
        &self,
        method: Method,
        path: &str,
        media: &'static str,
        object: Option<&Value>,
    ) -> Result<Value, RequestError> {
        let exchange = async {
            let request = self.prepare(method, path, media, object).await?;
            self.exchange(request).await
        };
        let (status, body) = timeout(REQUEST_WAIT, exchange).await.unwrap_or(Err(RequestError::Slow))?;
        let answer: Result<Value, _> = serde_json::from_slice(&body);
        if status.is_success() {
            return answer.map_err(|error| RequestError::Answer(error.to_string()));
        }
        // A `Status` (meta/v1) says why; a proxy on the way would say it in its own way.
        let message = answer.ok().and_then(|status| Some(status.get("message")?.as_str()?.to_owned()));
        let message = message.unwrap_or_else(|| String::from_utf8_lossy(&body).into_owned());
        let message = message.chars().take(QUOTED_CHARS_MAX).collect();
        Err(RequestError::Refused { status, message })
    }

    async fn prepare(
        &self,
        method: Method,
        path: &str,
        media: &'static str,
        object: Option<&Value>,
    ) -> Result<Request<Full<Bytes>>, RequestError> {
        let unusable = |reason: String| RequestError::File { path: self.place.token.clone(), reason };
        let token =
            fs::read_to_string(&self.place.token).await.map_err(|error| unusable(error.to_string()))?;
        let mut bearer = HeaderValue::from_str(&format!("Bearer {}", token.trim()))
            .map_err(|error| unusable(error.to_string()))?;
        bearer.set_sensitive(true);
        let Place { host, port, .. } = &self.place;
        let authority =
            if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        let mut request = Request::new(Full::from(object.map(Value::to_string).unwrap_or_default()));
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().map_err(|_| RequestError::Answer(format!("no path: {path}")))?;
        let headers = request.headers_mut();
        let authority = HeaderValue::from_str(&authority);
        headers.insert(HOST, authority.map_err(|_| RequestError::Host(host.clone()))?);
        headers.insert(AUTHORIZATION, bearer);
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media));
        headers.insert(USER_AGENT, self.agent.clone());
        Ok(request)
    }

    /// One request on a connection of its own.
    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), RequestError> {
        let place = (self.place.host.as_str(), self.place.port);
        let stream = TcpStream::connect(place).await.map_err(RequestError::Connect)?;
        let stream = self.tls.connect(self.name.clone(), stream).await.map_err(RequestError::Connect)?;
        let (mut sender, driver) = handshake(TokioIo::new(stream)).await?;
        let mut exchange = pin!(async {
            let response = sender.send_request(request).await?;
            let status = response.status();
            let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
            Ok((status, body.map_err(|error| RequestError::Answer(error.to_string()))?.to_bytes()))
        });
        tokio::select! {
            answer = exchange.as_mut() => answer,
            // It closed. Whether the answer came before that, the exchange knows.
            _ = driver => exchange.await,
        }
    }
}
