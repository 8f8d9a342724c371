use super::*;

fn check(text: &str) -> Result<(), String> {
    let session: SessionPersistence = serde_json::from_str(text).unwrap();
    session.validate("rules[0].sessionPersistence").map_err(|violation| violation.field)
}

#[test]
fn what_the_types_cannot_say_is_named_by_its_field() {
    for (text, field) in [
        (r#"{"sessionName": "a b"}"#, "sessionName"),
        (r#"{"sessionName": ""}"#, "sessionName"),
        (r#"{"type": "Header", "sessionName": "x-weft-fault"}"#, "sessionName"),
        (r#"{"type": "Header", "sessionName": "Connection"}"#, "sessionName"),
        (r#"{"absoluteTimeout": "0s"}"#, "absoluteTimeout"),
        (r#"{"idleTimeout": "0ms"}"#, "idleTimeout"),
        (r#"{"type": "Header", "cookieConfig": {}}"#, "cookieConfig"),
        (r#"{"cookieConfig": {"lifetimeType": "Permanent"}}"#, "absoluteTimeout"),
    ] {
        assert_eq!(check(text).unwrap_err(), format!("rules[0].sessionPersistence.{field}"), "{text}");
    }
    let long = format!(r#"{{"sessionName": "{}"}}"#, "a".repeat(NAME_BYTES_MAX + 1));
    check(&long).unwrap_err();
    for fine in [
        "{}",
        r#"{"sessionName": "shop", "absoluteTimeout": "8h", "idleTimeout": "30m"}"#,
        r#"{"type": "Header", "sessionName": "x-shop-session"}"#,
        r#"{"absoluteTimeout": "8h", "cookieConfig": {"lifetimeType": "Permanent"}}"#,
    ] {
        assert_eq!(check(fine), Ok(()), "{fine}");
    }
}

#[test]
fn what_is_told_to_proxies_is_what_was_read() {
    let text = r#"{"sessionName":"s","absoluteTimeout":"8h","type":"Cookie","cookieConfig":{"lifetimeType":"Permanent"}}"#;
    let read: SessionPersistence = serde_json::from_str(text).unwrap();
    assert_eq!(serde_json::to_string(&read).unwrap(), text);
}
