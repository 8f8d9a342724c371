use super::*;

#[test]
fn what_is_left_out_takes_the_strict_default() {
    let text = r#"{"inbound": [{"port": 15443, "app": "127.0.0.1:8080"}], "admin": "127.0.0.1:15191"}"#;
    let spec: WorkloadSpec = serde_json::from_str(text).unwrap();
    assert_eq!(spec.inbound[0].mtls, Mtls::Strict);
    assert_eq!(spec.inbound[0].address, loopback());
    assert_eq!(spec.validate(), Ok(()));
}

#[test]
fn what_is_impossible_is_refused_by_its_field() {
    let table = [
        (r#"{"admin": "127.0.0.1:0", "inbound": [{"port": 1, "app": "127.0.0.1:2"}]}"#, "admin"),
        (r#"{"admin": "127.0.0.1:1", "inbound": [{"port": 0, "app": "127.0.0.1:2"}]}"#, "inbound[0].port"),
        (
            r#"{"admin": "127.0.0.1:1", "inbound": [{"port": 3, "app": "127.0.0.1:2"},
                {"port": 3, "app": "127.0.0.1:4"}]}"#,
            "inbound[1].port",
        ),
        (
            r#"{"admin": "127.0.0.1:1", "inbound": [{"port": 3, "app": "127.0.0.1:2"}],
                "tracing": {"endpoint": "127.0.0.1:4317", "ratio": 2}}"#,
            "tracing.ratio",
        ),
    ];
    for (text, field) in table {
        let spec: WorkloadSpec = serde_json::from_str(text).unwrap();
        assert_eq!(spec.validate().unwrap_err().field, field);
    }
}

#[test]
fn a_sidecar_without_a_way_in_or_out_is_refused() {
    let spec: WorkloadSpec = serde_json::from_str(r#"{"admin": "127.0.0.1:1"}"#).unwrap();
    assert_eq!(spec.validate().unwrap_err().field, "inbound");
}
