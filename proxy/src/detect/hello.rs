//! What the first message of TLS tells: which name is called, and whether a sidecar of the mesh calls.

use rustls::server::Acceptor;
use weft_api::names;

use super::TLS_HANDSHAKE;

/// First byte of every protocol version in a record (RFC 8446, 5.1).
const MAJOR_VERSION: u8 = 3;
/// Type, version and length of a record.
const HEADER_BYTES: usize = 5;
/// What sidecars offer to one another.
const ALPN_MESH: [&[u8]; 3] = [names::ALPN_MESH_H2, names::ALPN_MESH_HTTP1, names::ALPN_MESH_TCP];

/// A ClientHello, as far as it concerns a proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hello {
    /// The name that the client calls (RFC 6066, 3).
    pub server_name: Option<String>,
    /// Whether it offers a protocol of the mesh: then this TLS ends here. All other TLS is the application's.
    pub is_mesh: bool,
}

/// Reads the ClientHello that `first` begins with; `None` = more is needed. One that cannot be read is nobody's of the
/// mesh: an older TLS, or something that only looks like it.
pub(super) fn read(first: &[u8]) -> Option<Hello> {
    if first.get(1).is_some_and(|version| *version != MAJOR_VERSION) {
        return Some(Hello::default());
    }
    // A message is only looked for once the record is there: bytes that trickle in cost nothing.
    let length = first.get(3..HEADER_BYTES).map(|length| u16::from_be_bytes([length[0], length[1]]))?;
    if first[0] != TLS_HANDSHAKE || first.len() < HEADER_BYTES + usize::from(length) {
        return None;
    }
    let mut acceptor = Acceptor::default();
    let mut left = first;
    loop {
        match acceptor.read_tls(&mut left) {
            Ok(0) => return None,
            Ok(_) => {}
            Err(_) => return Some(Hello::default()),
        }
        match acceptor.accept() {
            Ok(None) => {}
            Ok(Some(accepted)) => {
                let hello = accepted.client_hello();
                let is_mesh = hello
                    .alpn()
                    .is_some_and(|mut offered| offered.any(|protocol| ALPN_MESH.contains(&protocol)));
                return Some(Hello { server_name: hello.server_name().map(str::to_owned), is_mesh });
            }
            Err(_) => return Some(Hello::default()),
        }
    }
}

#[cfg(test)]
mod tests;
