//! What somebody might send who means ill, or another port: nothing of it is right, and much of it nearly.

use std::sync::Arc;

use rustls::ClientConnection;
use rustls_pki_types::ServerName;
use weft_api::names;
use weft_identity::{bundle::TrustBundle, tls::Credentials};

use crate::noise::Noise;

/// Longest noise: beyond what the sidecar looks at to tell a protocol.
const NOISE_BYTES_MAX: usize = 24 * 1024;
/// Connection preface of HTTP/2 (RFC 9113, 3.4), and an empty SETTINGS frame.
const HTTP2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// Requests of which each is wrong in one way, or ends too soon.
const REQUESTS: [&[u8]; 12] = [
    b"GET / HTTP/1.1\r\n",
    b"GET / HTTP/1.1\r\nhost: a\r\nhost",
    b"GET  / HTTP/1.1\r\nhost: a\r\n\r\n",
    b"GET / HTTP/9.9\r\nhost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nhost : a\r\n\r\n",
    b"GET / HTTP/1.1\r\nhost: a\0\r\n\r\n",
    b"GET / HTTP/1.1\r\nhost: a\r\n folded\r\n\r\n",
    b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
    b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n",
    b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n",
    b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\ntoo little",
    b"GET / HTTP/1.1\r\nhost: a\r\nconnection: host\r\n\r\n",
];

/// A ClientHello as other sidecars send it.
pub fn client_hello(roots_pem: &str) -> Vec<u8> {
    let roots = TrustBundle::from_pem(roots_pem).expect("the mesh wrote its roots");
    let trust_domain = names::DEFAULT_TRUST_DOMAIN.parse().expect("the default is a trust domain");
    let somebody = "spiffe://cluster.local/ns/default/sa/somebody".parse().expect("a SPIFFE id");
    let credentials = Credentials::new(trust_domain, roots);
    let config = credentials.client_config(somebody, &[names::ALPN_MESH_H2]);
    let name = ServerName::try_from("somebody.test").expect("a name");
    let mut connection =
        ClientConnection::new(Arc::clone(&config), name).expect("the configuration is sound");
    let mut hello = Vec::new();
    connection.write_tls(&mut hello).expect("a vector takes bytes");
    hello
}

/// The garbage that `seed` stands for. `hello` is a ClientHello.
pub fn garbage(seed: u64, hello: &[u8]) -> Vec<u8> {
    let mut noise = Noise::seeded(seed);
    let count = noise.below(NOISE_BYTES_MAX);
    match noise.below(6) {
        0 => noise.bytes(count),
        1 => REQUESTS[noise.below(REQUESTS.len())].to_vec(),
        2 => [HTTP2, &frames(&mut noise)].concat(),
        3 => hello[..noise.below(hello.len())].to_vec(),
        4 => {
            let mut spoilt = hello.to_vec();
            for _ in 0..8 {
                let at = noise.below(spoilt.len());
                spoilt[at] ^= noise.next_u64() as u8;
            }
            spoilt
        }
        // Right up to the hello, and then nothing that TLS would know.
        _ => [hello, &noise.bytes(count)].concat(),
    }
}

/// Frames of HTTP/2 with lengths that are right, and nothing else.
fn frames(noise: &mut Noise) -> Vec<u8> {
    let mut frames = Vec::new();
    for _ in 0..8 {
        let length = noise.below(200);
        let [kind, flags, stream, ..] = noise.next_u64().to_be_bytes();
        frames.extend_from_slice(&(length as u32).to_be_bytes()[1..]);
        frames.extend_from_slice(&[kind % 12, flags, 0, 0, 0, stream % 8]);
        frames.extend(noise.bytes(length));
    }
    frames
}
