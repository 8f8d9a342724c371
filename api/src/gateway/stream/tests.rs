use serde_json::{Value, json};

use super::*;

fn spec(value: &Value) -> StreamRouteSpec {
    serde_json::from_value(value.clone()).unwrap()
}

fn with(hostnames: &[&str], rules: &Value) -> StreamRouteSpec {
    spec(&json!({ "parentRefs": [{ "name": "a" }], "hostnames": hostnames, "rules": rules }))
}

#[test]
fn hostnames_are_names_of_dns_or_the_end_of_some() {
    let long = "a".repeat(63);
    let names = [
        ("a", true),
        ("a.example", true),
        ("*.example", true),
        ("*.a-1.example", true),
        ("1.2.3.a4", true),
        (long.as_str(), true),
        ("", false),
        ("*", false),
        ("*.", false),
        ("a.*.example", false),
        ("*a.example", false),
        ("*.*.example", false),
        ("A.example", false),
        ("a_b.example", false),
        ("-a.example", false),
        ("a.example.", false),
        ("127.0.0.1", false),
        ("::1", false),
        (&format!("{long}a"), false),
        (&[long.as_str(); 5].join("."), false),
    ];
    for (name, is_fine) in names {
        let found = with(&[name], &json!([{}])).validate_tls();
        assert_eq!(found.is_ok(), is_fine, "{name}: {found:?}");
        let field = found.err().map(|violation| violation.field);
        assert_eq!(field.as_deref(), (!is_fine).then_some("hostnames[0]"), "{name}");
    }
}

#[test]
fn what_no_such_route_can_say_is_refused_by_its_field() {
    let heavy = json!([{ "backendRefs": [{ "name": "a", "port": 1 }, { "name": "b", "port": 1, "weight": 1_000_001 }] }]);
    let filter = json!({ "type": "RequestHeaderModifier", "requestHeaderModifier": { "remove": ["a"] } });
    let filtered = json!([{ "backendRefs": [{ "name": "a", "port": 1, "filters": [filter] }] }]);
    for (rules, field) in [
        (json!([]), "rules"),
        (json!([{}, {}]), "rules"),
        (heavy, "rules[0].backendRefs[1].weight"),
        (filtered, "rules[0].backendRefs[0].filters"),
    ] {
        assert_eq!(with(&["a"], &rules).validate_tls().unwrap_err().field, field, "{rules}");
        assert_eq!(with(&[], &rules).validate_tcp().unwrap_err().field, field, "{rules}");
    }
    assert_eq!(with(&[], &json!([{}])).validate_tcp(), Ok(()));
    assert_eq!(with(&["a"], &json!([{}])).validate_tcp().unwrap_err().field, "hostnames");
    assert_eq!(with(&[], &json!([{}])).validate_tls().unwrap_err().field, "hostnames");
    assert_eq!(with(&["a"; 17], &json!([{}])).validate_tls().unwrap_err().field, "hostnames");
    for other in [json!({ "matches": [] }), json!({ "filters": [] })] {
        assert!(serde_json::from_value::<StreamRouteSpec>(json!({ "rules": [other] })).is_err());
    }
}
