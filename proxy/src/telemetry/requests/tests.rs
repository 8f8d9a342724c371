use prometheus::{Encoder, Registry, TextEncoder};

use super::*;

fn family(workers: usize) -> Arc<Family> {
    Arc::new(Family::new("requests_seconds", "Requests.", ["destination", "route"], workers))
}

fn text(family: &Arc<Family>) -> String {
    let registry = Registry::new();
    registry.register(Box::new(Exposed(Arc::clone(family)))).unwrap();
    let mut text = Vec::new();
    TextEncoder::new().encode(&registry.gather(), &mut text).unwrap();
    String::from_utf8(text).unwrap()
}

fn ok() -> Outcome {
    Outcome { status: StatusCode::OK, tls: true, fault: None }
}

#[test]
fn workers_are_added_up() {
    let family = family(2);
    let series = family.series(["default/api:80", "default"]);
    series.record(0, ok(), Duration::from_micros(100));
    series.record(1, ok(), Duration::from_micros(101));
    series.record(1, ok(), Duration::from_secs(11));
    let text = text(&family);
    let labels = r#"destination="default/api:80",route="default",status="200",tls="true",fault="""#;
    for line in [
        format!(r#"requests_seconds_bucket{{{labels},le="0.0001"}} 1"#),
        format!(r#"requests_seconds_bucket{{{labels},le="0.00025"}} 2"#),
        format!(r#"requests_seconds_bucket{{{labels},le="10"}} 2"#),
        format!(r#"requests_seconds_bucket{{{labels},le="+Inf"}} 3"#),
        format!("requests_seconds_count{{{labels}}} 3"),
    ] {
        assert!(text.contains(&line), "{line}\n{text}");
    }
}

#[test]
fn every_outcome_has_labels_of_its_own() {
    let family = family(1);
    let series = family.series(["a", "b"]);
    for fault in Fault::ALL.into_iter().take(OUTCOMES - 2) {
        series.record(0, Outcome { status: fault.status(), tls: false, fault: Some(fault) }, Duration::ZERO);
    }
    let text = text(&family);
    for fault in Fault::ALL.into_iter().take(OUTCOMES - 2) {
        let labels = format!(r#"status="{}",tls="false",fault="{}""#, fault.status().as_u16(), fault.flag());
        assert!(text.contains(&labels), "{labels}\n{text}");
    }
}

#[test]
fn more_outcomes_than_cells_are_still_counted() {
    let family = family(1);
    let series = family.series(["a", "b"]);
    for status in 200..300 {
        let status = StatusCode::from_u16(status).unwrap();
        series.record(0, Outcome { status, tls: false, fault: None }, Duration::ZERO);
    }
    let counted: u64 = family.metrics().iter().map(|metric| metric.get_histogram().get_sample_count()).sum();
    assert_eq!(counted, 100);
}

#[test]
fn hosts_without_end_leave_a_bounded_number_of_series() {
    let family = family(1);
    for host in 0..3 * SERIES {
        family.series([&host.to_string(), "route"]).record(0, ok(), Duration::ZERO);
    }
    assert_eq!(family.series.len(), SERIES + 1);
    let counted: u64 = family.metrics().iter().map(|metric| metric.get_histogram().get_sample_count()).sum();
    assert_eq!(counted, 3 * SERIES as u64);
}
