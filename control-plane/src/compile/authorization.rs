//! AuthorizationPolicies as role-based access control of Envoy: a filter for what is denied, and one for what is allowed.
//!
//! Policies in audit mode are shadow rules. Those say what would be if they were enforced, so allowances in audit mode
//! stand there beside the enforced ones.

use std::collections::BTreeMap;

use weft_api::{
    authorization::{ALL_ACCOUNTS, Action, Authorization, Rule, ServiceAccount, Source, SourceKind},
    http_attributes::{HttpAttributes, Path, PathKind},
    policy::Mode,
};
use weft_identity::TrustDomain;
use weft_xds::{
    core::CidrRange,
    http_connection_manager::{HttpFilter, http_filter},
    http_rbac,
    listener::{Filter, filter},
    matcher::{PathMatcher, StringMatcher, path_matcher, string_matcher::MatchPattern},
    network_rbac,
    packed::pack,
    rbac::{
        Permission, Policy, Principal, Rbac,
        permission::{Rule as Can, Set},
        principal::{Authenticated, Identifier as Is},
        rbac,
    },
    route::{HeaderMatcher, header_matcher::HeaderMatchSpecifier},
};

use crate::{resolve::Entering, store::ObjectName};

/// Names under which Envoy knows its filters.
const HTTP_FILTER: &str = "envoy.filters.http.rbac";
const NETWORK_FILTER: &str = "envoy.filters.network.rbac";

/// What stands before whatever enters a workload: nothing, where no policy applies.
#[derive(Default)]
pub(super) struct Filters {
    /// For requests.
    pub(super) requests: Vec<HttpFilter>,
    /// For bytes that nobody looks at.
    pub(super) bytes: Vec<Filter>,
}

/// What is known of the traffic that rules are written for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Traffic {
    Requests,
    Bytes,
}

/// Enforced and shadow rules of one action.
struct Lists {
    rules: Option<Rbac>,
    shadow_rules: Option<Rbac>,
}

impl Filters {
    /// Of all `policies` of a workload.
    pub(super) fn of(policies: &Entering, trust_domain: &TrustDomain) -> Self {
        let lists = |traffic| {
            let compiler = Compiler { policies, trust_domain, traffic };
            [compiler.denials(), compiler.allowances()]
        };
        let is_there = |lists: &Lists| lists.rules.is_some() || lists.shadow_rules.is_some();
        Self {
            requests: lists(Traffic::Requests).into_iter().filter(is_there).map(http_filter).collect(),
            bytes: lists(Traffic::Bytes).into_iter().filter(is_there).map(network_filter).collect(),
        }
    }
}

fn http_filter(Lists { rules, shadow_rules }: Lists) -> HttpFilter {
    let filter = http_rbac::Rbac { rules, shadow_rules, ..http_rbac::Rbac::default() };
    HttpFilter {
        name: HTTP_FILTER.to_owned(),
        config_type: Some(http_filter::ConfigType::TypedConfig(pack(&filter))),
    }
}

fn network_filter(Lists { rules, shadow_rules }: Lists) -> Filter {
    let stat_prefix = weft_api::names::RESOURCE_INBOUND.to_owned();
    let filter = network_rbac::Rbac { rules, shadow_rules, stat_prefix, ..network_rbac::Rbac::default() };
    Filter {
        name: NETWORK_FILTER.to_owned(),
        config_type: Some(filter::ConfigType::TypedConfig(pack(&filter))),
    }
}

struct Compiler<'a> {
    policies: &'a Entering,
    trust_domain: &'a TrustDomain,
    traffic: Traffic,
}

impl Compiler<'_> {
    fn denials(&self) -> Lists {
        let of = |mode| {
            let rules = self.rules(Action::Deny, &[mode]);
            (!rules.is_empty()).then(|| list(rbac::Action::Deny, rules))
        };
        Lists { rules: of(Mode::Enforce), shadow_rules: of(Mode::Audit) }
    }

    /// A list of allowances denies by being there, even if it is empty.
    fn allowances(&self) -> Lists {
        let has = |mode| self.settings(Action::Allow).any(|(_, settings)| settings.mode == mode);
        let of = |modes: &[Mode]| list(rbac::Action::Allow, self.rules(Action::Allow, modes));
        Lists {
            rules: has(Mode::Enforce).then(|| of(&[Mode::Enforce])),
            shadow_rules: has(Mode::Audit).then(|| of(&[Mode::Enforce, Mode::Audit])),
        }
    }

    fn settings(&self, action: Action) -> impl Iterator<Item = (ObjectName, &Authorization)> {
        let all = self
            .policies
            .authorizations
            .iter()
            .map(|policy| (ObjectName::of(&policy.metadata), &policy.spec.settings));
        all.filter(move |(_, settings)| settings.action == action)
    }

    fn rules(&self, action: Action, modes: &[Mode]) -> BTreeMap<String, Policy> {
        let mut rules = BTreeMap::new();
        for (name, settings) in self.settings(action).filter(|(_, settings)| modes.contains(&settings.mode)) {
            let mut compiled = 0;
            for (index, rule) in settings.rules.iter().enumerate() {
                if let Some(policy) = self.rule(action, &name, rule) {
                    compiled += 1;
                    rules.insert(format!("{name}/rule/{index}"), policy);
                }
            }
            // Whoever is denied, because nobody is allowed, is told by whom.
            if compiled == 0 && action == Action::Allow {
                rules.insert(name.to_string(), Policy { principals: vec![nobody()], ..anything() });
            }
        }
        rules
    }

    /// `None` if no traffic of this kind can match the rule.
    fn rule(&self, action: Action, policy: &ObjectName, rule: &Rule) -> Option<Policy> {
        let ports = rule
            .network_attributes
            .as_ref()
            .map(|network| any_of(network.ports.iter().map(|port| Can::DestinationPort(u32::from(*port)))));
        let http = match (&rule.http_attributes, self.traffic) {
            (Some(http), Traffic::Requests) => requests(http),
            // Whether it is such a request, nobody looks: it is not let in for that, and it is kept out for that.
            (Some(_), Traffic::Bytes) if action == Action::Allow => return None,
            _ => Vec::new(),
        };
        let principals = match &rule.sources {
            None => vec![principal(Is::Any(true))],
            Some(sources) if sources.is_empty() => vec![nobody()],
            Some(sources) => sources.iter().map(|source| self.source(policy, source)).collect(),
        };
        let permissions = vec![all_of(ports.into_iter().chain(http).collect())];
        Some(Policy { permissions, principals, ..Policy::default() })
    }

    fn source(&self, policy: &ObjectName, source: &Source) -> Principal {
        let id = |pattern| {
            let principal_name =
                Some(StringMatcher { match_pattern: Some(pattern), ..StringMatcher::default() });
            principal(Is::Authenticated(Authenticated { principal_name }))
        };
        match (source.kind, &source.service_account, &source.spiffe, source.network) {
            (SourceKind::Authenticated, ..) => {
                principal(Is::Authenticated(Authenticated { principal_name: None }))
            }
            (SourceKind::ServiceAccount, Some(ServiceAccount { name, namespace }), ..) => {
                let namespace = namespace.as_ref().unwrap_or(&policy.namespace);
                let all = format!("spiffe://{}/ns/{namespace}/sa/", self.trust_domain);
                match name.as_str() {
                    ALL_ACCOUNTS => id(MatchPattern::Prefix(all)),
                    name => id(MatchPattern::Exact(all + name)),
                }
            }
            (SourceKind::Spiffe, _, Some(exact), _) => id(MatchPattern::Exact(exact.clone())),
            (SourceKind::Network, .., Some(network)) => principal(Is::DirectRemoteIp(CidrRange {
                address_prefix: network.address().to_string(),
                prefix_len: Some(u32::from(network.length())),
            })),
            // Validation has refused a source without the field of its type.
            _ => nobody(),
        }
    }
}

fn list(action: rbac::Action, policies: BTreeMap<String, Policy>) -> Rbac {
    Rbac { action: action.into(), policies }
}

fn requests(http: &HttpAttributes) -> Vec<Permission> {
    let methods = http.methods.as_ref().map(|methods| any_of(methods.iter().map(|one| method(one))));
    // The prefix `/` is every path, also that of `OPTIONS *`.
    let any_path =
        |paths: &Vec<Path>| paths.iter().any(|path| path.kind == PathKind::PathPrefix && path.value == "/");
    let paths = http.paths.as_ref().filter(|paths| !any_path(paths));
    let paths = paths.map(|paths| any_of(paths.iter().flat_map(path)));
    methods.into_iter().chain(paths).collect()
}

fn method(method: &str) -> Can {
    let pattern = Some(MatchPattern::Exact(method.to_owned()));
    Can::Header(HeaderMatcher {
        name: ":method".to_owned(),
        header_match_specifier: Some(HeaderMatchSpecifier::StringMatch(StringMatcher {
            match_pattern: pattern,
            ..StringMatcher::default()
        })),
        ..HeaderMatcher::default()
    })
}

/// A prefix in whole segments is the path itself, or begins with it and a slash.
fn path(path: &Path) -> Vec<Can> {
    let patterns = match path.kind {
        PathKind::Exact => vec![MatchPattern::Exact(path.value.clone())],
        PathKind::PathPrefix => {
            let value = path.value.trim_end_matches('/');
            vec![MatchPattern::Exact(value.to_owned()), MatchPattern::Prefix(format!("{value}/"))]
        }
    };
    let matcher = |pattern| {
        let text = StringMatcher { match_pattern: Some(pattern), ..StringMatcher::default() };
        Can::UrlPath(PathMatcher { rule: Some(path_matcher::Rule::Path(text)) })
    };
    patterns.into_iter().map(matcher).collect()
}

fn anything() -> Policy {
    Policy { permissions: vec![all_of(Vec::new())], ..Policy::default() }
}

fn nobody() -> Principal {
    principal(Is::NotId(Box::new(principal(Is::Any(true)))))
}

fn principal(is: Is) -> Principal {
    Principal { identifier: Some(is) }
}

fn permission(can: Can) -> Permission {
    Permission { rule: Some(can) }
}

/// All of these; without any, anything.
fn all_of(mut rules: Vec<Permission>) -> Permission {
    match rules.len() {
        0 => permission(Can::Any(true)),
        1 => rules.remove(0),
        _ => permission(Can::AndRules(Set { rules })),
    }
}

fn any_of(rules: impl Iterator<Item = Can>) -> Permission {
    permission(Can::OrRules(Set { rules: rules.map(permission).collect() }))
}
