mod model;

use super::*;

fn entrant(identity: &str, address: &str, port: u16) -> Entrant {
    let identity = (!identity.is_empty()).then(|| identity.into());
    Entrant { identity, address: address.parse().ok(), port }
}

fn refusal(policy: &str) -> Arc<Refusal> {
    Arc::new(Refusal { policy: policy.into(), words: format!("{policy} says so").into() })
}

fn allow(conditions: Vec<Condition>) -> List {
    List::Allow(conditions.into(), refusal("allow"))
}

fn deny(condition: Condition) -> List {
    List::Deny([(condition, refusal("deny"))].into())
}

fn enforced(list: List) -> Filter {
    Filter { enforced: Some(list), audited: None }
}

fn audited(list: List) -> Filter {
    Filter { enforced: None, audited: Some(list) }
}

const WEB: &str = "spiffe://cluster.local/ns/shop/sa/web";

fn exact(text: &str) -> Text {
    Text::Exact(text.into())
}

fn prefix(text: &str) -> Text {
    Text::Prefix(text.into())
}

fn both(one: Condition, other: Condition) -> Condition {
    Condition::All([one, other].into())
}

/// Whether `condition` lets a GET for `path`, or bytes without one, in as an allowance, and out as a denial.
fn outcomes(condition: &Condition, entrant: &Entrant, path: Option<&str>) -> [bool; 2] {
    let asked = path.map(|path| Asked { method: &Method::GET, path: Some(path) });
    [allow(vec![condition.clone()]), deny(condition.clone())].map(|list| {
        let authorization = Authorization::new(vec![enforced(list)]);
        authorization.decide(entrant, asked) == Verdict::Allowed
    })
}

#[test]
fn each_condition_holds_for_what_it_names() {
    let web = entrant(WEB, "10.1.2.3", 8080);
    let nobody = entrant("", "192.168.0.1", 9090);
    let table = [
        (Condition::Always, true, true),
        (Condition::Not(Condition::Always.into()), false, false),
        (Condition::Authenticated, true, false),
        (Condition::Identity(exact(WEB)), true, false),
        (Condition::Identity(exact("spiffe://cluster.local/ns/shop/sa/we")), false, false),
        (Condition::Identity(prefix("spiffe://cluster.local/ns/shop/sa/")), true, false),
        (Condition::Identity(prefix("spiffe://cluster.local/ns/sho/sa/")), false, false),
        (Condition::Network("10.0.0.0/8".parse().unwrap()), true, false),
        (Condition::Port(8080), true, false),
        (Condition::All([].into()), true, true),
        (Condition::AnyOf([].into()), false, false),
    ];
    for (index, (condition, of_web, of_nobody)) in table.into_iter().enumerate() {
        assert_eq!(outcomes(&condition, &web, Some("/")), [of_web, !of_web], "{index} of the web");
        assert_eq!(outcomes(&condition, &nobody, Some("/")), [of_nobody, !of_nobody], "{index} of nobody");
    }
}

#[test]
fn what_cannot_be_known_neither_lets_in_nor_escapes() {
    let web = entrant(WEB, "10.1.2.3", 8080);
    let unplaced = Entrant { address: None, ..web.clone() };
    let path = Condition::Path(prefix("/a"));
    let closed = [false, false];
    assert_eq!(outcomes(&path, &web, None), closed);
    assert_eq!(outcomes(&Condition::Not(path.clone().into()), &web, None), closed);
    assert_eq!(outcomes(&Condition::Method(Method::GET), &web, None), closed);
    assert_eq!(outcomes(&Condition::Network("0.0.0.0/0".parse().unwrap()), &unplaced, Some("/a")), closed);
    // What is known may decide all the same.
    assert_eq!(outcomes(&both(path.clone(), Condition::Port(1)), &web, None), [false, true]);
    assert_eq!(
        outcomes(&Condition::AnyOf([path.clone(), Condition::Port(8080)].into()), &web, None),
        [true, false]
    );
    assert_eq!(outcomes(&both(path.clone(), Condition::Port(8080)), &web, None), closed);
    // A request whose path has no canonical form.
    let asked = Some(Asked { method: &Method::GET, path: None });
    let authorization = Authorization::new(vec![enforced(allow(vec![path.clone()]))]);
    assert!(matches!(authorization.decide(&web, asked), Verdict::Denied(_)));
}

#[test]
fn a_denial_beats_an_allowance_and_each_is_told_by_its_policy() {
    let web = entrant(WEB, "10.1.2.3", 8080);
    let authorization = Authorization::new(vec![
        enforced(deny(Condition::Port(8080))),
        enforced(allow(vec![Condition::Always])),
    ]);
    assert_eq!(authorization.decide(&web, None), Verdict::Denied(&refusal("deny")));
    assert_eq!(authorization.decide(&entrant(WEB, "", 1), None), Verdict::Allowed);
    let nobody = Authorization::new(vec![enforced(allow(Vec::new()))]);
    assert_eq!(nobody.decide(&web, None), Verdict::Denied(&refusal("allow")));
}

#[test]
fn audit_reports_what_would_be_and_acts_on_nothing() {
    let web = entrant(WEB, "10.1.2.3", 8080);
    let audit =
        Authorization::new(vec![audited(deny(Condition::Always)), enforced(allow(vec![Condition::Always]))]);
    assert_eq!(audit.decide(&web, None), Verdict::Audited(&refusal("deny")));
    let both = Authorization::new(vec![audited(deny(Condition::Always)), enforced(allow(Vec::new()))]);
    assert_eq!(both.decide(&web, None), Verdict::Denied(&refusal("allow")));
}

#[test]
fn a_path_decides_only_where_a_rule_that_acts_asks_for_it() {
    let path = || Condition::Not(both(Condition::Always, Condition::Path(exact("/a"))).into());
    for (filter, decides) in [
        (enforced(allow(vec![path()])), true),
        (enforced(deny(path())), true),
        (audited(deny(path())), false),
        (enforced(deny(Condition::Method(Method::GET))), false),
    ] {
        assert_eq!(Authorization::new(vec![filter]).decides_by_path(), decides);
    }
}
