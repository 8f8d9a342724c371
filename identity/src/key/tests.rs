use rcgen::{PKCS_ECDSA_P384_SHA384, PKCS_ECDSA_P521_SHA512, PKCS_ED25519};

use super::*;

#[test]
fn comes_back_from_its_text() {
    let key = Key::generate().unwrap();
    let read = Key::from_pem(&key.to_pem().unwrap()).unwrap();
    assert_eq!(read.public_point(), key.public_point());
    assert_eq!(read.curve(), Curve::P256);
}

#[test]
fn reads_what_openssl_writes() {
    // `openssl ecparam -genkey` and cert-manager write SEC 1, which is what PKCS #8 wraps: 29 bytes of
    // wrapping, on P-256.
    let key = Key::generate().unwrap();
    let sec1 = pem::encode("EC PRIVATE KEY", &key.to_pkcs8().unwrap()[29..]);
    let parameters = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
    let read = Key::from_pem(&format!("{parameters}{}", *sec1)).unwrap();
    assert_eq!((read.public_point(), read.curve()), (key.public_point(), Curve::P256));
    let p384 = rcgen::KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    let read = Key::from_pem(&p384.serialize_pem()).unwrap();
    assert_eq!((read.public_point(), read.curve()), (p384.public_key_raw(), Curve::P384));
}

#[test]
fn refuses_other_kinds() {
    assert_eq!(Key::from_pem("").err(), Some(KeyError::NotPem));
    assert_eq!(
        Key::from_pem("-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n").err(),
        Some(KeyError::NotPem)
    );
    let garbage = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    assert_eq!(Key::from_pem(garbage).err(), Some(KeyError::Unsupported));
    for algorithm in [&PKCS_ED25519, &PKCS_ECDSA_P521_SHA512] {
        let pem = rcgen::KeyPair::generate_for(algorithm).unwrap().serialize_pem();
        assert_eq!(Key::from_pem(&pem).err(), Some(KeyError::Unsupported), "{algorithm:?}");
    }
}

#[test]
fn prints_its_kind_and_nothing_more() {
    assert_eq!(format!("{:?}", Key::generate().unwrap()), "Key(P256)");
}
