use std::time::Duration;

use super::*;
use crate::demo::{
    picture::Moment,
    progress::{Process, Progress},
    sighting::Breaker,
};

fn picture() -> Picture {
    let none = Moment::default();
    Picture {
        elapsed: Duration::from_secs(12),
        rate: 100.2,
        errors: Some(0.037),
        canned: Some(0.0),
        load: Some(1.444),
        p50: Some(Duration::from_micros(2100)),
        p99: Some(Duration::from_millis(61)),
        breaker: Breaker::Closed,
        ..Picture::new(&Progress::default(), &none, &none, Vec::new(), Vec::new())
    }
}

#[test]
fn a_second_is_one_line() {
    assert_eq!(
        second(&picture()).unwrap(),
        "    12 s   100/s  errors   3.7 %  canned   0.0 %  load  1.44x  p50   2.1 ms  p99    61 ms  breaker closed"
    );
}

#[test]
fn a_second_without_requests_is_not_told() {
    assert_eq!(second(&Picture { errors: None, canned: None, ..picture() }), None);
}

#[test]
fn events_are_told_without_control_codes() {
    let started = Event::Started(Process {
        name: "frontend".to_owned(),
        pid: 42,
        addresses: vec![("page", "127.0.0.1:4200".parse().unwrap())],
    });
    let judged = Event::Judged(0, vec![Check::share("users' errors", 5, 10, 0.0)]);
    let events = [started, Event::Begins(2), Event::Said("ready".to_owned()), judged];
    let lines: Vec<String> = events.iter().flat_map(event).collect();
    assert_eq!(lines[0], "started  frontend               pid 42       page 127.0.0.1:4200");
    assert_eq!(lines[2], "phase 3  retries");
    assert_eq!(lines.last().unwrap(), "FAILS    users' errors: 50.0 % (expected 0.0 %)");
    assert!(lines.iter().all(|line| !line.chars().any(char::is_control)), "{lines:?}");
}
