use proptest::prelude::*;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, IsCa, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P384_SHA384, PKCS_ECDSA_P521_SHA512, PKCS_ED25519, PKCS_RSA_SHA256, PublicKeyData, RsaKeySize,
    SanType,
};

use super::*;
use crate::pem;

fn request(key: &KeyPair, bend: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
    let mut params = CertificateParams::default();
    bend(&mut params);
    params.serialize_request(key).unwrap().der().to_vec()
}

fn read(der: &[u8]) -> Result<Csr, InvalidCsr> {
    Csr::from_pem(&pem::encode("CERTIFICATE REQUEST", der))
}

#[test]
fn takes_the_key_whatever_else_is_asked_for() {
    let key = KeyPair::generate().unwrap();
    let ambitious = request(&key, |params| {
        params.distinguished_name.push(DnType::CommonName, "spiffe://cluster.local/ns/kube-system/sa/root");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let admin = "spiffe://cluster.local/ns/kube-system/sa/root";
        params.subject_alt_names =
            vec![SanType::URI(admin.try_into().unwrap()), SanType::DnsName("kubernetes".try_into().unwrap())];
        params.custom_extensions =
            vec![CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99_999], vec![5, 0])];
    });
    assert_eq!(read(&ambitious).unwrap().public_key().der_bytes(), key.public_key_raw());
    let p384 = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    assert_eq!(read(&request(&p384, |_| ())).unwrap().public_key().der_bytes(), p384.public_key_raw());
}

#[test]
fn refuses_other_kinds_of_keys() {
    let keys = [
        KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap(),
        KeyPair::generate_for(&PKCS_ED25519).unwrap(),
        KeyPair::generate_for(&PKCS_ECDSA_P521_SHA512).unwrap(),
    ];
    for key in keys {
        assert_eq!(read(&request(&key, |_| ())).err(), Some(InvalidCsr::Key), "{:?}", key.algorithm());
    }
}

#[test]
fn refuses_what_the_key_did_not_sign() {
    let der = request(&KeyPair::generate().unwrap(), |_| ());
    let mut broken = der.clone();
    *broken.last_mut().unwrap() ^= 1;
    assert_eq!(read(&broken).err(), Some(InvalidCsr::Signature));

    // The key of somebody else, put into an own request.
    let (own, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let mut stolen = request(&own, |_| ());
    let at = stolen.windows(65).position(|window| window == own.public_key_raw()).unwrap();
    stolen[at..at + 65].copy_from_slice(other.public_key_raw());
    assert_eq!(read(&stolen).err(), Some(InvalidCsr::Signature));

    // A point that is not on the curve.
    let mut off = der.clone();
    let at = off.windows(2).position(|window| window == [0, 4]).unwrap();
    off[at + 2..at + 66].fill(0xff);
    assert_eq!(read(&off).err(), Some(InvalidCsr::Signature));

    // A compressed point: another form of the same key, which would be another name for it.
    let mut compressed = der.clone();
    compressed[at + 1] = 2;
    assert_eq!(read(&compressed).err(), Some(InvalidCsr::Key));

    // ecdsa-with-SHA256 ends in 4.3.2, SHA384 in 4.3.3 (RFC 5758, section 3.2).
    let mut algorithm = der;
    let sha256 = [0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
    let at = algorithm.windows(8).rposition(|window| window == sha256).unwrap();
    algorithm[at + 7] = 3;
    assert_eq!(read(&algorithm).err(), Some(InvalidCsr::Algorithm));
}

#[test]
fn refuses_garbage() {
    let der = request(&KeyPair::generate().unwrap(), |_| ());
    let mut trailing = der.clone();
    trailing.push(0);
    assert_eq!(read(&trailing).err(), Some(InvalidCsr::Malformed));
    assert_eq!(read(b"nonsense").err(), Some(InvalidCsr::Malformed));
    assert_eq!(read(b"").err(), Some(InvalidCsr::Malformed));
    for cut in 0..der.len() {
        assert!(read(&der[..cut]).is_err(), "cut at {cut}");
    }
    let certificate = CertificateParams::default().self_signed(&KeyPair::generate().unwrap()).unwrap();
    assert_eq!(read(certificate.der()).err(), Some(InvalidCsr::Malformed));
}

#[test]
fn refuses_what_is_not_exactly_one_section() {
    let text =
        pem::encode("CERTIFICATE REQUEST", &request(&KeyPair::generate().unwrap(), |_| ())).to_string();
    assert!(Csr::from_pem(&text).is_ok());
    assert!(Csr::from_pem(&format!("\n{text}\n")).is_ok());
    let other = text.replace("CERTIFICATE REQUEST", "CERTIFICATE");
    let cases = [
        "",
        "x",
        &text[..text.len() - 10],
        &format!("{text}{text}"),
        &format!("{text}x"),
        &format!("x{text}"),
        &other,
    ];
    for case in cases {
        assert_eq!(Csr::from_pem(case).err(), Some(InvalidCsr::Pem), "{case}");
    }
    let long = "A".repeat(CSR_BYTES_MAX + 1);
    assert_eq!(Csr::from_pem(&long).err(), Some(InvalidCsr::TooLong(CSR_BYTES_MAX + 1)));
}

#[test]
fn one_changed_bit_is_noticed() {
    let der = request(&KeyPair::generate().unwrap(), |_| ());
    for at in 0..der.len() {
        for bit in 0..8 {
            let mut changed = der.clone();
            changed[at] ^= 1 << bit;
            assert!(read(&changed).is_err(), "bit {bit} of byte {at}");
        }
    }
}

proptest! {
    #[test]
    fn text_never_panics(body in "[A-Za-z0-9+/=\n-]{0,200}") {
        let text = format!("-----BEGIN CERTIFICATE REQUEST-----\n{body}-----END CERTIFICATE REQUEST-----");
        prop_assert!(Csr::from_pem(&text).is_err());
    }
}
