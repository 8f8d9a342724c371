//! The answer that sends a caller elsewhere.

use std::fmt::Write as _;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header::LOCATION, request::Parts, uri::Authority};

use super::{Path, PathRewrite};

/// Another place to ask. What is absent stays as the caller said it.
#[derive(Clone, Debug)]
pub struct Redirect {
    /// 3xx.
    pub status: StatusCode,
    /// Scheme.
    pub scheme: Option<String>,
    /// Host name.
    pub host: Option<String>,
    /// Port. Where scheme or host are others and this is absent: the one that URLs of the scheme mean anyway.
    pub port: Option<u16>,
    /// Path.
    pub path: Option<PathRewrite>,
    /// Whether the query goes.
    pub strip_query: bool,
}

impl Redirect {
    /// The answer to `request`, which `matched` has taken and which was meant for `authority`. Fails if the place is none
    /// that a header can carry.
    pub fn response(
        &self,
        request: &Parts,
        authority: &Authority,
        matched: &Path,
    ) -> Result<Response<Bytes>, http::Error> {
        let location = HeaderValue::try_from(self.location(request, authority, matched))?;
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = self.status;
        response.headers_mut().insert(LOCATION, location);
        Ok(response)
    }

    fn location(&self, request: &Parts, authority: &Authority, matched: &Path) -> String {
        // What comes to a sidecar as requests came without TLS.
        let scheme = self.scheme.as_deref().unwrap_or("http");
        let mut location = format!("{scheme}://");
        if self.scheme.is_none() && self.host.is_none() && self.port.is_none() {
            location.push_str(authority.as_str());
        } else {
            location.push_str(self.host.as_deref().unwrap_or(authority.host()));
            if let Some(port) = self.port.filter(|port| Some(*port) != well_known(scheme)) {
                let _ = write!(location, ":{port}");
            }
        }
        let path = request.uri.path();
        match &self.path {
            None => location.push_str(path),
            Some(rewrite) => location.push_str(&rewrite.path(path, matched)),
        }
        if let Some(query) = request.uri.query().filter(|_| !self.strip_query) {
            let _ = write!(location, "?{query}");
        }
        location
    }
}

/// The port that URLs of `scheme` mean where they name none.
fn well_known(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
