use rcgen::{CertificateParams, CertifiedIssuer, KeyPair, NameConstraints};

use super::*;
use crate::request;

const DAY: Duration = Duration::from_hours(24);

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_790_000_000)
}

fn mesh() -> TrustDomain {
    "cluster.local".parse().unwrap()
}

fn cart() -> SpiffeId {
    "spiffe://cluster.local/ns/shop/sa/cart".parse().unwrap()
}

fn csr() -> Csr {
    Csr::from_pem(&request::KeyPair::generate().unwrap().csr_pem().unwrap()).unwrap()
}

#[test]
fn signs_exactly_what_a_workload_needs() {
    let authority = Authority::create(mesh(), now()).unwrap();
    let csr = csr();
    let issued = authority.sign(&csr, &cart(), DAY, now()).unwrap();
    let chain = pem::certificates(&issued.chain_pem).unwrap();
    assert_eq!(chain.len(), 1, "the root is not sent along");
    let leaf = certificate::parse(&chain[0]).unwrap();
    assert_eq!(certificate::spiffe_id(&leaf), Ok(cart()));
    assert_eq!(leaf.public_key().raw, csr.public_key().subject_public_key_info());
    let expected = Validity { not_before: now() - BACKDATED, not_after: now() + DAY };
    assert_eq!((certificate::validity(&leaf), issued.validity), (Some(expected), expected));
    assert!(!leaf.is_ca());
    assert_eq!(leaf.key_usage().unwrap().unwrap().value.flags, 1, "digitalSignature alone");
    let usage = leaf.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.server_auth && usage.client_auth && !usage.any && usage.other.is_empty());
    assert_eq!(leaf.subject().iter().count(), 0, "the URI is the only name");
    let again = authority.sign(&csr, &cart(), DAY, now()).unwrap();
    let again = pem::certificates(&again.chain_pem).unwrap();
    assert_ne!(leaf.raw_serial(), certificate::parse(&again[0]).unwrap().raw_serial());
}

#[test]
fn gives_nothing_of_what_a_request_asks_for() {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "root");
    params.subject_alt_names = vec![SanType::DnsName("kubernetes".try_into().unwrap())];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
    let greedy = params.serialize_request(&KeyPair::generate().unwrap()).unwrap().pem().unwrap();
    let authority = Authority::create(mesh(), now()).unwrap();
    let issued = authority.sign(&Csr::from_pem(&greedy).unwrap(), &cart(), DAY, now()).unwrap();
    let chain = pem::certificates(&issued.chain_pem).unwrap();
    let leaf = certificate::parse(&chain[0]).unwrap();
    assert_eq!(certificate::spiffe_id(&leaf), Ok(cart()));
    assert!(!leaf.is_ca());
    assert!(!leaf.extended_key_usage().unwrap().unwrap().value.code_signing);
}

#[test]
fn comes_back_from_its_secret() {
    let made = Authority::create(mesh(), now()).unwrap();
    let key = made.key_pem().unwrap();
    let loaded = Authority::load(mesh(), made.certificate_pem(), &key).unwrap();
    assert_eq!(loaded.certificate_pem(), made.certificate_pem());
    assert_eq!(loaded.validity(), made.validity());
    let issued = loaded.sign(&csr(), &cart(), DAY, now()).unwrap();
    let chain = pem::certificates(&issued.chain_pem).unwrap();
    let bundle = TrustBundle::from_pem(made.certificate_pem()).unwrap();
    let moment = UnixTime::since_unix_epoch(now().duration_since(UNIX_EPOCH).unwrap());
    let verified =
        verify::verify_peer(&chain[0], &[], &bundle, &Expected::Member(mesh()), Role::Client, moment);
    assert_eq!(verified, Ok(cart()));
}

#[test]
fn vouches_in_its_own_domain_and_time_only() {
    let authority = Authority::create(mesh(), now()).unwrap();
    let stranger: SpiffeId = "spiffe://other.mesh/ns/shop/sa/cart".parse().unwrap();
    let foreign = authority.sign(&csr(), &stranger, DAY, now());
    assert!(matches!(foreign, Err(SignError::OtherTrustDomain { .. })));
    let end = authority.validity().not_after;
    assert_eq!(authority.sign(&csr(), &cart(), DAY, end), Err(SignError::NotValid));
    assert_eq!(authority.sign(&csr(), &cart(), DAY, now() - DAY), Err(SignError::NotValid));
    let last = authority.sign(&csr(), &cart(), DAY, end - Duration::from_mins(1)).unwrap();
    assert_eq!(last.validity.not_after, end, "nothing outlives its issuer");
    let first = authority.sign(&csr(), &cart(), Duration::MAX, now()).unwrap();
    assert_eq!(first.validity, authority.validity(), "nor begins before it");
}

/// A root that lies elsewhere, and the secret with an issuer beneath it.
fn beneath(bend: impl FnOnce(&mut CertificateParams)) -> (String, String, String) {
    let ca = |name: &str| {
        let validity = Validity { not_before: now() - DAY, not_after: now() + 365 * DAY };
        let mut params = blank(validity, random_serial().unwrap()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
    };
    let root = CertifiedIssuer::self_signed(ca("company"), KeyPair::generate().unwrap()).unwrap();
    let mut params = ca("mesh");
    bend(&mut params);
    let issuer = CertifiedIssuer::signed_by(params, KeyPair::generate().unwrap(), &root).unwrap();
    (issuer.pem(), root.pem(), issuer.key().serialize_pem())
}

#[test]
fn an_issuer_beneath_a_root_sends_itself_along() {
    let (issuer, root, key) = beneath(|_| ());
    for secret in [issuer.clone(), format!("{issuer}{root}")] {
        let authority = Authority::load(mesh(), &secret, &key).unwrap();
        let issued = authority.sign(&csr(), &cart(), DAY, now()).unwrap();
        let chain = pem::certificates(&issued.chain_pem).unwrap();
        assert_eq!(chain[1..], pem::certificates(&issuer).unwrap());
    }
}

#[test]
fn a_useless_authority_is_refused_when_it_is_loaded() {
    let load = |certificate: &str, key: &str| Authority::load(mesh(), certificate, key).err();
    let (issuer, root, key) = beneath(|_| ());
    let (_, _, other_key) = beneath(|_| ());
    assert_eq!(load(&issuer, &other_key), Some(InvalidAuthority::OtherKey));
    assert_eq!(
        load(&format!("{root}{issuer}"), &key),
        Some(InvalidAuthority::OtherKey),
        "in the wrong order"
    );
    assert_eq!(load("", &key), Some(InvalidPem::Empty.into()));
    assert_eq!(load(&issuer, "nothing"), Some(KeyError::NotPem.into()));
    let rsa = KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap();
    assert_eq!(load(&issuer, &rsa.serialize_pem()), Some(KeyError::Unsupported.into()));
    let (no_ca, _, key) = beneath(|p| p.is_ca = IsCa::ExplicitNoCa);
    assert_eq!(load(&no_ca, &key), Some(InvalidAuthority::NoAuthority));
    let (no_usage, _, key) = beneath(|p| p.key_usages = vec![KeyUsagePurpose::CrlSign]);
    assert_eq!(load(&no_usage, &key), Some(InvalidAuthority::NoAuthority));
    let (one_sided, root, key) =
        beneath(|p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]);
    assert!(matches!(load(&format!("{one_sided}{root}"), &key), Some(InvalidAuthority::Useless(_))));
    let (constrained, root, key) = beneath(|p| {
        let subject = rcgen::GeneralSubtree::DirectoryName(DistinguishedName::new());
        p.name_constraints =
            Some(NameConstraints { permitted_subtrees: vec![], excluded_subtrees: vec![subject] });
    });
    assert!(matches!(load(&format!("{constrained}{root}"), &key), Some(InvalidAuthority::Useless(_))));
    let (issuer, _, key) = beneath(|_| ());
    let (_, stranger, _) = beneath(|_| ());
    assert!(
        matches!(load(&format!("{issuer}{stranger}"), &key), Some(InvalidAuthority::Useless(_))),
        "a gap"
    );
}
