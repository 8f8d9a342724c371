//! The service that people open in a browser: a page made from what the API says, or 500 when the API fails.

use std::{io, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use serde::Deserialize;
use tokio::net::TcpListener;

use crate::{
    feelgood_api, process,
    serve::{answer, empty, serve},
    upstream::{InvalidAddress, Upstream},
};

/// How to start the service.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:4200")]
    pub listen: SocketAddr,
    /// Where the API is, such as http://feelgood-api; default: the environment variable API_ADDR
    #[arg(long, value_name = "URL")]
    pub api: Option<String>,
}

/// Why the service could not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An address that cannot be listened on.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, #[source] io::Error),
    /// Nobody said where the API is.
    #[error("the address of the API is missing: give --api http://HOST:PORT or set API_ADDR")]
    NoApi,
    /// The API's address cannot be understood.
    #[error("the address of the API: {0}")]
    Api(#[from] InvalidAddress),
}

/// The service, listening and not yet serving.
#[derive(Debug)]
pub struct Frontend {
    listener: TcpListener,
    api: Arc<Upstream>,
}

/// What the API answers.
#[derive(Deserialize)]
struct GoodVibes {
    message: String,
}

impl Frontend {
    /// Opens the listener. The API need not be there yet.
    pub async fn bind(options: &Options) -> Result<Self, Error> {
        let api = options.api.clone().or_else(process::api_address).ok_or(Error::NoApi)?;
        let api = Arc::new(api.parse()?);
        let listener = TcpListener::bind(options.listen)
            .await
            .map_err(|source| Error::Listen(options.listen, source))?;
        Ok(Self { listener, api })
    }

    /// Where the page is served.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop` resolves and what was in flight has been answered.
    pub async fn serve(self, stop: impl Future<Output = ()>) {
        let api = self.api;
        serve(self.listener, move |request| respond(Arc::clone(&api), request), stop).await;
    }
}

async fn respond(api: Arc<Upstream>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    if !matches!(request.uri().path(), "/" | "/healthz") {
        return empty(StatusCode::NOT_FOUND);
    }
    if request.method() != Method::GET {
        return empty(StatusCode::METHOD_NOT_ALLOWED);
    }
    if request.uri().path() == "/healthz" {
        return answer(StatusCode::OK, "text/plain; charset=utf-8", "ok\n".to_owned());
    }
    match good_vibes(&api).await {
        Ok(message) => page(StatusCode::OK, &message),
        Err(reason) => page(StatusCode::INTERNAL_SERVER_ERROR, &format!("No good vibes: {reason}.")),
    }
}

/// The API's message, or why there is none, in words for the page.
async fn good_vibes(api: &Upstream) -> Result<String, String> {
    let (status, body) = api.get(feelgood_api::PATH).await.map_err(|error| error.to_string())?;
    if status != StatusCode::OK {
        return Err(format!("the API answered {status}"));
    }
    let vibes: GoodVibes =
        serde_json::from_slice(&body).map_err(|_| "the API answered something else".to_owned())?;
    Ok(vibes.message)
}

fn page(status: StatusCode, message: &str) -> Response<Full<Bytes>> {
    let message = escape(message);
    let body = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>Feelgood</title>\n<h1>{message}</h1>\n</html>\n"
    );
    answer(status, "text/html; charset=utf-8", body)
}

/// The text as HTML shows it; what the API says is not markup.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests;
