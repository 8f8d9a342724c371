//! Where the requests of a service's port go: every match of every rule, in the order of precedence.

mod precedence;
mod retries;

use std::collections::BTreeSet;

use serde::Serialize;
use weft_api::{
    circuit_breaker::CircuitBreaker,
    gateway::{BackendRef, Match, PathMatchKind, Rule, ValueMatch, ValueMatchKind},
    object::Metadata,
    retry::Retry,
};
use weft_xds::{
    Kind,
    matcher::{RegexMatcher, StringMatcher, string_matcher::MatchPattern},
    metadata,
    route::{
        DirectResponseAction, HeaderMatcher, QueryParameterMatcher, Route, RouteAction, RouteConfiguration,
        RouteMatch, VirtualHost, WeightedCluster, header_matcher::HeaderMatchSpecifier,
        query_parameter_matcher::QueryParameterMatchSpecifier, route::Action, route_action::ClusterSpecifier,
        route_match::PathSpecifier, weighted_cluster::ClusterWeight,
    },
};

use super::Draft;
use crate::{
    resolve::{PortView, RuleView},
    snapshot,
    store::ObjectName,
};
use precedence::Candidate;

/// Name of the only route of a port to which no HTTPRoute is attached.
const DEFAULT_ROUTE: &str = "default";

/// What the fields of a route that others know cannot say.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
struct Extra<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    circuit_breaker: Option<&'a CircuitBreaker>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry: Option<&'a Retry>,
}

/// The routes of a service's port.
pub(super) fn of_service(service: &ObjectName, port: &PortView) -> Draft {
    let name = snapshot::port_name(service, port.port.port);
    if port.routes.is_empty() {
        return all_to_cluster(name, port.retry.as_ref().map(|policy| &policy.spec.settings));
    }
    let routes = precedence::sorted(&port.routes);
    draft(name, routes.iter().map(|candidate| candidate_route(candidate, port)).collect())
}

/// Every request goes to the cluster of the same name.
pub(super) fn all_to_cluster(name: String, retry: Option<&Retry>) -> Draft {
    let action = forward(ClusterSpecifier::Cluster(name.clone()), None, retry);
    let extra = Extra { circuit_breaker: None, retry };
    let route = route(DEFAULT_ROUTE.to_owned(), matcher(&Match::default()), action, extra);
    draft(name, vec![route])
}

fn draft(name: String, routes: Vec<Route>) -> Draft {
    let host = VirtualHost {
        name: name.clone(),
        // The address has been matched already: any host will do (GEP-1426).
        domains: vec!["*".to_owned()],
        routes,
        ..VirtualHost::default()
    };
    let configuration =
        RouteConfiguration { name: name.clone(), virtual_hosts: vec![host], ..RouteConfiguration::default() };
    Draft::new(Kind::Routes, name, &configuration)
}

fn candidate_route(candidate: &Candidate, port: &PortView) -> Route {
    let object = &candidate.view.route;
    let RuleView { circuit_breaker, retry } = candidate.policies;
    let name = format!("{}/rule/{}", ObjectName::of(&object.metadata), candidate.rule_index);
    // A policy of the route wins over that of the service, and the route's own word over both.
    let attached = retry.as_ref().or(port.retry.as_ref());
    let retry = retries::of_rule(candidate.rule, attached.map(|policy| &policy.spec.settings));
    let action = match backends(candidate.rule, &object.metadata) {
        Some(clusters) => {
            let timeout = candidate.rule.timeouts.and_then(|timeouts| timeouts.request);
            forward(clusters, timeout, retry.as_ref())
        }
        None => Action::DirectResponse(DirectResponseAction { status: 500, body: None }),
    };
    // The service's own breaker stays with its cluster: both apply.
    let circuit_breaker = circuit_breaker.as_ref().map(|policy| &policy.spec.settings);
    route(name, matcher(&candidate.one), action, Extra { circuit_breaker, retry: retry.as_ref() })
}

fn route(name: String, matcher: RouteMatch, action: Action, extra: Extra) -> Route {
    let says_something = extra.circuit_breaker.is_some() || extra.retry.is_some();
    Route {
        name,
        r#match: Some(matcher),
        action: Some(action),
        metadata: says_something.then(|| {
            metadata::write(&extra).expect("a policy is an object, and its whole numbers have 32 bits")
        }),
    }
}

fn forward(clusters: ClusterSpecifier, timeout: Option<weft_api::Duration>, retry: Option<&Retry>) -> Action {
    Action::Route(RouteAction {
        cluster_specifier: Some(clusters),
        // Absent would mean 15 s to other clients; 0 s is none to all of them.
        timeout: Some(timeout.unwrap_or_default().get().into()),
        retry_policy: retry.map(retries::standard),
    })
}

/// The clusters that share the requests of a rule; `None` if nobody takes any.
fn backends(rule: &Rule, route: &Metadata) -> Option<ClusterSpecifier> {
    let mut sharing: Vec<_> = rule.backend_refs.iter().filter(|backend| backend.weight > 0).collect();
    if let [only] = sharing[..] {
        return Some(ClusterSpecifier::Cluster(cluster(only, route)));
    }
    let weights = sharing
        .drain(..)
        .map(|backend| ClusterWeight { name: cluster(backend, route), weight: Some(backend.weight) });
    let clusters: Vec<_> = weights.collect();
    (!clusters.is_empty()).then_some(ClusterSpecifier::WeightedClusters(WeightedCluster { clusters }))
}

/// Name of a backend's cluster. One that cannot exist is named by port 0, which no service has: it is answered as
/// removed, and its share of the requests fails, as the Gateway API demands.
fn cluster(backend: &BackendRef, route: &Metadata) -> String {
    let namespace = backend.namespace.as_ref().unwrap_or(&route.namespace);
    let service = backend.group.is_empty() && backend.kind == "Service";
    let port = backend.port.filter(|_| service).unwrap_or(0);
    snapshot::port_name(&ObjectName::new(namespace, &backend.name), port)
}

fn matcher(one: &Match) -> RouteMatch {
    let value = one.path.value.clone();
    let path = match one.path.kind {
        PathMatchKind::Exact => PathSpecifier::Path(value),
        PathMatchKind::RegularExpression => PathSpecifier::SafeRegex(RegexMatcher { regex: value }),
        // A trailing slash of a prefix is passed over; the prefix `/` is every path.
        PathMatchKind::PathPrefix => match value.trim_end_matches('/') {
            "" => PathSpecifier::Prefix("/".to_owned()),
            prefix => PathSpecifier::PathSeparatedPrefix(prefix.to_owned()),
        },
    };
    let method = one.method.map(|method| header(":method", MatchPattern::Exact(method.as_str().to_owned())));
    let mut seen = BTreeSet::new();
    // Of several entries for one name only the first counts.
    let headers = one.headers.iter().filter(|header| seen.insert(header.name.to_ascii_lowercase()));
    let headers = headers.map(|one| header(&one.name.to_ascii_lowercase(), pattern(one)));
    let mut seen = BTreeSet::new();
    let parameters = one.query_params.iter().filter(|parameter| seen.insert(&parameter.name));
    let parameters = parameters.map(|parameter| QueryParameterMatcher {
        name: parameter.name.clone(),
        query_parameter_match_specifier: Some(QueryParameterMatchSpecifier::StringMatch(text(pattern(
            parameter,
        )))),
    });
    RouteMatch {
        path_specifier: Some(path),
        headers: method.into_iter().chain(headers).collect(),
        query_parameters: parameters.collect(),
        ..RouteMatch::default()
    }
}

fn header(name: &str, pattern: MatchPattern) -> HeaderMatcher {
    HeaderMatcher {
        name: name.to_owned(),
        header_match_specifier: Some(HeaderMatchSpecifier::StringMatch(text(pattern))),
        ..HeaderMatcher::default()
    }
}

fn pattern(one: &ValueMatch) -> MatchPattern {
    match one.kind {
        ValueMatchKind::Exact => MatchPattern::Exact(one.value.clone()),
        ValueMatchKind::RegularExpression => {
            MatchPattern::SafeRegex(RegexMatcher { regex: one.value.clone() })
        }
    }
}

fn text(pattern: MatchPattern) -> StringMatcher {
    StringMatcher { match_pattern: Some(pattern), ..StringMatcher::default() }
}
