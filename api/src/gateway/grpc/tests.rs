use super::*;

fn spec(rule: &str) -> GrpcRouteSpec {
    serde_json::from_str(&format!(r#"{{"rules": [{rule}]}}"#)).unwrap()
}

#[test]
fn what_the_types_cannot_say_is_named_by_its_field() {
    let method = |method: &str| format!(r#"{{"matches": [{{}}, {{"method": {{{method}}}}}]}}"#);
    let at = "rules[0].matches[1].method";
    for (rule, field) in [
        (method(""), at.to_owned()),
        (method(r#""service": "", "method": """#), at.to_owned()),
        (method(r#""service": "a/b""#), format!("{at}.service")),
        (method(r#""service": "a..b""#), format!("{at}.service")),
        (method(r#""service": "a.1b""#), format!("{at}.service")),
        (method(r#""service": "a.b", "method": "Get.It""#), format!("{at}.method")),
        (r#"{"timeouts": {}}"#.to_owned(), "rules[0].timeouts".to_owned()),
        (r#"{"retry": {}}"#.to_owned(), "rules[0].retry".to_owned()),
        (
            r#"{"filters": [{"type": "URLRewrite", "urlRewrite": {}}]}"#.to_owned(),
            "rules[0].filters[0]".to_owned(),
        ),
        (
            r#"{"backendRefs": [{"name": "a", "port": 80, "weight": 1000001}]}"#.to_owned(),
            "rules[0].backendRefs[0].weight".to_owned(),
        ),
    ] {
        assert_eq!(spec(&rule).validate().unwrap_err().field, field, "{rule}");
    }
    for fine in [
        method(r#""service": "shop.v1.Cart", "method": "Add_It2""#),
        method(r#""service": ".shop.Cart""#),
        method(r#""method": "Add""#),
        method(r#""type": "RegularExpression", "service": "shop\\..*", "method": "Get[A-Z].*""#),
        r#"{"filters": [{"type": "RequestHeaderModifier", "requestHeaderModifier": {}}]}"#.to_owned(),
    ] {
        assert_eq!(spec(&fine).validate(), Ok(()), "{fine}");
    }
}

#[test]
fn what_is_not_carried_is_listed_as_for_other_routes() {
    let rule = r#"{"filters": [{"type": "ExtensionRef", "extensionRef": {}}]}"#;
    assert_eq!(spec(rule).unsupported(), ["rules[0].filters[0]"]);
}
