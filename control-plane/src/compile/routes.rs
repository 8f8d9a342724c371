//! Where the requests of a service's port go: every match of every rule, in the order of precedence.

mod cors;
mod faults;
mod filters;
mod matches;
mod precedence;
mod retries;
mod sessions;

use std::collections::BTreeMap;

use aws_lc_rs::hmac;
use serde::Serialize;
use weft_api::{
    Object,
    circuit_breaker::CircuitBreaker,
    fault_injection::FaultInjection,
    gateway::{BackendRef, Filter, Match, Rule},
    object::Metadata as ObjectMetadata,
    policy::Policy,
    retry::Retry,
};
use weft_xds::{
    Kind,
    core::Metadata,
    metadata,
    protobuf::Any,
    route::{
        DirectResponseAction, Route, RouteAction, RouteConfiguration, VirtualHost, WeightedCluster,
        route::Action,
        route_action::{ClusterNotFoundResponseCode, ClusterSpecifier, HashPolicy},
        weighted_cluster::ClusterWeight,
    },
};

use super::{Draft, balancing};
use crate::{
    resolve::{Policies, PortView, RouteView, Routes},
    snapshot,
    store::ObjectName,
};
use filters::Headers;
use matches::Condition;
use precedence::Candidate;
use sessions::Sessions;

/// Name of the only route of a port to which none is attached.
const DEFAULT_ROUTE: &str = "default";

/// What the fields of a route that others know cannot say.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Extra<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    circuit_breaker: Option<&'a CircuitBreaker>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry: Option<&'a Retry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fault_injection: Option<&'a Faults<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_persistence: Option<Sessions<'a>>,
}

/// A FaultInjectionPolicy under its name.
#[derive(Serialize)]
struct Faults<'a> {
    policy: String,
    spec: &'a FaultInjection,
}

/// The routes of a service's port, under `name`, for those who go by `routes`. Keys of sessions are made from `secret`.
pub(super) fn of_service(name: String, port: &PortView, routes: &Routes, secret: &hmac::Key) -> Draft {
    match routes {
        Routes::Http(views) if views.is_empty() => all_to_cluster(name, &port.policies, hash_policies(port)),
        // Nobody asks for them: no request is looked for.
        Routes::Tls(_) | Routes::Tcp(_) => all_to_cluster(name, &port.policies, Vec::new()),
        Routes::Http(views) => draft(name, in_order(views, port, secret)),
        Routes::Grpc(views) => draft(name, in_order(views, port, secret)),
    }
}

fn in_order<M: Condition>(views: &[RouteView<M>], port: &PortView, secret: &hmac::Key) -> Vec<Route> {
    precedence::sorted(views).iter().map(|candidate| candidate_route(candidate, port, secret)).collect()
}

/// What requests to `port` are hashed by, for those clients who do not look for it at the cluster.
fn hash_policies(port: &PortView) -> Vec<HashPolicy> {
    port.load_balancer().map(balancing::hash_policies).unwrap_or_default()
}

/// Every request goes to the cluster of the same name, by the hash that it asks for, if it does.
pub(super) fn all_to_cluster(name: String, policies: &Policies, hash_policy: Vec<HashPolicy>) -> Draft {
    let retry = policies.retry.as_ref().map(|policy| &policy.spec.settings);
    let faults = policies.fault_injection.as_deref().map(Faults::of);
    let mut action = forward(ClusterSpecifier::Cluster(name.clone()), None, retry);
    action.hash_policy = hash_policy;
    let route = Route {
        name: DEFAULT_ROUTE.to_owned(),
        r#match: Some(Match::default().matcher()),
        action: Some(Action::Route(action)),
        metadata: Extra { retry, fault_injection: faults.as_ref(), ..Extra::default() }.metadata(),
        typed_per_filter_config: per_filter(&[], faults.as_ref()),
        ..Route::default()
    };
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

fn candidate_route<M: Condition>(candidate: &Candidate<'_, M>, port: &PortView, secret: &hmac::Key) -> Route {
    let object = &candidate.view.route;
    let Policies { circuit_breaker, retry, fault_injection } = candidate.policies;
    let name = format!("{}/{}/{}", ObjectName::of(&object.metadata), M::STEP, candidate.rule_index);
    // A policy of the route wins over that of the service, and the route's own word over both.
    let attached = retry.as_ref().or(port.policies.retry.as_ref());
    let retry = retries::of_rule(candidate.rule, attached.map(|policy| &policy.spec.settings));
    // The service's own breaker stays with its cluster: both apply.
    let circuit_breaker = circuit_breaker.as_ref().map(|policy| &policy.spec.settings);
    let action = action(candidate, port, retry.as_ref());
    let faults = fault_injection.as_deref().or(port.policies.fault_injection.as_deref());
    // What a route answers itself is nobody's fault.
    let faults = faults.filter(|_| matches!(action, Action::Route(_))).map(Faults::of);
    let Headers { request_add, request_remove, response_add, response_remove } =
        filters::headers(&candidate.rule.filters);
    let extra = Extra {
        circuit_breaker,
        retry: retry.as_ref(),
        fault_injection: faults.as_ref(),
        session_persistence: Sessions::of(candidate, secret),
    };
    Route {
        name,
        r#match: Some(candidate.one.matcher()),
        action: Some(action),
        metadata: extra.metadata(),
        request_headers_to_add: request_add,
        request_headers_to_remove: request_remove,
        response_headers_to_add: response_add,
        response_headers_to_remove: response_remove,
        typed_per_filter_config: per_filter(&candidate.rule.filters, faults.as_ref()),
    }
}

/// What is done with requests that fit the match of a rule.
fn action<M: Condition>(candidate: &Candidate<'_, M>, port: &PortView, retry: Option<&Retry>) -> Action {
    let Candidate { view, rule, one, .. } = candidate;
    let prefix = one.prefix().unwrap_or_default();
    if let Some(redirect) = filters::redirect(&rule.filters, prefix, port.port.port) {
        return Action::Redirect(redirect);
    }
    let Some(clusters) = backends(rule, &view.route.metadata) else {
        let status = match M::NOBODY {
            ClusterNotFoundResponseCode::ServiceUnavailable => 503,
            ClusterNotFoundResponseCode::NotFound => 404,
            ClusterNotFoundResponseCode::InternalServerError => 500,
        };
        return Action::DirectResponse(DirectResponseAction { status, body: None });
    };
    let timeout = rule.timeouts.and_then(|timeouts| timeouts.request);
    let mut action = forward(clusters, timeout, retry);
    action.cluster_not_found_response_code = M::NOBODY.into();
    action.hash_policy = hash_policies(port);
    filters::rewrite(&rule.filters, prefix, &mut action);
    action.request_mirror_policies =
        filters::mirrors(&rule.filters, |backend| cluster(backend, &view.route.metadata));
    Action::Route(action)
}

impl Extra<'_> {
    /// `None` if there is nothing to be said.
    fn metadata(self) -> Option<Metadata> {
        let says_something = self.circuit_breaker.is_some()
            || self.retry.is_some()
            || self.fault_injection.is_some()
            || self.session_persistence.is_some();
        says_something.then(|| {
            metadata::write(&self).expect("a policy is an object, and its whole numbers have 32 bits")
        })
    }
}

impl<'a> Faults<'a> {
    fn of(policy: &'a Object<Policy<FaultInjection>>) -> Self {
        Self { policy: ObjectName::of(&policy.metadata).to_string(), spec: &policy.spec.settings }
    }
}

/// What HTTP filters are told by a route with these `filters` and `faults`.
fn per_filter(filters: &[Filter], faults: Option<&Faults<'_>>) -> BTreeMap<String, Any> {
    cors::per_filter(filters).chain(faults.map(|faults| faults::per_filter(faults.spec))).collect()
}

fn forward(
    clusters: ClusterSpecifier,
    timeout: Option<weft_api::Duration>,
    retry: Option<&Retry>,
) -> RouteAction {
    RouteAction {
        cluster_specifier: Some(clusters),
        // Absent would mean 15 s to other clients; 0 s is none to all of them.
        timeout: Some(timeout.unwrap_or_default().get().into()),
        retry_policy: retry.map(retries::standard),
        ..RouteAction::default()
    }
}

/// The clusters that share the requests of a rule; `None` if nobody takes any.
fn backends<M>(rule: &Rule<M>, route: &ObjectMetadata) -> Option<ClusterSpecifier> {
    let sharing: Vec<_> = rule.backend_refs.iter().filter(|backend| backend.weight > 0).collect();
    match sharing[..] {
        [] => None,
        [only] if only.filters.is_empty() => Some(ClusterSpecifier::Cluster(cluster(only, route))),
        _ => {
            let clusters = sharing.into_iter().map(|backend| weighted(backend, route)).collect();
            Some(ClusterSpecifier::WeightedClusters(WeightedCluster { clusters }))
        }
    }
}

fn weighted(backend: &BackendRef, route: &ObjectMetadata) -> ClusterWeight {
    let Headers { request_add, request_remove, response_add, response_remove } =
        filters::headers(&backend.filters);
    ClusterWeight {
        name: cluster(backend, route),
        weight: Some(backend.weight),
        request_headers_to_add: request_add,
        request_headers_to_remove: request_remove,
        response_headers_to_add: response_add,
        response_headers_to_remove: response_remove,
    }
}

/// Name of a backend's cluster. One that cannot exist is named by port 0, which no service has: it is answered as
/// removed, and its share of the requests fails, as the Gateway API demands.
pub(super) fn cluster(backend: &BackendRef, route: &ObjectMetadata) -> String {
    let namespace = backend.namespace.as_ref().unwrap_or(&route.namespace);
    let service = backend.group.is_empty() && backend.kind == "Service";
    let port = backend.port.filter(|_| service).unwrap_or(0);
    snapshot::port_name(&ObjectName::new(namespace, &backend.name), port)
}
