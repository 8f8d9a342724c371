use super::*;

fn at(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

#[test]
fn who_calls_the_same_address_shares_its_connections() {
    let apps = Apps::default();
    let (first, second) = (apps.at(at(1)), apps.at(at(1)));
    assert!(Rc::ptr_eq(&first, &second));
    assert_eq!(first.over(Version::Http2).version, Version::Http2);
    assert!(!Rc::ptr_eq(&first, &apps.at(at(2))));
}

#[test]
fn a_scan_of_all_ports_is_not_remembered() {
    let apps = Apps::default();
    let used = apps.at(at(80));
    for port in 1000..9000 {
        drop(apps.at(at(port)));
    }
    assert!(apps.0.borrow().len() <= REMEMBERED_MAX);
    assert!(Rc::ptr_eq(&used, &apps.at(at(80))), "what is in use stays");
}
