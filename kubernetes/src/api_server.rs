//! Requests to the API server: HTTP/1.1 over TLS, with the token of the process's service account.

use std::{mem, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request, StatusCode,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT},
};
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs, version::TLS13};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::{fs, sync::watch, time::timeout};
use tokio_rustls::TlsConnector;

use crate::{error::RequestError, exchange::Exchange, place::Place};

/// How long a request may take, the connection included.
const REQUEST_WAIT: Duration = Duration::from_secs(10);
/// Bytes of an answer at most: a Secret holds at most 1 MiB, and base64 makes a third more of it.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes of a page of a list at most: each object has at most some 1.5 MiB, and nearly all of them a hundredth of it.
const PAGE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Characters of an answer that an error repeats.
const QUOTED_CHARS_MAX: usize = 200;

const JSON: &str = "application/json";

/// The API server.
#[derive(Clone)]
pub struct ApiServer {
    place: Place,
    agent: &'static str,
    name: ServerName<'static>,
    tls: TlsConnector,
    /// Whether it did not take the token when it was asked last. Clones share it.
    stranger: watch::Sender<bool>,
}

/// How an object is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// A new one, to the path of all of its kind.
    Create,
    /// In place of the one that is there.
    Replace,
    /// The fields that are given, as those of a field manager (server-side apply).
    Apply,
    /// The fields that are given (RFC 7396).
    Merge,
}

impl Write {
    fn method(self) -> Method {
        match self {
            Self::Create => Method::POST,
            Self::Replace => Method::PUT,
            Self::Apply | Self::Merge => Method::PATCH,
        }
    }

    fn media(self) -> &'static str {
        match self {
            Self::Create | Self::Replace => JSON,
            // JSON is YAML.
            Self::Apply => "application/apply-patch+yaml",
            Self::Merge => "application/merge-patch+json",
        }
    }
}

impl ApiServer {
    /// The one at `place`. `agent` is what the process calls itself there, such as `weft-injector/0.1.0`.
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
        let tls = TlsConnector::from(Arc::new(config));
        Ok(Self { place, agent, name, tls, stranger: watch::Sender::new(false) })
    }

    /// Whether the process is a stranger to it: it refused the process's own token (401) when it was asked last. Without
    /// an answer nothing is known, and it stays as it was.
    pub fn stranger(&self) -> watch::Receiver<bool> {
        self.stranger.subscribe()
    }

    /// The object at `path`; none if there is none.
    pub async fn get(&self, path: &str) -> Result<Option<Value>, RequestError> {
        let request = self.prepare(Method::GET, path, JSON, None).await?;
        match self.answer(request, ANSWER_BYTES_MAX).await {
            Ok(object) => Ok(Some(object)),
            Err(error) if error.is(StatusCode::NOT_FOUND) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sends `object` to `path`, and returns what it has become.
    pub async fn send(&self, how: Write, path: &str, object: &Value) -> Result<Value, RequestError> {
        let request = self.prepare(how.method(), path, how.media(), Some(object)).await?;
        self.answer(request, ANSWER_BYTES_MAX).await
    }

    /// Deletes the object at `path`, on the conditions of `options` (`DeleteOptions` of meta/v1).
    pub async fn delete(&self, path: &str, options: &Value) -> Result<(), RequestError> {
        let request = self.prepare(Method::DELETE, path, JSON, Some(options)).await?;
        self.answer::<Value>(request, ANSWER_BYTES_MAX).await.map(drop)
    }

    /// A page of a list.
    pub(crate) async fn page<T: DeserializeOwned>(&self, path: &str) -> Result<T, RequestError> {
        let request = self.prepare(Method::GET, path, JSON, None).await?;
        self.answer(request, PAGE_BYTES_MAX).await
    }

    /// An answer that goes on for as long as something happens; what it says comes in pieces.
    pub(crate) async fn stream(&self, path: &str) -> Result<Exchange, RequestError> {
        let begin = async {
            let request = self.prepare(Method::GET, path, JSON, None).await?;
            let mut exchange = self.begin(request).await?;
            match exchange.status() {
                status if status.is_success() => Ok(exchange),
                status => Err(refused(status, &exchange.rest(ANSWER_BYTES_MAX).await?)),
            }
        };
        timeout(REQUEST_WAIT, begin).await.unwrap_or(Err(RequestError::Slow(REQUEST_WAIT)))
    }

    async fn answer<T: DeserializeOwned>(
        &self,
        request: Request<Full<Bytes>>,
        bytes_max: usize,
    ) -> Result<T, RequestError> {
        let exchange = async {
            let mut exchange = self.begin(request).await?;
            Ok((exchange.status(), exchange.rest(bytes_max).await?))
        };
        let (status, body) =
            timeout(REQUEST_WAIT, exchange).await.unwrap_or(Err(RequestError::Slow(REQUEST_WAIT)))?;
        if !status.is_success() {
            return Err(refused(status, &body));
        }
        serde_json::from_slice(&body).map_err(|error| RequestError::Answer(error.to_string()))
    }

    async fn begin(&self, request: Request<Full<Bytes>>) -> Result<Exchange, RequestError> {
        let exchange = Exchange::begin(&self.place, self.name.clone(), &self.tls, request).await?;
        let is_stranger = exchange.status() == StatusCode::UNAUTHORIZED;
        self.stranger.send_if_modified(|was| mem::replace(was, is_stranger) != is_stranger);
        Ok(exchange)
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
        headers.insert(ACCEPT, HeaderValue::from_static(JSON));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media));
        headers.insert(USER_AGENT, HeaderValue::from_static(self.agent));
        Ok(request)
    }
}

fn refused(status: StatusCode, body: &[u8]) -> RequestError {
    // A `Status` (meta/v1) says why; a proxy on the way would say it in its own way.
    let answer: Option<Value> = serde_json::from_slice(body).ok();
    let message = answer.and_then(|status| Some(status.get("message")?.as_str()?.to_owned()));
    let message = message.unwrap_or_else(|| String::from_utf8_lossy(body).into_owned());
    RequestError::Refused { status, message: message.chars().take(QUOTED_CHARS_MAX).collect() }
}
