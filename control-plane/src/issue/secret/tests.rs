use super::*;

fn domain() -> TrustDomain {
    "cluster.local".parse().unwrap()
}

#[test]
fn what_is_kept_is_the_same_authority() {
    let authority = Authority::create(domain(), SystemTime::now()).unwrap();
    let secret = secret(&authority).unwrap();
    assert_eq!(secret["type"], "kubernetes.io/tls");
    let loaded = load(&domain(), &secret).unwrap();
    assert_eq!(loaded.certificate_pem(), authority.certificate_pem());
}

#[test]
fn what_is_not_an_authority_is_named() {
    let authority = Authority::create(domain(), SystemTime::now()).unwrap();
    for field in ["tls.crt", "tls.key"] {
        let mut broken = secret(&authority).unwrap();
        broken["data"][field] = json!("?");
        let Err(error) = load(&domain(), &broken) else { panic!("{field} was taken") };
        assert!(error.to_string().contains(field), "{error}");
        assert!(!error.is_passing());
        broken["data"][field] = json!(STANDARD.encode("nothing"));
        assert!(load(&domain(), &broken).is_err());
    }
}
