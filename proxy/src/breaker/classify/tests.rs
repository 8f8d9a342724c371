//! Every row of the table.

use super::*;

fn verdict(event: Event) -> Verdict {
    classify(event, &Failures::default(), false)
}

fn response(status: u16) -> Event {
    Event::Response { status, retry_after: None, headers_after: Duration::ZERO }
}

fn grpc(code: Code) -> Event {
    Event::Grpc { code, headers_after: Duration::ZERO }
}

#[track_caller]
fn assert_row(event: Event, outcome: Outcome, retryable: Retryable) {
    assert_eq!(verdict(event), Verdict { outcome, retryable }, "{event:?}");
}

#[test]
fn what_happens_before_a_response() {
    let failed = Outcome::Failure;
    assert_row(Event::ConnectFailed, failed(Failure::Connect), Retryable::Always);
    assert_row(Event::ConnectTimedOut, failed(Failure::Timeout), Retryable::Always);
    assert_row(Event::TlsFailed, failed(Failure::Tls), Retryable::Always);
    assert_row(Event::RefusedStream, Outcome::Ignored, Retryable::Always);
    assert_row(Event::StaleConnection, Outcome::Ignored, Retryable::Always);
    assert_row(Event::ResetBeforeHeaders, failed(Failure::Reset), Retryable::IfIdempotent);
    assert_row(Event::PerTryTimeout, failed(Failure::Timeout), Retryable::IfIdempotent);
    for event in [Event::DeadlineSpent, Event::ClientCancelled, Event::LocalReject] {
        assert_row(event, Outcome::Ignored, Retryable::Never);
    }
}

#[test]
fn every_status() {
    for status in 100..600 {
        let failed = Outcome::Failure(Failure::Status(status));
        match status {
            429 => assert_row(response(status), Outcome::Overload { retry_after: None }, Retryable::Never),
            502..=504 => {
                assert_row(response(status), failed, Retryable::IfIdempotentAndListed(status));
            }
            501 | 505 | 100..=499 => assert_row(response(status), Outcome::Success, Retryable::Never),
            _ => assert_row(response(status), failed, Retryable::IfListed(status)),
        }
    }
}

#[test]
fn retry_after_makes_503_and_429_overload_and_nothing_else() {
    let retry_after = Some(Duration::from_secs(7));
    let outcome =
        |status| verdict(Event::Response { status, retry_after, headers_after: Duration::ZERO }).outcome;
    assert_eq!(outcome(429), Outcome::Overload { retry_after });
    assert_eq!(outcome(503), Outcome::Overload { retry_after });
    assert_eq!(outcome(500), Outcome::Failure(Failure::Status(500)));
    assert_eq!(outcome(301), Outcome::Success);
}

#[test]
fn every_grpc_code() {
    for code in (0..=16).map(Code::from_i32) {
        let outcome = match code {
            Code::Unknown | Code::DeadlineExceeded | Code::Internal | Code::Unavailable | Code::DataLoss => {
                Outcome::Failure(Failure::Grpc(code))
            }
            Code::ResourceExhausted => Outcome::Overload { retry_after: None },
            _ => Outcome::Success,
        };
        let retryable = if code == Code::Unavailable { Retryable::IfListed(503) } else { Retryable::Never };
        assert_row(grpc(code), outcome, retryable);
    }
}

#[test]
fn a_broken_body_is_blamed_for_ten_seconds() {
    let broken = |secs| Event::BodyBroken { after: Duration::from_secs(secs) };
    assert_row(broken(10), Outcome::Failure(Failure::Body), Retryable::Never);
    assert_row(broken(11), Outcome::Ignored, Retryable::Never);
}

#[test]
fn the_policy_says_which_statuses_and_delays_are_failures() {
    let failures = Failures {
        http: vec![StatusRange { first: 404, last: 404 }, StatusRange { first: 501, last: 501 }],
        slower_than: Some(weft_api::Duration::from_millis(100)),
    };
    let outcome = |event| classify(event, &failures, false).outcome;
    assert_eq!(outcome(response(404)), Outcome::Failure(Failure::Status(404)));
    assert_eq!(outcome(response(501)), Outcome::Failure(Failure::Status(501)));
    assert_eq!(outcome(response(503)), Outcome::Success);
    let slow =
        |ms| Event::Response { status: 200, retry_after: None, headers_after: Duration::from_millis(ms) };
    assert_eq!(outcome(slow(100)), Outcome::Success);
    assert_eq!(outcome(slow(101)), Outcome::Failure(Failure::Slow));
    let slow_grpc = Event::Grpc { code: Code::NotFound, headers_after: Duration::from_secs(1) };
    assert_eq!(outcome(slow_grpc), Outcome::Failure(Failure::Slow));
}

#[test]
fn a_starved_proxy_blames_nobody_for_being_late() {
    let failures = Failures { slower_than: Some(weft_api::Duration::from_millis(1)), ..Failures::default() };
    let outcome = |event| classify(event, &failures, true).outcome;
    assert_eq!(outcome(Event::PerTryTimeout), Outcome::Ignored);
    assert_eq!(outcome(Event::ConnectTimedOut), Outcome::Ignored);
    let late = Event::Response { status: 200, retry_after: None, headers_after: Duration::from_secs(1) };
    assert_eq!(outcome(late), Outcome::Success);
    assert_eq!(outcome(response(500)), Outcome::Failure(Failure::Status(500)));
    assert_eq!(outcome(Event::ConnectFailed), Outcome::Failure(Failure::Connect));
}

#[test]
fn what_may_be_tried_again() {
    let listed = [StatusRange { first: 502, last: 504 }];
    let permits =
        |retryable: Retryable| [retryable.permits(true, &listed), retryable.permits(false, &listed)];
    assert_eq!(permits(Retryable::Always), [true, true]);
    assert_eq!(permits(Retryable::Never), [false, false]);
    assert_eq!(permits(Retryable::IfIdempotent), [true, false]);
    assert_eq!(permits(Retryable::IfListed(503)), [true, true]);
    assert_eq!(permits(Retryable::IfListed(500)), [false, false]);
    assert_eq!(permits(Retryable::IfIdempotentAndListed(503)), [true, false]);
    assert_eq!(permits(Retryable::IfIdempotentAndListed(500)), [false, false]);
}
