//! RBAC filters as text.

use std::fmt::Write as _;

use weft_xds::{
    http_connection_manager::{HttpConnectionManager, http_filter},
    http_rbac,
    listener::FilterChain,
    matcher::{StringMatcher, path_matcher, string_matcher::MatchPattern},
    network_rbac,
    packed::unpack,
    rbac,
    route::header_matcher::HeaderMatchSpecifier,
};

use super::named;

/// What stands before the application on a chain: of requests within the last filter, of bytes before it.
pub(super) fn render(text: &mut String, chain: &FilterChain) {
    let (last, before) = chain.filters.split_last().expect("a filter");
    for (name, any) in before.iter().map(named) {
        assert_eq!(name, "envoy.filters.network.rbac");
        let network_rbac::Rbac { rules, shadow_rules, .. } = unpack(any).unwrap();
        lists(text, rules, shadow_rules);
    }
    let (name, any) = named(last);
    if name == "envoy.filters.network.http_connection_manager" {
        for filter in unpack::<HttpConnectionManager>(any).unwrap().http_filters {
            let Some(http_filter::ConfigType::TypedConfig(any)) = filter.config_type else {
                panic!("no configuration")
            };
            let http_rbac::Rbac { rules, shadow_rules, .. } = unpack(&any).unwrap();
            lists(text, rules, shadow_rules);
        }
    }
}

fn lists(text: &mut String, rules: Option<rbac::Rbac>, shadow_rules: Option<rbac::Rbac>) {
    for (list, mode) in [(rules, ""), (shadow_rules, "would ")] {
        let Some(list) = list else { continue };
        let action = rbac::rbac::Action::try_from(list.action).unwrap();
        for (name, policy) in &list.policies {
            let can: Vec<_> = policy.permissions.iter().map(permission).collect();
            let who: Vec<_> = policy.principals.iter().map(principal).collect();
            let _ =
                writeln!(text, "    {mode}{action:?} {name}: {} for {}", can.join(" or "), who.join(" or "));
        }
    }
}

fn permission(permission: &rbac::Permission) -> String {
    use rbac::permission::Rule;
    let all = |set: &rbac::permission::Set, joint: &str| {
        let rules: Vec<_> = set.rules.iter().map(self::permission).collect();
        format!("({})", rules.join(joint))
    };
    match permission.rule.as_ref().unwrap() {
        Rule::Any(true) => "anything".to_owned(),
        Rule::AndRules(set) => all(set, " and "),
        Rule::OrRules(set) => all(set, " or "),
        Rule::DestinationPort(port) => format!("port {port}"),
        Rule::Header(header) => {
            let Some(HeaderMatchSpecifier::StringMatch(value)) = &header.header_match_specifier else {
                panic!("no text")
            };
            format!("{} {}", header.name, matcher(value))
        }
        Rule::UrlPath(path) => {
            let Some(path_matcher::Rule::Path(value)) = &path.rule else { panic!("no path") };
            format!("path {}", matcher(value))
        }
        other => unreachable!("never made: {other:?}"),
    }
}

fn principal(principal: &rbac::Principal) -> String {
    use rbac::principal::Identifier;
    match principal.identifier.as_ref().unwrap() {
        Identifier::Any(true) => "anybody".to_owned(),
        Identifier::NotId(not) => format!("not {}", self::principal(not)),
        Identifier::Authenticated(id) => match &id.principal_name {
            Some(name) => format!("whoever {}", matcher(name)),
            None => "members of the mesh".to_owned(),
        },
        Identifier::DirectRemoteIp(range) => {
            format!("{}/{}", range.address_prefix, range.prefix_len.unwrap())
        }
        other => unreachable!("never made: {other:?}"),
    }
}

fn matcher(matcher: &StringMatcher) -> String {
    match matcher.match_pattern.as_ref().unwrap() {
        MatchPattern::Exact(value) => format!("is {value}"),
        MatchPattern::Prefix(value) => format!("begins with {value}"),
        other => unreachable!("never made: {other:?}"),
    }
}
