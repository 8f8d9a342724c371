//! What becomes of a connection, by the rules of its port and what it says first.

use std::time::Duration;

use http::{Method, request::Parts};
use weft_api::names;

use crate::{
    detect::{DETECT_TIMEOUT, Expected, Protocol},
    fault::Fault,
    http::serve::Version,
    snapshot::Port,
};

/// On an opaque port that takes plaintext, who has said nothing within this time waits for the server to speak first.
/// Sidecars begin at once: this leaves them time for a lost packet, or for a processor that they do not get at once.
const SERVER_FIRST: Duration = Duration::from_secs(1);

/// What first bytes decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum First {
    /// mTLS of the mesh: what is inside is told by its ALPN.
    Mesh,
    /// Plaintext, or TLS that is not ours.
    Plain(Way),
}

/// A way in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// HTTP, served here.
    Http(Version),
    /// Bytes, handed to the application as they are.
    Opaque,
    /// None.
    Refused(Fault),
}

/// What a connection to `port` can be, and how long it is looked at. Without rules, requests are answered with a reason.
pub fn expected(port: Option<&Port>) -> (Expected, Duration) {
    match port {
        Some(Port { http: Some(_), opaque: Some(_) }) => (Expected::Any, DETECT_TIMEOUT),
        Some(Port { http: None, opaque: Some(opaque) }) if opaque.plaintext => {
            (Expected::Opaque, SERVER_FIRST)
        }
        Some(Port { http: None, .. }) => (Expected::Opaque, DETECT_TIMEOUT),
        _ => (Expected::Http, DETECT_TIMEOUT),
    }
}

/// By the first bytes.
pub fn by_first_bytes(port: Option<&Port>, protocol: &Protocol) -> First {
    let opaque = port.and_then(|port| port.opaque.as_ref());
    let way = match protocol {
        // The application's own TLS; where it may not pass, the handshake tells the caller so.
        Protocol::Tls(hello) if !hello.is_mesh && opaque.is_some_and(|opaque| opaque.plaintext) => {
            Way::Opaque
        }
        Protocol::Tls(_) => return First::Mesh,
        // Whether plaintext is taken is asked for each request: the rules may change meanwhile, and there are probes.
        Protocol::Http1 => Way::Http(Version::Http1),
        Protocol::Http2 => Way::Http(Version::Http2),
        Protocol::Opaque | Protocol::Silence => match opaque {
            Some(opaque) if opaque.plaintext => Way::Opaque,
            Some(_) => Way::Refused(Fault::PlaintextRefused),
            None => Way::Refused(Fault::NotHttp),
        },
    };
    First::Plain(way)
}

/// By what a sidecar has said is inside its mTLS. Requests are served on opaque ports too: the other sidecar may know
/// better already. Opaque bytes are not taken where HTTP alone is spoken: requests could hide in them.
pub fn by_alpn(port: Option<&Port>, alpn: Option<&[u8]>) -> Way {
    let (http, opaque) = port.map_or((true, false), |port| (port.http.is_some(), port.opaque.is_some()));
    match alpn {
        Some(names::ALPN_MESH_H2) => Way::Http(Version::Http2),
        Some(names::ALPN_MESH_TCP) if opaque => Way::Opaque,
        Some(names::ALPN_MESH_TCP) => {
            Way::Refused(if port.is_some() { Fault::NotHttp } else { Fault::NotConfigured })
        }
        None if !http => Way::Opaque,
        _ => Way::Http(Version::Http1),
    }
}

/// Whether `request` may come without mTLS.
pub fn takes_plaintext(port: &Port, request: &Parts) -> bool {
    match &port.http {
        Some(http) => http.plaintext || is_probe(port, request),
        None => port.opaque.as_ref().is_some_and(|opaque| opaque.plaintext),
    }
}

/// Whether `request` is one by which the kubelet asks how the application is.
pub fn is_probe(port: &Port, request: &Parts) -> bool {
    let is_probe = |path: &String| {
        // Of the kubelet's two kinds of requests the one for gRPC is a call.
        let method = if path == names::PATH_GRPC_HEALTH { Method::POST } else { Method::GET };
        request.method == method
            && request.uri.path_and_query().is_some_and(|asked| asked.as_str() == path.as_str())
    };
    port.http.as_ref().is_some_and(|http| http.probes.iter().any(is_probe))
}

/// Whether the application takes `CONNECT`.
pub fn connects(port: &Port) -> bool {
    port.http.as_ref().is_some_and(|http| http.connect)
}

/// Which HTTP the application speaks.
pub fn spoken(port: &Port) -> Version {
    port.http.as_ref().map_or(Version::Http1, |http| http.version)
}

#[cfg(test)]
mod tests;
