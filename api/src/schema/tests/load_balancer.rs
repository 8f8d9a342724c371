//! LoadBalancerPolicies: each part by itself, and beside every algorithm.

use super::*;
use crate::load_balancer::LoadBalancer;

fn of_balancers(spec: &Value) -> Verdict {
    verdict(spec, LoadBalancer::validate)
}

fn hashing(key: &Value) -> Value {
    json!({ "algorithm": "Maglev", "hashOn": [{ "header": "x-user" }, key] })
}

fn cookie(cookie: &Value) -> Value {
    hashing(&json!({ "cookie": cookie }))
}

fn ring(ring: &Value) -> Value {
    json!({ "algorithm": "RingHash", "hashOn": [{ "source": "IP" }], "ringHash": ring })
}

fn zone(percent: i64) -> Value {
    json!({ "locality": { "mode": "PreferSameZone", "minHealthyPercent": percent } })
}

#[test]
fn every_rule_of_validate_is_in_the_schema_of_load_balancers() {
    let server = Server::new(load_balancer_policy());
    let keys =
        |count: usize| json!({ "algorithm": "Maglev", "hashOn": vec![json!({ "source": "IP" }); count] });
    let one = Some(("hashOn[1]", CEL));
    let table = [
        (json!({}), None),
        (json!({ "algorithm": "Random", "locality": { "mode": "None" } }), None),
        (json!({ "algorithm": "Maglev" }), Some(("hashOn", CEL))),
        (keys(0), Some(("hashOn", CEL))),
        (keys(8), None),
        (keys(9), Some(("hashOn", "maxItems"))),
        (hashing(&json!({ "queryParam": "user" })), None),
        (hashing(&json!({})), one),
        (hashing(&json!({ "header": "a", "source": "IP" })), one),
        (hashing(&json!({ "queryParam": "a", "cookie": { "name": "a" } })), one),
        (hashing(&json!({ "header": "x user" })), Some(("hashOn[1].header", "pattern"))),
        (hashing(&json!({ "header": "" })), Some(("hashOn[1].header", "pattern"))),
        (hashing(&json!({ "queryParam": "a".repeat(256) })), None),
        (hashing(&json!({ "queryParam": "a".repeat(257) })), Some(("hashOn[1].queryParam", "maxLength"))),
        (cookie(&json!({ "name": "a=b" })), Some(("hashOn[1].cookie.name", "pattern"))),
        (cookie(&json!({ "name": "a", "ttl": "0s", "path": "/" })), None),
        (cookie(&json!({ "name": "a", "path": "/" })), Some(("hashOn[1].cookie.path", CEL))),
        (
            cookie(&json!({ "name": "a", "ttl": "1h", "path": "a" })),
            Some(("hashOn[1].cookie.path", "pattern")),
        ),
        (
            cookie(&json!({ "name": "a", "ttl": "1h", "path": "/;" })),
            Some(("hashOn[1].cookie.path", "pattern")),
        ),
        (
            cookie(&json!({ "name": "a", "ttl": "1h", "path": "/".repeat(257) })),
            Some(("hashOn[1].cookie.path", "maxLength")),
        ),
        (ring(&json!({})), None),
        (ring(&json!({ "minimumSize": 0 })), Some(("ringHash.minimumSize", "minimum"))),
        (ring(&json!({ "minimumSize": 65537 })), Some(("ringHash.maximumSize", CEL))),
        (ring(&json!({ "minimumSize": 1, "maximumSize": 1 })), None),
        (ring(&json!({ "maximumSize": 262_144 })), None),
        (ring(&json!({ "maximumSize": 262_145 })), Some(("ringHash.maximumSize", "maximum"))),
        (json!({ "slowStart": { "window": "0s" } }), None),
        (json!({ "slowStart": { "window": "1h" } }), None),
        (json!({ "slowStart": { "window": "61m" } }), Some(("slowStart.window", CEL))),
        (zone(1), None),
        (zone(0), Some(("locality.minHealthyPercent", "minimum"))),
        (zone(101), Some(("locality.minHealthyPercent", "maximum"))),
    ];
    for (settings, refused) in table {
        let spec = spec(settings);
        let refusals = server.check(&spec);
        match refused {
            None => assert_eq!((refusals, of_balancers(&spec)), (vec![], Verdict::Fine), "{spec}"),
            Some((field, keyword)) => {
                assert_eq!(refusals, [(field.to_owned(), keyword)], "{spec}");
                assert_eq!(of_balancers(&spec), Verdict::Refused(field.to_owned()), "{spec}");
            }
        }
    }
}

#[test]
fn what_an_algorithm_does_not_heed_is_refused() {
    let server = Server::new(load_balancer_policy());
    let parts = [
        ("hashOn", json!([{ "header": "x-user" }])),
        ("ringHash", json!({})),
        ("slowStart", json!({ "window": "1s" })),
    ];
    // Which of the parts may stand beside it.
    let table = [
        ("LatencyAware", [false, false, true]),
        ("LeastRequest", [false, false, true]),
        ("RoundRobin", [false, false, true]),
        ("Random", [false, false, false]),
        ("RingHash", [true, true, false]),
        ("Maglev", [true, false, false]),
    ];
    for (algorithm, heeded) in table {
        for ((part, value), is_heeded) in parts.iter().zip(heeded) {
            let mut settings = json!({ "algorithm": algorithm });
            if heeded[0] {
                settings["hashOn"] = parts[0].1.clone();
            }
            settings[part] = value.clone();
            let spec = spec(settings);
            let (refusals, said) = if is_heeded {
                (vec![], Verdict::Fine)
            } else {
                (vec![((*part).to_owned(), CEL)], Verdict::Refused((*part).to_owned()))
            };
            assert_eq!((server.check(&spec), of_balancers(&spec)), (refusals, said), "{spec}");
        }
    }
}

#[test]
fn what_no_balancer_can_be_is_refused_by_keywords() {
    let server = Server::new(load_balancer_policy());
    let table = [
        (json!({ "algorithm": "Fastest" }), "algorithm", "enum"),
        (cookie(&json!({ "ttl": "1h" })), "hashOn[1].cookie", "required"),
        (hashing(&json!({ "source": "Identity" })), "hashOn[1].source", "enum"),
        (json!({ "slowStart": {} }), "slowStart", "required"),
        (json!({ "locality": { "minHealthyPercent": 50 } }), "locality", "required"),
        (json!({ "locality": { "mode": "PreferSameNode" } }), "locality.mode", "enum"),
    ];
    for (settings, field, keyword) in table {
        let spec = spec(settings);
        assert_eq!(of_balancers(&spec), Verdict::Unreadable, "{spec}");
        assert!(server.check(&spec).contains(&(field.to_owned(), keyword)), "{spec}");
    }
    let route = json!([{ "group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "a" }]);
    let refused = server.check(&json!({ "targetRefs": route }));
    assert!(refused.contains(&("targetRefs[0].kind".to_owned(), "enum")), "{refused:?}");
}
