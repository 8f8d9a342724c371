use super::*;

fn value(families: &[MetricFamily], name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let family = families.iter().find(|family| family.name() == name)?;
    let is = |metric: &&Metric| {
        labels.iter().all(|(name, value)| {
            metric.get_label().iter().any(|label| label.name() == *name && label.value() == *value)
        })
    };
    Some(family.get_metric().iter().find(is)?.get_counter().get_value())
}

#[test]
fn connections_are_told_by_direction_destination_tls_and_fault() {
    let connections = Arc::new(Connections::default());
    let series = connections.series(Direction::Outbound, "default/db:5432", true);
    series.opened.fetch_add(2, Relaxed);
    series.forth.fetch_add(10, Relaxed);
    series.close(None);
    series.close(Some(Fault::UpstreamReset));
    connections.pass(Passthrough::Unanswered);
    let families = Exposed::new(connections).collect();
    let labels = [("direction", "outbound"), ("destination", "default/db:5432"), ("tls", "true")];
    let of = |name, more| value(&families, name, &[labels.as_slice(), more].concat());
    assert_eq!(of("weft_tcp_connections_opened_total", &[]), Some(2.0));
    assert_eq!(of("weft_tcp_bytes_total", &[("way", "forth")]), Some(10.0));
    assert_eq!(of("weft_tcp_connections_closed_total", &[("fault", "")]), Some(1.0));
    assert_eq!(of("weft_tcp_connections_closed_total", &[("fault", "upstream_reset")]), Some(1.0));
    assert_eq!(of("weft_tcp_connections_closed_total", &[("fault", "idle")]), None);
    assert_eq!(value(&families, "weft_passthrough_total", &[("reason", "unanswered")]), Some(1.0));
    assert_eq!(value(&families, "weft_passthrough_total", &[("reason", "unknown")]), Some(0.0));
}

#[test]
fn series_are_bounded() {
    let connections = Connections::default();
    for number in 0..SERIES + 10 {
        connections.series(Direction::Inbound, &number.to_string(), false);
    }
    assert_eq!(connections.series.len(), SERIES + 1);
}
