//! The matrix of bad certificates: each row is generated, shown to the verifier and in a handshake at each
//! end, and refused for the reason that is written beside it.

use std::time::Duration;

use rustls::Error;
use rustls_pki_types::UnixTime;
use weft_identity::{
    tls::ClientCertificate,
    verify::{Expected, Role, verify_peer},
};

use crate::{
    lab::{ALPN, CART, FRONT, MESH, NOW, authority, credentials, id, identity},
    pair::handshake,
    rows::{Refused, Roots, rows},
};

#[test]
fn no_bad_certificate_passes_the_verifier() {
    let roots = Roots::new();
    let bundle = roots.bundle();
    let now = UnixTime::since_unix_epoch(Duration::from_secs(NOW));
    let rows = rows(&roots);
    assert!(rows.iter().filter(|row| row.refused == Refused::Everywhere).count() >= 80);
    for row in rows {
        for (role, expected, refused) in [
            (Role::Server, Expected::Exactly(id(CART)), Refused::AsServer),
            (Role::Client, Expected::Member(MESH.parse().unwrap()), Refused::AsClient),
        ] {
            let verdict =
                verify_peer(&row.shown.chain[0], &row.shown.chain[1..], &bundle, &expected, role, now);
            if row.refused == Refused::Everywhere || row.refused == refused {
                let reason = format!("{:?}", verdict.expect_err(&row.name));
                assert!(reason.contains(row.why), "{}, as {role:?}: refused, but for {reason}", row.name);
            } else {
                assert!(verdict.is_ok(), "{}, as {role:?}: {verdict:?}", row.name);
            }
        }
    }
}

#[test]
fn no_bad_certificate_passes_a_handshake() {
    let roots = Roots::new();
    let own = authority();
    let credentials = credentials(roots.bundle(), Some(identity(&own, FRONT)));
    let client = credentials.client_config(id(CART), ALPN);
    let server = credentials.server_config(ClientCertificate::Required, ALPN);
    for row in rows(&roots) {
        // A key of another kind never gets as far as the certificate: no signature scheme is common.
        let is_distrusted = |error: &Error| matches!(error, Error::InvalidCertificate(_)) || row.why == "Key";
        let ends = [
            (Refused::AsServer, handshake(&client, &row.shown.server()).client.err()),
            (Refused::AsClient, handshake(&row.shown.client(), &server).server.err()),
        ];
        for (end, refusal) in ends {
            let should = row.refused == Refused::Everywhere || row.refused == end;
            assert_eq!(refusal.is_some(), should, "{}, {end:?}: {refusal:?}", row.name);
            assert!(refusal.as_ref().is_none_or(is_distrusted), "{}, {end:?}: {refusal:?}", row.name);
        }
    }
}
