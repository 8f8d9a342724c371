use serde_json::{Value, json};

use super::*;

fn limits(policies: &[(&str, Value)]) -> RateLimits {
    let policies: Vec<(&str, RateLimit)> =
        policies.iter().map(|(name, spec)| (*name, serde_json::from_value(spec.clone()).unwrap())).collect();
    RateLimits::new(policies.iter().map(|(name, spec)| (*name, spec))).unwrap()
}

fn entrant(identity: &str, port: u16) -> Entrant {
    Entrant { identity: Some(identity.into()), address: None, port }
}

fn get(path: Option<&str>) -> Asked<'_> {
    Asked { method: &Method::GET, path }
}

#[test]
fn requests_take_of_the_limits_that_they_match_and_no_others() {
    let table = [
        (json!({}), [true, true, true]),
        (json!({ "networkAttributes": { "ports": [80] } }), [true, true, true]),
        (json!({ "networkAttributes": { "ports": [81] } }), [false, false, false]),
        (json!({ "httpAttributes": { "methods": ["POST"] } }), [false, false, false]),
        (json!({ "httpAttributes": { "methods": ["GET", "POST"] } }), [true, true, true]),
        (json!({ "httpAttributes": { "paths": [{ "value": "/a" }] } }), [true, false, true]),
        (
            json!({ "httpAttributes": { "paths": [{ "value": "/a", "type": "Exact" }] } }),
            [false, false, true],
        ),
        (json!({ "httpAttributes": { "paths": [{ "value": "/" }] } }), [true, true, true]),
    ];
    for (mut limit, matches) in table {
        limit["requests"] = json!(1);
        limit["per"] = json!("1h");
        let limits = limits(&[("shop/calm", json!({ "limits": [limit] }))]);
        // What has no canonical path matches every one.
        for (path, matches) in [Some("/a/b"), Some("/ab"), None].into_iter().zip(matches) {
            let now = Instant::now();
            let buckets = Buckets::new(now);
            let take = || limits.take(&buckets, &entrant("web", 80), get(path), now);
            assert_eq!(take(), Verdict::Taken);
            let limited = matches!(take(), Verdict::Limited(limit, wait)
                if &*limit.policy == "shop/calm" && wait == Duration::from_hours(1));
            assert_eq!(limited, matches, "{path:?} {limits:?}");
        }
    }
}

#[test]
fn clients_have_buckets_of_their_own_where_the_limit_says_so() {
    for (key, others_pass) in [("Client", true), ("Workload", false)] {
        let limits = limits(&[("a/b", json!({ "limits": [{ "requests": 1, "per": "1m", "key": key }] }))]);
        let now = Instant::now();
        let buckets = Buckets::new(now);
        let take = |who: &str| limits.take(&buckets, &entrant(who, 80), get(None), now) == Verdict::Taken;
        assert!(take("web") && !take("web"), "{key}");
        assert_eq!(take("jobs"), others_pass, "{key}");
    }
}

#[test]
fn all_policies_count_and_those_in_audit_mode_refuse_nothing() {
    let one = |requests: u32, mode: &str| json!({ "mode": mode, "limits": [{ "requests": requests, "per": "1m" }] });
    let limits = limits(&[("a/few", one(1, "Audit")), ("a/more", one(2, "Enforce"))]);
    let now = Instant::now();
    let buckets = Buckets::new(now);
    let web = entrant("web", 80);
    let take = || limits.take(&buckets, &web, get(None), now);
    assert_eq!(take(), Verdict::Taken);
    assert!(matches!(take(), Verdict::Audited(limit) if &*limit.policy == "a/few"));
    let Verdict::Limited(limit, wait) = take() else { panic!("there is no limit") };
    assert_eq!(
        (&*limit.words, wait),
        ("limit 0 of RateLimitPolicy a/more is reached", Duration::from_secs(30))
    );
}

#[test]
fn audit_finds_what_enforcing_would_find() {
    let spec = |mode: &str| json!({ "mode": mode, "limits": [{ "requests": 2, "per": "1m" }, { "requests": 3, "per": "1m" }] });
    let now = Instant::now();
    let outcomes = ["Enforce", "Audit"].map(|mode| {
        let (limits, buckets) = (limits(&[("a/b", spec(mode))]), Buckets::new(now));
        // Every ten seconds, while the buckets get a token in thirty and in twenty.
        let at = |step: u64| now + Duration::from_secs(10 * step);
        let words = |step| match limits.take(&buckets, &entrant("web", 80), get(None), at(step)) {
            Verdict::Taken => None,
            Verdict::Audited(limit) | Verdict::Limited(limit, _) => Some(limit.words.to_string()),
        };
        (0..40).map(words).collect::<Vec<_>>()
    });
    assert_eq!(outcomes[0], outcomes[1]);
    assert!(outcomes[0].iter().any(Option::is_none) && outcomes[0].iter().any(Option::is_some));
}
