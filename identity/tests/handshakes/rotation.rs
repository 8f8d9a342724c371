//! Certificates and roots change while configurations stay, and while handshakes run.

use std::sync::Arc;

use rustls::{CertificateError, Error};
use weft_identity::tls::{ClientCertificate, peer_identity};

use crate::{
    lab::{ALPN, CART, FRONT, NOW, Standing, authority, bundle_of, credentials, id, identity},
    pair::{Pair, handshake},
};

#[test]
fn the_next_handshake_shows_the_next_certificate() {
    let authority = authority();
    let cart = credentials(bundle_of(&[&authority]), Some(identity(&authority, CART)));
    let front = credentials(bundle_of(&[&authority]), Some(identity(&authority, FRONT)));
    let (client, server) =
        (front.client_config(id(CART), ALPN), cart.server_config(ClientCertificate::Required, ALPN));
    let shown = || {
        let outcome = handshake(&client, &server);
        let leaf = |certificates: Option<&[_]>| {
            certificates.map(|chain: &[rustls_pki_types::CertificateDer<'_>]| chain[0].to_vec())
        };
        (leaf(outcome.client.unwrap().peer_certificates()), leaf(outcome.server.unwrap().peer_certificates()))
    };
    let before = shown();
    cart.set_identity(identity(&authority, CART));
    front.set_identity(identity(&authority, FRONT));
    let after = shown();
    assert_ne!(before.0, after.0);
    assert_ne!(before.1, after.1);
}

#[test]
fn a_handshake_under_way_survives_a_new_certificate() {
    let authority = authority();
    let cart = credentials(bundle_of(&[&authority]), Some(identity(&authority, CART)));
    let front = credentials(bundle_of(&[&authority]), Some(identity(&authority, FRONT)));
    let mut pair = Pair::begin(
        &front.client_config(id(CART), ALPN),
        &cart.server_config(ClientCertificate::Required, ALPN),
    );
    pair.client_speaks();
    cart.set_identity(identity(&authority, CART));
    pair.server_speaks();
    front.set_identity(identity(&authority, FRONT));
    assert!(pair.finish().is_connected());
}

/// The order that keeps every handshake of every step whole: trust the new root everywhere, sign anew
/// everywhere, drop the old root everywhere. At each step one end is ahead of the other.
#[test]
fn a_root_is_replaced_without_a_failed_handshake() {
    let (old, new) = (authority(), authority());
    let cart = credentials(bundle_of(&[&old]), Some(identity(&old, CART)));
    let front = credentials(bundle_of(&[&old]), Some(identity(&old, FRONT)));
    let (client, server) =
        (front.client_config(id(CART), ALPN), cart.server_config(ClientCertificate::Required, ALPN));
    let assert_connects = |step: &str| assert!(handshake(&client, &server).is_connected(), "{step}");
    assert_connects("old root only");
    cart.set_bundle(bundle_of(&[&old, &new]));
    assert_connects("the cart trusts both");
    front.set_bundle(bundle_of(&[&new, &old]));
    assert_connects("both trust both");
    cart.set_identity(identity(&new, CART));
    assert_connects("the cart is signed anew");
    front.set_identity(identity(&new, FRONT));
    assert_connects("both are signed anew");
    cart.set_bundle(bundle_of(&[&new]));
    assert_connects("the cart forgot the old root");
    front.set_bundle(bundle_of(&[&new]));
    assert_connects("both forgot the old root");

    front.set_identity(identity(&old, FRONT));
    let late = handshake(&client, &server);
    assert!(late.server.is_err(), "who missed the rotation is not believed");
}

#[test]
fn a_certificate_that_expires_in_a_running_configuration_is_refused() {
    let authority = authority();
    let cart = credentials(bundle_of(&[&authority]), Some(identity(&authority, CART)));
    let server = cart.server_config(ClientCertificate::Unasked, ALPN);
    let at = |seconds| {
        let mesh = cart.trust_domain().clone();
        let bundle = bundle_of(&[&authority]);
        let clock = Arc::new(Standing(seconds));
        let front = weft_identity::tls::Credentials::with_clock(mesh, bundle, clock);
        handshake(&front.client_config(id(CART), ALPN), &server).client
    };
    let day = 24 * 60 * 60;
    assert!(at(NOW + day).is_ok());
    let error = at(NOW + day + 1).unwrap_err();
    assert!(matches!(error, Error::InvalidCertificate(CertificateError::ExpiredContext { .. })), "{error:?}");
    // Backdated by five minutes for clocks that are behind.
    assert!(at(NOW - 300).is_ok());
    assert!(at(NOW - 301).is_err());
}

#[test]
fn one_server_serves_many_expectations() {
    let authority = authority();
    let cart = credentials(bundle_of(&[&authority]), Some(identity(&authority, CART)));
    let front = credentials(bundle_of(&[&authority]), Some(identity(&authority, FRONT)));
    let server = cart.server_config(ClientCertificate::Required, ALPN);
    let good = handshake(&front.client_config(id(CART), ALPN), &server);
    assert_eq!(peer_identity(good.client.unwrap().peer_certificates().unwrap()), Ok(id(CART)));
    let wrong = handshake(&front.client_config(id(FRONT), ALPN), &server).client.unwrap_err();
    assert!(wrong.to_string().contains("OtherIdentity"), "{wrong}");
}
