use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;

#[test]
fn ready_once_every_hold_is_released() {
    let readiness = Readiness::new();
    assert!(readiness.is_ready());
    let certificate = readiness.hold("certificate");
    let configuration = readiness.hold("first configuration");
    assert_eq!(readiness.waiting_for(), ["certificate", "first configuration"]);

    certificate.release();
    assert!(!readiness.is_ready());
    assert_eq!(readiness.waiting_for(), ["first configuration"]);

    drop(configuration);
    assert!(readiness.is_ready());
    assert!(readiness.waiting_for().is_empty());
}

#[test]
fn holds_of_one_name_are_counted() {
    let readiness = Readiness::new();
    let first = readiness.hold("worker");
    let second = readiness.hold("worker");
    first.release();
    assert_eq!(readiness.waiting_for(), ["worker"]);
    second.release();
    assert!(readiness.is_ready());
}

#[test]
fn draining_is_for_ever() {
    let readiness = Readiness::new();
    let hold = readiness.clone().hold("certificate");
    readiness.drain();
    hold.release();
    assert!(readiness.is_draining());
    assert!(!readiness.is_ready());
}

#[test]
fn a_panic_releases_nothing() {
    let readiness = Readiness::new();
    let hold = readiness.hold("certificate");
    let lost = catch_unwind(AssertUnwindSafe(move || {
        let _hold = hold;
        panic!("no certificate");
    }));
    assert!(lost.is_err());
    assert_eq!(readiness.waiting_for(), ["certificate"]);
}
