use std::{sync::Arc, time::SystemTime};

use rustls_pki_types::ServerName;
use weft_identity::{TrustDomain, authority::Authority, bundle::TrustBundle, tls::Credentials};

use super::*;

/// The ClientHello of a client that offers `alpn` and calls `name`.
fn hello(alpn: &[&[u8]], name: Option<&'static str>) -> Vec<u8> {
    let domain: TrustDomain = "cluster.local".parse().unwrap();
    let authority = Authority::create(domain.clone(), SystemTime::now()).unwrap();
    let credentials = Credentials::new(domain, TrustBundle::from_pem(authority.certificate_pem()).unwrap());
    let peer = "spiffe://cluster.local/ns/default/sa/api".parse().unwrap();
    let mut config = rustls::ClientConfig::clone(&credentials.client_config(peer, alpn));
    config.enable_sni = name.is_some();
    let name = ServerName::try_from(name.unwrap_or("127.0.0.1")).unwrap();
    let mut client = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    bytes
}

#[test]
fn the_mesh_is_told_from_the_application_s_own_tls() {
    for (alpn, is_mesh) in [
        (&[names::ALPN_MESH_H2][..], true),
        (&[names::ALPN_MESH_HTTP1], true),
        (&[names::ALPN_MESH_TCP], true),
        (&[b"h2".as_slice(), b"http/1.1"], false),
        (&[], false),
    ] {
        assert_eq!(read(&hello(alpn, None)), Some(Hello { server_name: None, is_mesh }));
    }
}

#[test]
fn the_name_that_is_called_is_known() {
    let read = read(&hello(&[b"h2"], Some("shop.example"))).unwrap();
    assert_eq!(read.server_name.as_deref(), Some("shop.example"));
}

#[test]
fn a_part_decides_nothing_and_never_panics() {
    let whole = hello(&[names::ALPN_MESH_TCP], None);
    for length in 1..whole.len() {
        assert_eq!(read(&whole[..length]), None, "{length} of {}", whole.len());
    }
}

#[test]
fn a_hello_over_several_records_is_put_together() {
    let whole = hello(&[names::ALPN_MESH_TCP], None);
    let records: Vec<u8> = whole[HEADER_BYTES..]
        .chunks(100)
        .flat_map(|part| [&whole[..3], &(part.len() as u16).to_be_bytes(), part].concat())
        .collect();
    assert!(read(&records).unwrap().is_mesh);
}

#[test]
fn what_cannot_be_read_is_not_of_the_mesh() {
    let whole = hello(&[names::ALPN_MESH_TCP], None);
    for at in 0..whole.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut broken = whole.clone();
            broken[at] ^= flip;
            let _ = read(&broken);
        }
    }
    let mut other = whole;
    other[1] = 9;
    assert_eq!(read(&other), Some(Hello::default()));
}
