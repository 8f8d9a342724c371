//! What the two ends agree on, and on what they never do.

use std::sync::Arc;

use rustls::{
    CipherSuite, Error, HandshakeKind, NamedGroup, ProtocolVersion, ServerConnection,
    crypto::{CryptoProvider, aws_lc_rs},
};
use weft_identity::tls::{ClientCertificate, Credentials, peer_identity};

use crate::{
    lab::{self, ALPN, CART, FRONT, authority, bundle_of, credentials, credulous_client, id, identity},
    pair::handshake,
};

/// The cart and the front of one mesh.
fn mesh() -> (Arc<Credentials>, Arc<Credentials>) {
    let authority = authority();
    let member = |who| credentials(bundle_of(&[&authority]), Some(identity(&authority, who)));
    (member(CART), member(FRONT))
}

#[test]
fn two_workloads_know_each_other() {
    let (cart, front) = mesh();
    let outcome = handshake(
        &front.client_config(id(CART), ALPN),
        &cart.server_config(ClientCertificate::Required, ALPN),
    );
    let (client, server) = (outcome.client.unwrap(), outcome.server.unwrap());
    assert_eq!(peer_identity(client.peer_certificates().unwrap()), Ok(id(CART)));
    assert_eq!(peer_identity(server.peer_certificates().unwrap()), Ok(id(FRONT)));
    assert_eq!(client.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    assert_eq!(client.negotiated_key_exchange_group().unwrap().name(), NamedGroup::X25519MLKEM768);
    assert_eq!(client.alpn_protocol(), Some(ALPN[0]));
    assert_eq!(server.server_name(), None, "the client must not tell the wire whom it wants");
}

#[test]
fn nothing_is_left_to_resume() {
    let (cart, front) = mesh();
    let required = cart.server_config(ClientCertificate::Required, ALPN);
    let unasked = cart.server_config(ClientCertificate::Unasked, ALPN);
    // Our own client would not resume; one that would is not given the means.
    let eager = credulous_client(lab::provider(), None);
    for (client, server) in [(front.client_config(id(CART), ALPN), required), (eager, unasked)] {
        for _ in 0..2 {
            let connection = handshake(&client, &server).client.unwrap();
            assert_eq!(connection.tls13_tickets_received(), 0);
            assert_eq!(connection.handshake_kind(), Some(HandshakeKind::Full));
        }
    }
}

#[test]
fn a_client_without_certificate_is_turned_away_where_one_is_required() {
    let (cart, _) = mesh();
    let nobody = credentials(rebundle(&cart), None);
    let client = nobody.client_config(id(CART), ALPN);
    let refused = handshake(&client, &cart.server_config(ClientCertificate::Required, ALPN));
    assert!(matches!(refused.server, Err(Error::NoCertificatesPresented)));
    // The configuration stream: the server is known by its certificate, the client by its token.
    let accepted = handshake(&client, &cart.server_config(ClientCertificate::Unasked, ALPN));
    assert_eq!(accepted.server.unwrap().peer_certificates(), None);
}

#[test]
fn a_server_without_identity_accepts_nobody() {
    let (cart, front) = mesh();
    let nobody = credentials(rebundle(&cart), None);
    let server = nobody.server_config(ClientCertificate::Required, ALPN);
    assert!(!handshake(&front.client_config(id(CART), ALPN), &server).is_connected());
}

#[test]
fn no_common_protocol_is_no_connection() {
    let (cart, front) = mesh();
    let outcome = handshake(
        &front.client_config(id(CART), &[b"weft-http/1.1"]),
        &cart.server_config(ClientCertificate::Required, ALPN),
    );
    assert!(matches!(outcome.server, Err(Error::NoApplicationProtocol)));
}

#[test]
fn weaker_key_exchanges_are_not_spoken() {
    let (cart, _) = mesh();
    let server = cart.server_config(ClientCertificate::Unasked, ALPN);
    let offering = |group| {
        let provider = CryptoProvider { kx_groups: vec![group], ..aws_lc_rs::default_provider() };
        handshake(&credulous_client(Arc::new(provider), None), &server).is_connected()
    };
    assert!(offering(aws_lc_rs::kx_group::X25519MLKEM768));
    assert!(offering(aws_lc_rs::kx_group::X25519));
    assert!(!offering(aws_lc_rs::kx_group::SECP256R1));
    assert!(!offering(aws_lc_rs::kx_group::SECP384R1));
}

#[test]
fn tls_1_2_is_not_spoken() {
    let (cart, _) = mesh();
    let suite = u16::from(CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256).to_be_bytes();
    // RFC 5246, section 7.4.1.2: version, random, no session, one cipher suite, no compression; and the
    // extensions without which no server would answer even if it spoke TLS 1.2: signature_algorithms,
    // supported_groups.
    let extensions: &[u8] = &[0, 13, 0, 4, 0, 2, 4, 3, 0, 10, 0, 4, 0, 2, 0, 29];
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([0, 0, 2, suite[0], suite[1], 1, 0, 0, extensions.len() as u8]);
    body.extend(extensions);
    let mut record = vec![22, 3, 1, 0, body.len() as u8 + 4, 1, 0, 0, body.len() as u8];
    record.extend(body);
    let mut server = ServerConnection::new(cart.server_config(ClientCertificate::Required, ALPN)).unwrap();
    server.read_tls(&mut record.as_slice()).unwrap();
    let refusal = server.process_new_packets().unwrap_err();
    assert!(matches!(refusal, Error::PeerIncompatible(_)), "{refusal:?}");
}

#[test]
fn no_key_is_printed() {
    let (cart, _) = mesh();
    let printed = format!("{cart:?} {:?}", cart.server_config(ClientCertificate::Required, ALPN));
    assert!(printed.contains("Key(P256)"), "the key stands somewhere in it, by its kind alone: {printed}");
}

/// The bundle of `credentials`, anew.
fn rebundle(credentials: &Credentials) -> weft_identity::bundle::TrustBundle {
    (*credentials.bundle()).clone()
}

#[test]
fn a_stolen_certificate_is_worth_nothing_without_its_key() {
    let (cart, front) = mesh();
    let stolen = lab::Shown {
        chain: cart.identity().unwrap().chain().to_vec(),
        key: rcgen::KeyPair::generate().unwrap(),
    };
    let as_server = handshake(&front.client_config(id(CART), ALPN), &stolen.server());
    assert!(matches!(as_server.client, Err(Error::InvalidCertificate(_))), "{:?}", as_server.client.err());
    let as_client = handshake(&stolen.client(), &front.server_config(ClientCertificate::Required, ALPN));
    assert!(matches!(as_client.server, Err(Error::InvalidCertificate(_))), "{:?}", as_client.server.err());
}
