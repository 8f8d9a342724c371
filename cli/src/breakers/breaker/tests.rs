use super::*;

/// What a sidecar tells that calls one service with three endpoints, of which one is ejected and one is probed.
pub(crate) const CALLER: &str = r#"
weft_xds_connected 1
weft_in_flight{destination="default/api:80",of="connections"} 9
weft_in_flight{destination="default/api:80",of="requests"} 3
weft_limit{destination="default/api:80",of="pending"} 1024
weft_limit{destination="default/api:80",of="requests"} 100
weft_fallbacks_total{destination="default/api:80",cause="open"} 5
weft_fallbacks_total{destination="default/api:80",cause="failure"} 2
weft_fallbacks_total{destination="default/other:80",cause="failure"} 70
weft_breaker_state{scope="endpoint",destination="default/api:80",endpoint="10.0.0.1:80"} 0
weft_breaker_state{scope="endpoint",destination="default/api:80",endpoint="10.0.0.2:80"} 2
weft_breaker_state{scope="endpoint",destination="default/api:80",endpoint="10.0.0.3:80"} 1
weft_breaker_state{scope="target",destination="default/api:80",endpoint=""} 0
weft_breaker_trips_total{scope="endpoint",destination="default/api:80",endpoint="10.0.0.2:80",reason="share"} 4
weft_breaker_trips_total{scope="endpoint",destination="default/api:80",endpoint="10.0.0.2:80",reason="probe_failed"} 1
weft_breaker_trips_total{scope="endpoint",destination="default/api:80",endpoint="10.0.0.2:80",reason="consecutive"} 0
weft_breaker_probes_total{scope="endpoint",destination="default/api:80",endpoint="10.0.0.2:80",result="success"} 3
weft_breaker_probes_total{scope="endpoint",destination="default/api:80",endpoint="10.0.0.2:80",result="failure"} 1
weft_breaker_rejected_total{scope="endpoint",destination="default/api:80",endpoint="10.0.0.2:80"} 12
weft_breaker_suppressed_total{scope="endpoint",destination="default/api:80",endpoint="10.0.0.2:80"} 6
weft_breaker_outcomes_total{scope="endpoint",destination="default/api:80",endpoint="10.0.0.2:80",outcome="ok"} 80
weft_breaker_outcomes_total{scope="endpoint",destination="default/api:80",endpoint="10.0.0.2:80",outcome="err"} 20
weft_breaker_outcomes_total{scope="endpoint",destination="default/api:80",endpoint="10.0.0.2:80",outcome="ignored"} 7
weft_breaker_outcomes_total{scope="endpoint",destination="default/api:80",endpoint="10.0.0.2:80",outcome="stale"} 8
weft_breaker_rejected_total{scope="endpoint",destination="default/gone:80",endpoint="10.0.0.9:80"} 12
weft_breaker_state{scope="planet",destination="default/api:80",endpoint=""} 2
weft_breaker_state 2
"#;

/// What a sidecar tells whose breaker of a whole service is open.
pub(crate) const OPEN: &str = r#"
weft_xds_connected 1
weft_breaker_state{scope="target",destination="default/users:80",endpoint=""} 2
weft_breaker_trips_total{scope="target",destination="default/users:80",endpoint="",reason="consecutive"} 1
"#;

#[test]
fn every_field_is_that_of_its_breaker() {
    let breakers = Breaker::read("default/caller", &Metrics::parse(CALLER));
    let names: Vec<(&str, &str, State)> =
        breakers.iter().map(|one| (one.key.scope.word(), one.key.endpoint.as_str(), one.state)).collect();
    let expected = [
        ("target", "", State::Closed),
        ("endpoint", "10.0.0.1:80", State::Closed),
        ("endpoint", "10.0.0.2:80", State::Open),
        ("endpoint", "10.0.0.3:80", State::HalfOpen),
    ];
    assert_eq!(names, expected);
    let traffic = Traffic { in_flight: 3, limit: Some(100), fallbacks_open: 5, fallbacks_failure: 2 };
    let ejected = Breaker {
        key: breakers[2].key.clone(),
        state: State::Open,
        trips: [("probe_failed".to_owned(), 1), ("share".to_owned(), 4)].into(),
        rejected: 12,
        suppressed: 6,
        probes: Probes { succeeded: 3, failed: 1 },
        outcomes: Outcomes { ok: 80, err: 20, ignored: 7, stale: 8 },
        traffic,
    };
    assert_eq!(breakers[2], ejected);
    assert_eq!(ejected.tripped(), 5);
    let fresh = Breaker { traffic, ..Breaker::new(breakers[0].key.clone(), State::Closed) };
    assert_eq!(breakers[0], fresh);
}

#[test]
fn odd_numbers_are_no_panic() {
    let series = |name: &str, labels: &str, value: &str| {
        format!("{name}{{scope=\"target\",destination=\"d\",endpoint=\"\"{labels}}} {value}\n")
    };
    for value in ["NaN", "-1", "+Inf", "-Inf", "1e300"] {
        let text = series("weft_breaker_state", "", value)
            + &series("weft_breaker_trips_total", ",reason=\"share\"", value)
            + &series("weft_breaker_trips_total", ",reason=\"consecutive\"", value)
            + &series("weft_breaker_rejected_total", "", value);
        let breakers = Breaker::read("w", &Metrics::parse(&text));
        assert_eq!(breakers.len(), 1, "{value}");
        breakers[0].tripped();
    }
}
