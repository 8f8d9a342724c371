//! AuthorizationPolicies are mostly lists, so their rules are asked of whole specs.

use super::*;
use crate::policy::{Policy, WorkloadRef};

/// What Weft itself says of a spec, its target included.
fn of_policy(spec: &Value) -> Verdict {
    let Ok(target_refs) = serde_json::from_value::<Vec<WorkloadRef>>(spec["targetRefs"].clone()) else {
        return Verdict::Unreadable;
    };
    verdict(spec, |settings: &Authorization| {
        settings.validate()?;
        Policy { target_refs: target_refs.clone(), settings: settings.clone() }.validate_targets()
    })
}

/// A policy that is in order, but for `value` at `pointer` (RFC 6901).
fn with(pointer: &str, value: Value) -> Value {
    let mut spec = json!({
        "targetRefs": [{ "kind": "Pod", "selector": {
            "matchLabels": { "app": "api" },
            "matchExpressions": [{ "key": "tier", "operator": "In", "values": ["back"] }],
        } }],
        "action": "ALLOW",
        "mode": "Audit",
        "rules": [{
            "sources": [
                { "type": "ServiceAccount", "serviceAccount": { "name": "web", "namespace": "shop" } },
                { "type": "SPIFFE", "spiffe": "spiffe://cluster.local/ns/shop/sa/web" },
                { "type": "Network", "network": "10.0.0.0/8" },
                { "type": "Authenticated" },
            ],
            "networkAttributes": { "ports": [8080] },
            "httpAttributes": { "methods": ["GET"], "paths": [{ "type": "Exact", "value": "/a" }] },
        }],
    });
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let parent = spec.pointer_mut(parent).unwrap();
    match (parent, name.parse::<usize>()) {
        (Value::Array(entries), Ok(index)) => entries[index] = value,
        (Value::Object(fields), _) if value.is_null() => drop(fields.remove(name)),
        (parent, _) => parent[name] = value,
    }
    spec
}

#[test]
fn every_rule_of_validate_is_in_the_schema_of_authorization() {
    let server = Server::new(authorization_policy());
    let rule = "/rules/0";
    let table = [
        ("/rules", json!(vec![json!({}); 65]), "rules", "maxItems"),
        (
            "/rules/0/sources",
            json!(vec![json!({ "type": "Authenticated" }); 65]),
            "rules[0].sources",
            "maxItems",
        ),
        ("/rules/0/sources/3/spiffe", json!("spiffe://a/b"), "rules[0].sources[3].spiffe", CEL),
        ("/rules/0/sources/2/network", json!(null), "rules[0].sources[2].network", CEL),
        ("/rules/0/sources/1/spiffe", json!(null), "rules[0].sources[1].spiffe", CEL),
        ("/rules/0/sources/0/serviceAccount", json!(null), "rules[0].sources[0].serviceAccount", CEL),
        (
            "/rules/0/sources/0/serviceAccount/name",
            json!("Web"),
            "rules[0].sources[0].serviceAccount.name",
            "pattern",
        ),
        (
            "/rules/0/sources/0/serviceAccount/namespace",
            json!("*"),
            "rules[0].sources[0].serviceAccount.namespace",
            "pattern",
        ),
        ("/rules/0/sources/1/spiffe", json!("https://a/b"), "rules[0].sources[1].spiffe", "pattern"),
        ("/rules/0/sources/1/spiffe", json!("spiffe://a/b%20"), "rules[0].sources[1].spiffe", "pattern"),
        ("/rules/0/networkAttributes/ports", json!([]), "rules[0].networkAttributes.ports", "minItems"),
        ("/rules/0/networkAttributes/ports", json!([0]), "rules[0].networkAttributes.ports[0]", "minimum"),
        (
            "/rules/0/networkAttributes/ports",
            json!(vec![1; 65]),
            "rules[0].networkAttributes.ports",
            "maxItems",
        ),
        ("/rules/0/httpAttributes", json!({}), "rules[0].httpAttributes", CEL),
        ("/rules/0/httpAttributes/methods", json!([]), "rules[0].httpAttributes.methods", "minItems"),
        ("/rules/0/httpAttributes/methods", json!(["A B"]), "rules[0].httpAttributes.methods[0]", "pattern"),
        ("/rules/0/httpAttributes/paths", json!([]), "rules[0].httpAttributes.paths", "minItems"),
        ("/targetRefs/0/kind", json!("Service"), "targetRefs[0].kind", "enum"),
        ("/targetRefs", json!([]), "targetRefs", "minItems"),
        (
            "/targetRefs/0/selector/matchExpressions/0/values",
            json!([]),
            "targetRefs[0].selector.matchExpressions[0].values",
            CEL,
        ),
    ];
    assert_eq!(of_policy(&with(rule, json!({}))), Verdict::Fine);
    assert_eq!(of_policy(&with("/mode", json!(null))), Verdict::Fine);
    for (pointer, value, field, keyword) in table {
        let spec = with(pointer, value);
        assert_eq!(of_policy(&spec), Verdict::Refused(field.to_owned()), "{spec}");
        assert_eq!(server.check(&spec), [(field.to_owned(), keyword)], "{spec}");
    }
}

#[test]
fn what_the_types_of_authorization_refuse_is_refused_by_keywords() {
    let server = Server::new(authorization_policy());
    let table = [
        ("/action", json!(null), "", "required"),
        ("/action", json!("Allow"), "action", "enum"),
        ("/rules/0/sources/2/network", json!("10.0.0.0"), "rules[0].sources[2].network", "pattern"),
        ("/rules/0/sources/2/type", json!("Ip"), "rules[0].sources[2].type", "enum"),
        ("/rules/0/networkAttributes", json!({}), "rules[0].networkAttributes", "required"),
        (
            "/rules/0/networkAttributes/ports",
            json!([65536]),
            "rules[0].networkAttributes.ports[0]",
            "maximum",
        ),
        (
            "/rules/0/httpAttributes/paths/0/type",
            json!("RegularExpression"),
            "rules[0].httpAttributes.paths[0].type",
            "enum",
        ),
        ("/rules/0/from", json!([]), "rules[0].from", "properties"),
        ("/targetRefs/0/selector", json!(null), "targetRefs[0]", "required"),
    ];
    for (pointer, value, field, keyword) in table {
        let spec = with(pointer, value);
        assert_eq!(of_policy(&spec), Verdict::Unreadable, "{spec}");
        assert!(server.check(&spec).contains(&(field.to_owned(), keyword)), "{:?}", server.check(&spec));
    }
}

#[test]
fn the_schema_knows_canonical_paths() {
    let server = Server::new(authorization_policy());
    let paths = [
        "/",
        "/a",
        "/a/",
        "/a/b",
        "/.a",
        "/a.",
        "/..a",
        "/...",
        "/a..b",
        "/caf%C3%A9",
        "/%7Bid%7D",
        "/a:b@c,d=e",
        "",
        "a",
        "//",
        "/a//b",
        "/.",
        "/..",
        "/./a",
        "/a/..",
        "/a/./b",
        "/%2F",
        "/%5C",
        "/%00",
        "/%1F",
        "/%7F",
        "/%41",
        "/%2e",
        "/%2E",
        "/%c3",
        "/%5F",
        "/%7E",
        "/a;b",
        "/a%3Bb",
        "/a?b",
        "/a#b",
        "/a b",
        "/a%20b",
        "/é",
        "/\\",
        "/%",
        "/%2",
        "/{id}",
        "*",
        "/a%252F",
    ];
    for path in paths {
        let spec = with("/rules/0/httpAttributes/paths/0/value", json!(path));
        let is_fine = of_policy(&spec) == Verdict::Fine;
        assert_eq!(server.check(&spec).is_empty(), is_fine, "{path}: {:?}", server.check(&spec));
    }
}
