//! Role-based access control of Envoy -> who may enter. Whatever is not understood is refused: passed over, a condition
//! more would let in whom it keeps out.

use std::{collections::BTreeSet, sync::Arc};

use http::Method;
use prost::Name;
use weft_api::cidr::Cidr;
use weft_xds::{
    core::CidrRange,
    http_connection_manager::{HttpFilter, http_filter},
    http_rbac,
    listener::{Filter as NetworkFilter, filter},
    matcher::{PathMatcher, StringMatcher, path_matcher, string_matcher::MatchPattern},
    network_rbac,
    packed::{self, UnpackError},
    protobuf::Any,
    rbac::{Permission, Policy, Principal, Rbac, permission, principal, rbac::Action},
    route::{HeaderMatcher, header_matcher::HeaderMatchSpecifier},
    router::Router,
};

use crate::authorize::{Authorization, Condition, Filter, List, Refusal, Text};

/// What stands between the name of a policy and the number of its rule in the name of a rule.
const RULE: &str = "/rule/";
/// Policies that are named where all of them together are the reason; of more, their number is told.
const NAMED_MAX: usize = 3;

/// What the filters of an HttpConnectionManager ask of requests; `None` if they ask nothing.
pub(super) fn of_requests(filters: &[HttpFilter]) -> Result<Option<Authorization>, String> {
    let configs = filters.iter().map(|HttpFilter { name, config_type }| {
        (name, config_type.as_ref().map(|http_filter::ConfigType::TypedConfig(config)| config))
    });
    // Where the last step is said, it is the one that is taken anyway.
    let asking =
        configs.filter(|(_, config)| config.is_none_or(|config| config.type_url != Router::type_url()));
    authorization(asking, Traffic::Requests, |config| {
        let http_rbac::Rbac { rules, shadow_rules, matcher } = packed::unpack(config)?;
        Ok(Lists { rules, shadow_rules, has_matcher: !matcher.is_empty() })
    })
}

/// What the filters before a TcpProxy ask of connections; `None` if there are none.
pub(super) fn of_bytes(filters: &[NetworkFilter]) -> Result<Option<Authorization>, String> {
    let configs = filters.iter().map(|NetworkFilter { name, config_type }| {
        (name, config_type.as_ref().map(|filter::ConfigType::TypedConfig(config)| config))
    });
    authorization(configs, Traffic::Bytes, |config| {
        let network_rbac::Rbac { rules, shadow_rules, matcher, .. } = packed::unpack(config)?;
        Ok(Lists { rules, shadow_rules, has_matcher: !matcher.is_empty() })
    })
}

/// What rules can ask about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Traffic {
    Requests,
    Bytes,
}

/// A filter as it is written, for requests or for bytes.
struct Lists {
    rules: Option<Rbac>,
    shadow_rules: Option<Rbac>,
    has_matcher: bool,
}

fn authorization<'a>(
    filters: impl Iterator<Item = (&'a String, Option<&'a Any>)>,
    traffic: Traffic,
    read: impl Fn(&Any) -> Result<Lists, UnpackError>,
) -> Result<Option<Authorization>, String> {
    let filter = |(name, config): (&String, Option<&Any>)| {
        let config = config.ok_or("typed_config is needed".to_owned());
        let lists = config.and_then(|config| read(config).map_err(|error| error.to_string()));
        lists.and_then(|lists| lists.filter(traffic)).map_err(|reason| format!("filter `{name}`: {reason}"))
    };
    let filters: Vec<Filter> = filters.map(filter).collect::<Result<_, _>>()?;
    Ok((!filters.is_empty()).then(|| Authorization::new(filters)))
}

impl Lists {
    fn filter(&self, traffic: Traffic) -> Result<Filter, String> {
        if self.has_matcher {
            return Err("matcher is not supported".to_owned());
        }
        let list = |rules: &Option<Rbac>| rules.as_ref().map(|rules| list(rules, traffic)).transpose();
        Ok(Filter { enforced: list(&self.rules)?, audited: list(&self.shadow_rules)? })
    }
}

fn list(rules: &Rbac, traffic: Traffic) -> Result<List, String> {
    let condition = |(name, policy): (&String, &Policy)| {
        condition(policy, traffic).map_err(|reason| format!("policies `{name}`: {reason}"))
    };
    match rules.action() {
        Action::Allow => {
            let conditions: Result<Box<[_]>, _> = rules.policies.iter().map(condition).collect();
            Ok(List::Allow(conditions?, nobody_allows(rules.policies.keys()).into()))
        }
        Action::Deny => {
            let denials = rules
                .policies
                .iter()
                .map(|(name, policy)| Ok((condition((name, policy))?, Arc::new(denied_by(name)))));
            denials.collect::<Result<_, String>>().map(List::Deny)
        }
        Action::Log => Err("action LOG is not supported".to_owned()),
    }
}

fn denied_by(rule: &str) -> Refusal {
    let words = match rule.rsplit_once(RULE) {
        Some((policy, index)) => format!("rule {index} of AuthorizationPolicy {policy} denies it"),
        None => format!("AuthorizationPolicy {rule} denies it"),
    };
    Refusal { policy: policy_of(rule).into(), words: words.into() }
}

fn nobody_allows<'a>(rules: impl Iterator<Item = &'a String>) -> Refusal {
    let policies: BTreeSet<&str> = rules.map(|rule| policy_of(rule)).collect();
    let named: Vec<&str> = policies.iter().copied().take(NAMED_MAX).collect();
    let more = match policies.len().saturating_sub(NAMED_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let policy = format!("{}{more}", named.join(", "));
    let words = format!("no rule of AuthorizationPolicy {policy} allows it");
    Refusal { policy: policy.into(), words: words.into() }
}

fn policy_of(rule: &str) -> &str {
    rule.rsplit_once(RULE).map_or(rule, |(policy, _)| policy)
}

fn condition(policy: &Policy, traffic: Traffic) -> Result<Condition, String> {
    if !policy.condition.is_empty() {
        return Err("condition is not supported".to_owned());
    }
    if policy.permissions.is_empty() || policy.principals.is_empty() {
        return Err("permissions and principals are needed".to_owned());
    }
    let can: Result<_, String> = policy.permissions.iter().map(|one| permission(one, traffic)).collect();
    let is: Result<_, String> = policy.principals.iter().map(principal).collect();
    Ok(Condition::All([Condition::AnyOf(can?), Condition::AnyOf(is?)].into()))
}

fn permission(message: &Permission, traffic: Traffic) -> Result<Condition, String> {
    use permission::Rule;
    let all = |set: &permission::Set| -> Result<Box<[_]>, String> {
        set.rules.iter().map(|one| permission(one, traffic)).collect()
    };
    match message.rule.as_ref().ok_or("permissions: a rule of another kind is not supported")? {
        Rule::Any(any) => flag(*any),
        Rule::AndRules(set) => Ok(Condition::All(all(set)?)),
        Rule::OrRules(set) => Ok(Condition::AnyOf(all(set)?)),
        Rule::NotRule(rule) => Ok(Condition::Not(permission(rule, traffic)?.into())),
        Rule::DestinationPort(port) => {
            let port = u16::try_from(*port).map_err(|_| format!("destination_port {port} is no port"))?;
            Ok(Condition::Port(port))
        }
        Rule::Header(_) | Rule::UrlPath(_) if traffic == Traffic::Bytes => {
            Err("permissions: bytes have neither headers nor a path".to_owned())
        }
        Rule::Header(header) => method(header),
        Rule::UrlPath(PathMatcher { rule: Some(path_matcher::Rule::Path(path)) }) => {
            text(path).map(Condition::Path).map_err(|reason| format!("url_path: {reason}"))
        }
        Rule::UrlPath(PathMatcher { rule: None }) => Err("url_path.path is needed".to_owned()),
    }
}

fn principal(message: &Principal) -> Result<Condition, String> {
    use principal::Identifier;
    let all = |set: &principal::Set| -> Result<Box<[_]>, String> { set.ids.iter().map(principal).collect() };
    match message.identifier.as_ref().ok_or("principals: an identifier of another kind is not supported")? {
        Identifier::Any(any) => flag(*any),
        Identifier::AndIds(set) => Ok(Condition::All(all(set)?)),
        Identifier::OrIds(set) => Ok(Condition::AnyOf(all(set)?)),
        Identifier::NotId(id) => Ok(Condition::Not(principal(id)?.into())),
        Identifier::Authenticated(id) => match &id.principal_name {
            None => Ok(Condition::Authenticated),
            Some(name) => {
                text(name).map(Condition::Identity).map_err(|reason| format!("principal_name: {reason}"))
            }
        },
        Identifier::DirectRemoteIp(range) => network(range).map(Condition::Network),
    }
}

fn flag(any: bool) -> Result<Condition, String> {
    if any { Ok(Condition::Always) } else { Err("any must be true".to_owned()) }
}

fn method(message: &HeaderMatcher) -> Result<Condition, String> {
    let Some(HeaderMatchSpecifier::StringMatch(matcher)) = &message.header_match_specifier else {
        return Err("header: string_match is needed".to_owned());
    };
    match &matcher.match_pattern {
        Some(MatchPattern::Exact(method))
            if message.name == ":method" && !message.invert_match && !matcher.ignore_case =>
        {
            let method = Method::from_bytes(method.as_bytes());
            method.map(Condition::Method).map_err(|_| "header: this is no method".to_owned())
        }
        _ => Err(format!("header `{}`: an exact `:method` is supported, and nothing else", message.name)),
    }
}

fn text(matcher: &StringMatcher) -> Result<Text, String> {
    match &matcher.match_pattern {
        _ if matcher.ignore_case => Err("ignore_case is not supported".to_owned()),
        Some(MatchPattern::Exact(exact)) => Ok(Text::Exact(exact.as_str().into())),
        Some(MatchPattern::Prefix(prefix)) => Ok(Text::Prefix(prefix.as_str().into())),
        _ => Err("exact or prefix is needed".to_owned()),
    }
}

fn network(range: &CidrRange) -> Result<Cidr, String> {
    let of_field = |reason: String| format!("direct_remote_ip: {reason}");
    let address = range
        .address_prefix
        .parse()
        .map_err(|_| of_field(format!("`{}` is no address", range.address_prefix)))?;
    let length = u8::try_from(range.prefix_len.unwrap_or_default())
        .map_err(|_| of_field("prefix_len is too long".to_owned()))?;
    Cidr::new(address, length).map_err(of_field)
}

#[cfg(test)]
mod tests;
