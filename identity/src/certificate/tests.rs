use proptest::prelude::*;
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P384_SHA384, PKCS_ECDSA_P521_SHA512, PKCS_ED25519};

use super::*;

fn with_key(key: &KeyPair) -> CertificateDer<'static> {
    CertificateParams::default().self_signed(key).unwrap().der().clone()
}

#[test]
fn knows_the_curves() {
    let cases = [
        (&rcgen::PKCS_ECDSA_P256_SHA256, Some(Curve::P256)),
        (&PKCS_ECDSA_P384_SHA384, Some(Curve::P384)),
        (&PKCS_ECDSA_P521_SHA512, None),
        (&PKCS_ED25519, None),
    ];
    for (algorithm, expected) in cases {
        let der = with_key(&KeyPair::generate_for(algorithm).unwrap());
        assert_eq!(curve(parse(&der).unwrap().public_key()), expected, "{algorithm:?}");
    }
}

#[test]
fn reads_when_it_is_valid() {
    let moment = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
    let mut params = CertificateParams::default();
    params.not_before = moment(1_000_000_000).into();
    params.not_after = moment(4_000_000_000).into(); // Beyond 2050, where X.509 changes its notation.
    let der = params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone();
    let expected = Validity { not_before: moment(1_000_000_000), not_after: moment(4_000_000_000) };
    assert_eq!(validity(&parse(&der).unwrap()), Some(expected));

    params.not_before = rcgen::date_time_ymd(1969, 12, 31);
    let der = params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone();
    assert_eq!(validity(&parse(&der).unwrap()), None);
}

proptest! {
    #[test]
    fn never_panics(at in 0_usize..300, byte: u8, cut in 0_usize..300) {
        let key = KeyPair::generate().unwrap();
        let mut bytes = with_key(&key).to_vec();
        bytes.truncate(bytes.len().saturating_sub(cut / 2));
        if let Some(victim) = bytes.get_mut(at) {
            *victim = byte;
        }
        let der = CertificateDer::from(bytes);
        if let Ok(certificate) = parse(&der) {
            let _ = (spiffe_id(&certificate), validity(&certificate), curve(certificate.public_key()));
        }
    }
}
