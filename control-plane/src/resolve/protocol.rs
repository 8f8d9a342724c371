//! What is spoken on a port, as far as anybody says it.

use weft_api::names;

/// What is spoken on a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP of either version.
    Http,
    /// HTTP of either version with somebody who opens tunnels: `CONNECT` is for him.
    Connect,
    /// HTTP/2 without TLS.
    Http2,
    /// What the first bytes say.
    Detected,
    /// Bytes that nobody looks at.
    Opaque,
}

impl Protocol {
    /// What `appProtocol` says (KEP-3726, and names that are older than it); where it says nothing, `known` ports are
    /// those on which servers speak first.
    pub fn of(app_protocol: Option<&str>, known: impl IntoIterator<Item = u16>) -> Self {
        match app_protocol {
            Some("http" | "kubernetes.io/ws") => Self::Http,
            Some(names::PROTOCOL_CONNECT) => Self::Connect,
            Some("kubernetes.io/h2c" | "http2" | "grpc") => Self::Http2,
            Some(_) => Self::Opaque,
            None if known.into_iter().any(|port| names::OPAQUE_PORTS.contains(&port)) => Self::Opaque,
            None => Self::Detected,
        }
    }

    /// Whether requests may come.
    pub fn may_be_http(self) -> bool {
        self != Self::Opaque
    }

    /// Whether bytes may come that are not HTTP.
    pub fn may_be_opaque(self) -> bool {
        matches!(self, Self::Detected | Self::Opaque)
    }
}
