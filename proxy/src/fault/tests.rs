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
fn what_ends_by_itself_says_when_to_come_back_rounded_up() {
    for (ms, seconds) in [(0, "1"), (1, "1"), (1000, "1"), (1001, "2"), (60_000, "60")] {
        let retry_after = Duration::from_millis(ms);
        for fault in [Fault::BreakerOpen { retry_after }, Fault::RateLimited { retry_after }] {
            assert_eq!(fault.response().headers()[header::RETRY_AFTER], seconds, "{ms} ms");
        }
    }
}

#[test]
fn the_answer_names_the_fault() {
    let response = Fault::NoRoute.response();
    assert_eq!(response.status(), 404);
    assert_eq!(response.headers()[names::HEADER_FAULT], "no_route");
}

fn call(content_type: &str) -> Parts {
    http::Request::builder().header(header::CONTENT_TYPE, content_type).body(()).unwrap().into_parts().0
}

#[test]
fn what_a_policy_denies_has_a_code_of_grpc_and_is_a_status_to_all_others() {
    for content_type in ["application/grpc", "application/grpc+proto"] {
        let response = Fault::Denied.answer(&call(content_type));
        let headers = response.headers();
        assert_eq!(
            (response.status().as_u16(), &headers["grpc-status"]),
            (200, &HeaderValue::from_static("7"))
        );
        assert_eq!(headers[names::HEADER_FAULT], "denied");
        assert!(response.body().is_empty(), "headers alone are an answer");
        assert_eq!(
            Fault::Overflow.answer(&call(content_type)).status(),
            503,
            "a client knows the code by itself"
        );
    }
    assert_eq!(Fault::Denied.answer(&call("application/json")).status(), 403);
}

#[test]
fn reasons_are_messages_of_grpc_as_they_are() {
    for fault in Fault::ALL {
        // What else a message may hold is percent-encoded (gRPC over HTTP/2, Status-Message).
        let plain = |byte: u8| (b' '..=b'~').contains(&byte) && byte != b'%';
        assert!(fault.reason().bytes().all(plain), "{fault:?}");
    }
}
