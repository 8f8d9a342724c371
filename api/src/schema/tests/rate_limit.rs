//! RateLimitPolicies, asked as a whole: their limits are a list.

use super::*;
use crate::rate_limit::RateLimit;

fn with(limit: &Value) -> Value {
    let target = json!({ "kind": "Pod", "selector": {} });
    json!({ "targetRefs": [target], "limits": [{ "requests": 10 }, limit] })
}

fn of_limits(spec: &Value) -> Verdict {
    verdict(spec, RateLimit::validate)
}

#[test]
fn every_rule_of_validate_is_in_the_schema_of_rate_limits() {
    let server = Server::new(rate_limit_policy());
    let requests = |more: Value| {
        let mut limit = json!({ "requests": 1 });
        merge(&mut limit, more);
        limit
    };
    assert_eq!(
        of_limits(&with(&requests(json!({ "per": "1h", "burst": 1_000_000, "key": "Client" })))),
        Verdict::Fine
    );
    let table = [
        (json!({ "requests": 0 }), "limits[1].requests", "minimum"),
        (json!({ "requests": 1_000_001 }), "limits[1].requests", "maximum"),
        (requests(json!({ "burst": 0 })), "limits[1].burst", "minimum"),
        (requests(json!({ "burst": 1_000_001 })), "limits[1].burst", "maximum"),
        (requests(json!({ "per": "999ms" })), "limits[1].per", CEL),
        (requests(json!({ "per": "61m" })), "limits[1].per", CEL),
        (
            requests(json!({ "networkAttributes": { "ports": [] } })),
            "limits[1].networkAttributes.ports",
            "minItems",
        ),
        (requests(json!({ "httpAttributes": {} })), "limits[1].httpAttributes", CEL),
    ];
    for (limit, field, keyword) in table {
        let spec = with(&limit);
        // What may come at once is `requests` unless something else is said, and as wrong.
        let refusals = server.check(&spec);
        assert_eq!(refusals, [(field.to_owned(), keyword)], "{spec}");
        assert_eq!(of_limits(&spec), Verdict::Refused(field.to_owned()), "{spec}");
    }
    for (limits, keyword) in
        [(json!([]), "minItems"), (json!(vec![json!({ "requests": 1 }); 17]), "maxItems")]
    {
        let mut spec = with(&json!({}));
        spec["limits"] = limits;
        assert_eq!(server.check(&spec), [("limits".to_owned(), keyword)]);
        assert_eq!(of_limits(&spec), Verdict::Refused("limits".to_owned()));
    }
    assert_eq!(of_limits(&with(&json!({}))), Verdict::Unreadable);
    assert_eq!(server.check(&with(&json!({}))), [("limits[1]".to_owned(), "required")]);
}
