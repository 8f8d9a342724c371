use super::*;
use crate::{authority::Authority, request::KeyPair};

fn root() -> String {
    let authority = Authority::create(
        "cluster.local".parse().unwrap(),
        std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_hours(24),
    )
    .unwrap();
    authority.certificate_pem().to_owned()
}

#[test]
fn keeps_the_order() {
    let (one, two) = (root(), root());
    let read = |text: &str| certificates(text).unwrap();
    assert_eq!(read(&format!("{one}{two}")), [read(&one), read(&two)].concat());
    assert_eq!(read(&format!("a remark\n{one}\nanother\n")), read(&one));
}

#[test]
fn writes_what_it_reads() {
    let text = root();
    let der = certificates(&text).unwrap().remove(0);
    assert_eq!(*encode("CERTIFICATE", &der), text.replace("\r\n", "\n"));
    for length in [0, 1, 47, 48, 49, 96, 500] {
        let bytes = vec![7; length];
        let text = encode("CERTIFICATE", &bytes);
        assert!(text.lines().all(|line| line.len() <= 64));
        assert_eq!(certificates(&text).unwrap(), [CertificateDer::from(bytes)]);
    }
}

#[test]
fn refuses_what_is_no_list_of_certificates() {
    let root = root();
    assert_eq!(certificates(""), Err(InvalidPem::Empty));
    assert_eq!(certificates("not PEM at all"), Err(InvalidPem::Empty));
    let csr = KeyPair::generate().unwrap().csr_pem().unwrap();
    assert_eq!(certificates(&csr), Err(InvalidPem::Other(SectionKind::Csr)));
    let key = encode("PRIVATE KEY", &[1, 2, 3]);
    assert_eq!(certificates(&format!("{root}{}", *key)), Err(InvalidPem::Other(SectionKind::PrivateKey)));
    let cut = &root[..root.len() / 2];
    assert!(matches!(certificates(cut), Err(InvalidPem::Syntax(_))));
    assert!(certificates(&root.repeat(CERTIFICATES_MAX)).is_ok());
    assert_eq!(certificates(&root.repeat(CERTIFICATES_MAX + 1)), Err(InvalidPem::TooMany));
}
