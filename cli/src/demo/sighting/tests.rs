use super::*;

const FRONTEND: &str = r#"
http_client_request_duration_seconds_count{destination="default/feelgood-api:80",route="default",status="200",tls="true",fault=""} 70
http_client_request_duration_seconds_count{destination="default/feelgood-api:80",route="default",status="500",tls="true",fault=""} 30
weft_breaker_state{scope="target",destination="default/feelgood-api:80",endpoint=""} 2
weft_breaker_state{scope="endpoint",destination="default/feelgood-api:80",endpoint="127.0.0.1:9"} 0
weft_breaker_trips_total{scope="target",destination="default/feelgood-api:80",endpoint="",reason="percent"} 3
weft_breaker_trips_total{scope="endpoint",destination="default/feelgood-api:80",endpoint="127.0.0.1:9",reason="consecutive"} 9
weft_breaker_probes_total{scope="target",destination="default/feelgood-api:80",endpoint="",result="success"} 1
weft_breaker_probes_total{scope="target",destination="default/feelgood-api:80",endpoint="",result="failure"} 4
weft_certificate_not_after_seconds{identity="spiffe://cluster.local/ns/default/sa/frontend"} 1100
weft_xds_resource_generation{kind="cluster",name="default/feelgood-api:80"} 17
"#;
const API_SIDECAR: &str = r#"
weft_certificate_not_after_seconds{identity="spiffe://cluster.local/ns/default/sa/feelgood-api"} 900
"#;

#[test]
fn the_target_breaker_is_told_apart_from_those_of_endpoints() {
    let sighting = Sighting::of(None, FRONTEND, "");
    assert_eq!(sighting.breaker(), Breaker::Open);
    assert_eq!((sighting.trips(), sighting.probes(), sighting.failed_probes()), (3, 5, 4));
    assert_eq!(Sighting::default().breaker(), Breaker::Absent);
}

#[test]
fn requests_are_counted_where_they_pass() {
    let sighting = Sighting::of(None, FRONTEND, "");
    assert_eq!(sighting.ambassador(), (100, 30));
    assert_eq!(sighting.generation("cluster", API), Some(17.0));
    assert_eq!(sighting.generation("routes", API), None);
}

#[test]
fn certificates_are_told_with_the_time_that_is_left() {
    let now = UNIX_EPOCH + Duration::from_secs(1000);
    let left = Sighting::of(None, FRONTEND, API_SIDECAR).certificates(now);
    assert_eq!(
        left,
        [
            ("spiffe://cluster.local/ns/default/sa/frontend".to_owned(), Duration::from_secs(100)),
            ("spiffe://cluster.local/ns/default/sa/feelgood-api".to_owned(), Duration::ZERO),
        ]
    );
}
