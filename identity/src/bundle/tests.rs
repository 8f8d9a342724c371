use std::time::{Duration, SystemTime};

use super::*;
use crate::{authority::Authority, csr::Csr, request::KeyPair};

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000)
}

fn authority() -> Authority {
    Authority::create("cluster.local".parse().unwrap(), now()).unwrap()
}

#[test]
fn holds_several_roots() {
    let (old, new) = (authority(), authority());
    let bundle =
        TrustBundle::from_pem(&format!("{}{}", old.certificate_pem(), new.certificate_pem())).unwrap();
    assert_eq!(bundle.validities(), [old.validity(), new.validity()]);
    assert_eq!(bundle.anchors().len(), 2);
    assert_ne!(bundle.anchors()[0].subject, bundle.anchors()[1].subject, "two roots have two names");
}

#[test]
fn refuses_what_is_no_root_and_says_which() {
    let authority = authority();
    let csr = Csr::from_pem(&KeyPair::generate().unwrap().csr_pem().unwrap()).unwrap();
    let id = "spiffe://cluster.local/ns/shop/sa/cart".parse().unwrap();
    let leaf = authority.sign(&csr, &id, Duration::from_hours(1), now()).unwrap().chain_pem;
    let with =
        |second: &str| TrustBundle::from_pem(&format!("{}{second}", authority.certificate_pem())).err();
    assert_eq!(with(&leaf), Some(InvalidBundle::NoAuthority(2)));
    assert_eq!(with(&pem::encode("CERTIFICATE", b"nonsense")), Some(InvalidBundle::Malformed(2)));
    assert_eq!(TrustBundle::from_pem("").err(), Some(InvalidPem::Empty.into()));
    let key = authority.key_pem().unwrap();
    assert!(matches!(with(&key), Some(InvalidBundle::Pem(InvalidPem::Other(_)))), "a key here is a leak");
}
