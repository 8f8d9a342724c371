use super::*;

fn tracing(text: &str) -> Tracing {
    serde_json::from_str(text).unwrap()
}

#[test]
fn a_collector_alone_is_enough() {
    let tracing = tracing(r#"{"endpoint": "collector.observability:4317"}"#);
    assert_eq!((tracing.ratio, &tracing.identity), (0.01, &None));
    assert_eq!(tracing.validate("tracing"), Ok(()));
}

#[test]
fn what_is_impossible_is_refused_by_the_name_of_its_field() {
    let table = [
        (r#"{"endpoint": "c:1", "ratio": 1.01}"#, "tracing.ratio"),
        (r#"{"endpoint": "c:1", "ratio": -0.1}"#, "tracing.ratio"),
        (r#"{"endpoint": "c"}"#, "tracing.endpoint"),
        (r#"{"endpoint": ""}"#, "tracing.endpoint"),
        (r#"{"endpoint": ":4317"}"#, "tracing.endpoint"),
        (r#"{"endpoint": "c:0"}"#, "tracing.endpoint"),
        (r#"{"endpoint": "c:70000"}"#, "tracing.endpoint"),
        (r#"{"endpoint": "http://c:4317"}"#, "tracing.endpoint"),
        (r#"{"endpoint": "$(HOST):4317"}"#, "tracing.endpoint"),
        (r#"{"endpoint": "c:1", "identity": "collector"}"#, "tracing.identity"),
        (r#"{"endpoint": "c:1", "identity": "spiffe://$(A)/ns/a/sa/b"}"#, "tracing.identity"),
    ];
    for (text, field) in table {
        assert_eq!(tracing(text).validate("tracing").unwrap_err().field, field, "{text}");
    }
    let not_a_number = Tracing { ratio: f64::NAN, ..tracing(r#"{"endpoint": "c:1"}"#) };
    assert_eq!(not_a_number.validate("tracing").unwrap_err().field, "tracing.ratio");
    for text in [
        r#"{"endpoint": "[fd00::1]:4317", "ratio": 0}"#,
        r#"{"endpoint": "127.0.0.1:4317", "ratio": 1, "identity": "spiffe://cluster.local/ns/o/sa/c"}"#,
    ] {
        assert_eq!(tracing(text).validate("tracing"), Ok(()), "{text}");
    }
}
