use weft_xds::{packed::pack, rbac};

use super::*;
use crate::authorize::{Asked, Entrant, Verdict};

fn exact(text: &str) -> StringMatcher {
    StringMatcher { match_pattern: Some(MatchPattern::Exact(text.into())), ..StringMatcher::default() }
}

fn can(rule: permission::Rule) -> Permission {
    Permission { rule: Some(rule) }
}

fn is(identifier: principal::Identifier) -> Principal {
    Principal { identifier: Some(identifier) }
}

fn anybody() -> Principal {
    is(principal::Identifier::Any(true))
}

fn path(path: &str) -> Permission {
    can(permission::Rule::UrlPath(PathMatcher { rule: Some(path_matcher::Rule::Path(exact(path))) }))
}

fn policy(permission: Permission, principal: Principal) -> Policy {
    Policy { permissions: vec![permission], principals: vec![principal], ..Policy::default() }
}

fn rules(action: Action, policies: Vec<(&str, Policy)>) -> Rbac {
    let policies = policies.into_iter().map(|(name, policy)| (name.to_owned(), policy)).collect();
    Rbac { action: action.into(), policies }
}

fn of_http(rules: Option<Rbac>, shadow_rules: Option<Rbac>) -> Result<Option<Authorization>, String> {
    let message = http_rbac::Rbac { rules, shadow_rules, ..http_rbac::Rbac::default() };
    of_requests(&[http_filter("rbac", &pack(&message))])
}

fn http_filter(name: &str, config: &Any) -> HttpFilter {
    HttpFilter {
        name: name.to_owned(),
        config_type: Some(http_filter::ConfigType::TypedConfig(config.clone())),
    }
}

fn of_network(rules: Rbac) -> Result<Option<Authorization>, String> {
    let message = network_rbac::Rbac { rules: Some(rules), ..network_rbac::Rbac::default() };
    let config_type = Some(filter::ConfigType::TypedConfig(pack(&message)));
    of_bytes(&[NetworkFilter { name: "rbac".to_owned(), config_type }])
}

fn words(verdict: Verdict<'_>) -> (&str, &str) {
    match verdict {
        Verdict::Denied(refusal) => (&refusal.policy, &refusal.words),
        other => panic!("{other:?}"),
    }
}

#[test]
fn rules_become_conditions_and_reasons() {
    let denial = rules(Action::Deny, vec![("shop/no-admin/rule/1", policy(path("/admin"), anybody()))]);
    let authorization = of_http(Some(denial), None).unwrap().unwrap();
    let entrant = Entrant { identity: None, address: None, port: 80 };
    let ask = |path| authorization.decide(&entrant, Some(Asked { method: &Method::GET, path: Some(path) }));
    assert_eq!(ask("/"), Verdict::Allowed);
    let expected = ("shop/no-admin", "rule 1 of AuthorizationPolicy shop/no-admin denies it");
    assert_eq!(words(ask("/admin")), expected);

    let member = is(principal::Identifier::Authenticated(principal::Authenticated { principal_name: None }));
    let all = can(permission::Rule::Any(true));
    let named = ["shop/a/rule/0", "shop/a/rule/1", "shop/b"];
    let policies = named.map(|name| (name, policy(all.clone(), member.clone())));
    let authorization = of_network(rules(Action::Allow, policies.into())).unwrap().unwrap();
    let expected = ("shop/a, shop/b", "no rule of AuthorizationPolicy shop/a, shop/b allows it");
    assert_eq!(words(authorization.decide(&entrant, None)), expected);
}

#[test]
fn many_policies_are_not_all_named() {
    let names = ["a/a", "b/b", "c/c", "d/d", "e/e"].map(str::to_owned);
    assert_eq!(&*nobody_allows(names.iter()).policy, "a/a, b/b, c/c and 2 more");
}

#[test]
fn a_router_asks_nothing_and_no_filter_is_passed_over() {
    let router = http_filter("router", &pack(&Router {}));
    assert_eq!(of_requests(&[router]), Ok(None));
    assert_eq!(of_requests(&[]), Ok(None));
    let unknown = Any { type_url: "type.googleapis.com/envoy.Lua".to_owned(), value: Vec::new().into() };
    let error = of_requests(&[http_filter("lua", &unknown)]).unwrap_err();
    assert!(error.contains("filter `lua`") && error.contains("envoy.Lua"), "{error}");
    assert!(of_requests(&[HttpFilter { name: "empty".to_owned(), config_type: None }]).is_err());
}

#[test]
fn what_is_not_understood_refuses_the_whole() {
    let all = || can(permission::Rule::Any(true));
    let range = |address: &str, length| {
        is(principal::Identifier::DirectRemoteIp(CidrRange {
            address_prefix: address.to_owned(),
            prefix_len: Some(length),
        }))
    };
    let header = |name: &str, invert_match| {
        can(permission::Rule::Header(HeaderMatcher {
            name: name.to_owned(),
            invert_match,
            header_match_specifier: Some(HeaderMatchSpecifier::StringMatch(exact("GET"))),
        }))
    };
    let table = [
        (policy(Permission { rule: None }, anybody()), "another kind"),
        (policy(all(), Principal { identifier: None }), "another kind"),
        (policy(can(permission::Rule::Any(false)), anybody()), "any must be true"),
        (policy(can(permission::Rule::DestinationPort(65_536)), anybody()), "no port"),
        (policy(header("x-admin", false), anybody()), "`x-admin`"),
        (policy(header(":method", true), anybody()), ":method"),
        (policy(all(), range("10.0.0.1", 8)), "direct_remote_ip"),
        (policy(all(), range("ten", 8)), "no address"),
        (policy(all(), range("10.0.0.0", 300)), "too long"),
        (Policy { principals: Vec::new(), ..policy(all(), anybody()) }, "are needed"),
        (Policy { condition: vec![1].into(), ..policy(all(), anybody()) }, "condition"),
    ];
    for (policy, reason) in table {
        for action in [Action::Allow, Action::Deny] {
            let error =
                of_http(Some(rules(action, vec![("shop/x/rule/0", policy.clone())])), None).unwrap_err();
            assert!(error.contains(reason) && error.contains("policies `shop/x/rule/0`"), "{error}");
        }
    }
    let log = rules(rbac::rbac::Action::Log, Vec::new());
    assert!(of_http(Some(log), None).unwrap_err().contains("LOG"));
    let matcher = http_rbac::Rbac { matcher: vec![1].into(), ..http_rbac::Rbac::default() };
    assert!(of_requests(&[http_filter("rbac", &pack(&matcher))]).unwrap_err().contains("matcher"));
    let of_bytes = of_network(rules(Action::Deny, vec![("a", policy(path("/a"), anybody()))]));
    assert!(of_bytes.unwrap_err().contains("neither headers nor a path"));
}
