use std::net::SocketAddr;

use super::*;

fn listener(address: SocketAddr) -> (String, Listener) {
    let listener = Listener {
        address,
        purpose: "leads to feelgood-api".to_owned(),
        field: "spec.outbound[0].listen".to_owned(),
    };
    ("Workload frontend".to_owned(), listener)
}

#[test]
fn a_taken_address_is_named_with_its_owner_and_its_field() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let error = check([listener(address)]).unwrap_err().to_string();
    for part in ["Workload frontend", &address.to_string(), "feelgood-api", "spec.outbound[0].listen"] {
        assert!(error.contains(part), "{error}");
    }
    drop(taken);
    check([listener(address)]).unwrap();
}

#[test]
fn two_claims_on_one_address_are_found() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert!(check([listener(address), listener(address)]).is_err());
}
