use super::*;

fn spec(rule: &str) -> HttpRouteSpec {
    serde_json::from_str(&format!(r#"{{"rules": [{rule}]}}"#)).unwrap()
}

#[test]
fn what_the_types_cannot_say_is_named_by_its_field() {
    let table = [
        (r#"{"matches": [{}, {"path": {"value": "api"}}]}"#, "rules[0].matches[1].path.value"),
        (r#"{"backendRefs": [{"name": "a", "weight": 1000001}]}"#, "rules[0].backendRefs[0].weight"),
        (r#"{"timeouts": {"request": "1s", "backendRequest": "2s"}}"#, "rules[0].timeouts.backendRequest"),
        (r#"{"retry": {"codes": [500, 200]}}"#, "rules[0].retry.codes[1]"),
        (r#"{"retry": {"attempts": 6}}"#, "rules[0].retry.attempts"),
    ];
    for (rule, field) in table {
        assert_eq!(spec(rule).validate().unwrap_err().field, field);
    }
    let fine = r#"{"matches": [{"path": {"type": "RegularExpression", "value": ".*x"}}],
        "timeouts": {"request": "0s", "backendRequest": "2s"}, "retry": {"codes": [400], "attempts": 5}}"#;
    assert_eq!(spec(fine).validate(), Ok(()));
}
