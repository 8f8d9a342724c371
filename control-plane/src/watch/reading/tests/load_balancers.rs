//! LoadBalancerPolicies in files: what is refused, and where; who of two wins.

use super::*;

/// A policy named `x` for `target`, whose settings begin in line 12.
fn policy(target: &str, settings: &str) -> String {
    let spec = format!("spec:\n  targetRefs:\n  - {target}\n  {settings}");
    beside("policy.weft.dev/v1alpha1", "LoadBalancerPolicy", &spec)
}

const OF_SERVICE: &str = "{group: \"\", kind: Service, name: api}";

#[test]
fn what_is_wrong_is_told_with_its_place_and_refused() {
    let of_route = "{group: gateway.networking.k8s.io, kind: HTTPRoute, name: web}";
    let settings = |text: &str| policy(OF_SERVICE, text);
    let table = [
        (settings("algorithm: Fastest"), 12, "spec.algorithm", Reason::WrongType),
        (settings("algorithm: Maglev"), 9, "spec.hashOn", Reason::OutOfRange),
        (settings("hashOn: [{header: x-user}]"), 12, "spec.hashOn", Reason::OutOfRange),
        (
            settings("algorithm: Maglev\n  hashOn:\n  - header: x-user\n  - cookie: {name: a, path: /}"),
            15,
            "spec.hashOn[1].cookie.path",
            Reason::OutOfRange,
        ),
        (settings("algorithm: Random\n  slowStart: {window: 1s}"), 13, "spec.slowStart", Reason::OutOfRange),
        (settings("locality: {mode: Nearest}"), 12, "spec.locality.mode", Reason::WrongType),
        (settings("localty: {}"), 12, "spec.localty", Reason::UnknownField),
        (policy(of_route, "algorithm: Random"), 11, "spec.targetRefs[0].kind", Reason::NotSupported),
        (
            policy("{group: \"\", kind: Service, name: app}", "algorithm: Random"),
            11,
            "spec.targetRefs[0].name",
            Reason::DanglingReference,
        ),
        (
            policy("{group: \"\", kind: Service, name: api, sectionName: \"81\"}", "algorithm: Random"),
            11,
            "spec.targetRefs[0].sectionName",
            Reason::DanglingReference,
        ),
    ];
    for (text, line, field, reason) in table {
        let reading = read(&[("a.yaml", &text)]);
        let [problem] = &reading.check()[..] else { panic!("{text}\n{:#?}", reading.check()) };
        let place = problem.place.as_ref().unwrap();
        assert_eq!((place.line, problem.field.as_str(), problem.reason), (line, field, reason), "{problem}");
    }
}

#[test]
fn of_two_for_one_port_the_older_wins_and_the_other_is_told() {
    let aged = |name: &str, created: &str, target: &str| {
        let dated = format!("{{name: {name}, creationTimestamp: {created}}}");
        policy(target, "algorithm: Random").replace("{name: x}", &dated).replace(SERVICE, "")
    };
    let port = "{group: \"\", kind: Service, name: api, sectionName: \"80\"}";
    let young = aged("a-young", "2026-01-02T00:00:00Z", port);
    let old = aged("b-old", "2026-01-01T00:00:00Z", port);
    let whole = aged("c-whole", "2026-01-03T00:00:00Z", OF_SERVICE);
    let files = [("1.yaml", SERVICE), ("2.yaml", &young), ("3.yaml", &old), ("4.yaml", &whole)];
    let reading = read(&files);
    let [problem] = &reading.check()[..] else { panic!("{:#?}", reading.check()) };
    assert_eq!(
        (problem.object.as_deref(), problem.reason),
        (Some("LoadBalancerPolicy default/a-young"), Reason::Conflicted)
    );
    assert!(problem.message.contains("`b-old`"), "{problem}");
}
