use std::time::{Duration, SystemTime};

use super::*;
use crate::{
    authority::{Authority, Issued},
    csr::Csr,
};

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000)
}

fn sign(key: &KeyPair) -> (Authority, Issued) {
    let authority = Authority::create("cluster.local".parse().unwrap(), now()).unwrap();
    let csr = Csr::from_pem(&key.csr_pem().unwrap()).unwrap();
    let id = "spiffe://cluster.local/ns/shop/sa/cart".parse().unwrap();
    let issued = authority.sign(&csr, &id, Duration::from_hours(24), now()).unwrap();
    (authority, issued)
}

#[test]
fn key_and_answer_make_an_identity() {
    let key = KeyPair::generate().unwrap();
    let (_, issued) = sign(&key);
    let identity = Identity::new(&key, &issued.chain_pem).unwrap();
    assert_eq!(identity.id().as_str(), "spiffe://cluster.local/ns/shop/sa/cart");
    assert_eq!(identity.validity(), issued.validity);
    assert_eq!(identity.chain().len(), 1);
    identity.certified().keys_match().unwrap();
    // The control plane may sign the same key anew at any time.
    assert!(Identity::new(&key, &sign(&key).1.chain_pem).is_ok());
}

#[test]
fn an_answer_to_another_request_is_refused() {
    let key = KeyPair::generate().unwrap();
    let (authority, issued) = sign(&key);
    let other = KeyPair::generate().unwrap();
    assert_eq!(Identity::new(&other, &issued.chain_pem).err(), Some(InvalidIdentity::OtherKey));
    assert_eq!(Identity::new(&key, "").err(), Some(InvalidPem::Empty.into()));
    assert_eq!(
        Identity::new(&key, authority.certificate_pem()).err(),
        Some(InvalidIdentity::OtherKey),
        "the leaf comes first"
    );
    let broken = issued.chain_pem + &pem::encode("CERTIFICATE", b"nonsense");
    assert_eq!(Identity::new(&key, &broken).err(), Some(Malformed.into()));
}

#[test]
fn a_certificate_that_names_nobody_is_refused() {
    let key = KeyPair::generate().unwrap();
    let unnamed = CertificateParams::default().self_signed(&key.0).unwrap().pem();
    assert_eq!(Identity::new(&key, &unnamed).err(), Some(Unnamed::NoNames.into()));
}

#[test]
fn a_key_says_nothing_of_itself() {
    let key = KeyPair::generate().unwrap();
    assert_eq!(format!("{key:?}"), "KeyPair");
    let csr = key.csr_pem().unwrap();
    assert!(csr.starts_with("-----BEGIN CERTIFICATE REQUEST-----"));
    assert!(!csr.contains("PRIVATE"));
}
