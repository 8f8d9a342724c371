use super::*;

fn issuer() -> Issuer {
    let trust_domain: TrustDomain = "mesh.test".parse().unwrap();
    let authority = Authority::create(trust_domain, SystemTime::now()).unwrap();
    Issuer::new(authority, Duration::from_hours(1))
}

fn workload(name: &str) -> Workload {
    Workload {
        namespace: "shop".to_owned(),
        service_account: "api".to_owned(),
        pod: name.to_owned(),
        pod_uid: "1".to_owned(),
    }
}

#[test]
fn the_certificate_names_whom_the_token_names() {
    let key = KeyPair::generate().unwrap();
    let issued = issuer()
        .issue(&workload("api-1"), &key.csr_pem().unwrap(), Instant::now(), SystemTime::now())
        .unwrap();
    let identity = Identity::new(&key, &issued.chain_pem).unwrap();
    assert_eq!(identity.id().as_str(), "spiffe://mesh.test/ns/shop/sa/api");
}

#[test]
fn nonsense_is_refused_and_so_is_the_eleventh_request_of_a_minute() {
    let issuer = issuer();
    let (now, clock) = (Instant::now(), SystemTime::now());
    let ask =
        |name: &str, csr: &str, now| issuer.issue(&workload(name), csr, now, clock).map_err(|e| e.label());
    for _ in 0..10 {
        assert_eq!(ask("api-1", "nonsense", now).unwrap_err(), "csr");
    }
    let csr = KeyPair::generate().unwrap().csr_pem().unwrap();
    assert_eq!(ask("api-1", &csr, now).unwrap_err(), "too_many");
    assert!(ask("api-2", &csr, now).is_ok(), "others are not held up");
    assert!(ask("api-1", &csr, now + Duration::from_secs(61)).is_ok());
}
