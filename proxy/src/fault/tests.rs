use std::collections::HashSet;

use super::*;

#[test]
fn every_fault_has_a_flag_of_its_own_and_a_valid_status() {
    let flags: HashSet<_> = Fault::ALL.iter().map(|fault| fault.flag()).collect();
    assert_eq!(flags.len(), Fault::ALL.len());
    for fault in Fault::ALL {
        assert!(fault.status().as_u16() >= 400, "{fault:?}");
        assert!(fault.flag().bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{fault:?}");
    }
}

#[test]
fn an_open_breaker_says_when_to_come_back_rounded_up() {
    for (ms, seconds) in [(0, "1"), (1, "1"), (1000, "1"), (1001, "2"), (60_000, "60")] {
        let fault = Fault::BreakerOpen { retry_after: Duration::from_millis(ms) };
        assert_eq!(fault.response().headers()[header::RETRY_AFTER], seconds, "{ms} ms");
    }
}

#[test]
fn the_answer_names_the_fault() {
    let response = Fault::NoRoute.response();
    assert_eq!(response.status(), 404);
    assert_eq!(response.headers()[names::HEADER_FAULT], "no_route");
}
