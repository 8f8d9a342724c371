use std::{fs, io::Write};

use super::*;

const GOOD: &str = r#"{"direction":"inbound","tls":true,"peer.spiffe":"spiffe://cluster.local/ns/default/sa/frontend","local.spiffe":"spiffe://cluster.local/ns/default/sa/feelgood-api"}"#;

fn hops(text: &str, end: Side) -> Hops {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), text).unwrap();
    AccessLog::new(file.path().to_owned(), end).read_on().unwrap()
}

#[test]
fn a_hop_must_be_tls_between_the_right_two() {
    assert_eq!(hops(&format!("{GOOD}\n"), Side::Callee), Hops { proper: 1, improper: 0 });
    let plain = GOOD.replace("true", "false");
    let stranger = GOOD.replace("sa/frontend", "sa/stranger");
    let nobody = r#"{"direction":"inbound","tls":true}"#;
    for bad in [plain.as_str(), &stranger, nobody, "not json"] {
        assert_eq!(hops(&format!("{bad}\n"), Side::Callee), Hops { proper: 0, improper: 1 }, "{bad}");
    }
}

#[test]
fn what_was_no_hop_between_sidecars_does_not_count() {
    let from_user = r#"{"direction":"inbound","tls":false}"#;
    let canned = r#"{"direction":"outbound","tls":false,"fallback":"open"}"#;
    assert_eq!(hops(&format!("{from_user}\n{canned}\n"), Side::Caller), Hops::default());
    let to_api = r#"{"direction":"outbound","tls":false,"network.peer.address":"127.0.0.1:2"}"#;
    assert_eq!(hops(&format!("{to_api}\n"), Side::Caller).improper, 1);
}

#[test]
fn reading_goes_on_where_it_stopped() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let mut log = AccessLog::new(file.path().to_owned(), Side::Callee);
    let (half, rest) = GOOD.split_at(20);
    write!(file, "{GOOD}\n{half}").unwrap();
    assert_eq!(log.read_on().unwrap().proper, 1);
    assert_eq!(log.read_on().unwrap(), Hops::default());
    writeln!(file, "{rest}").unwrap();
    assert_eq!(log.read_on().unwrap(), Hops { proper: 1, improper: 0 });
}
