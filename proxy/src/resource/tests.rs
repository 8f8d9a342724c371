use prost::Message;
use serde_json::json;
use weft_xds::{
    core::{SocketAddress, TransportSocket, transport_socket},
    http_connection_manager::Rds,
    listener::{ApiListener, Filter, FilterChainMatch},
    route::{
        Route as RouteMessage, RouteAction, RouteConfiguration, RouteMatch, VirtualHost, route, route_action,
        route_match,
    },
};

use super::*;

fn decoded(kind: Kind, message: &impl Message) -> Result<Resource, String> {
    decode(kind, "default/api:80", &message.encode_to_vec().into())
}

fn weft(value: &serde_json::Value) -> weft_xds::core::Metadata {
    metadata::write(value).unwrap()
}

fn chain(port: u32, mtls: Option<bool>) -> FilterChain {
    let manager = HttpConnectionManager::default();
    let config = filter::ConfigType::TypedConfig(packed::pack(&manager));
    FilterChain {
        filter_chain_match: Some(FilterChainMatch { destination_port: Some(port), ..Default::default() }),
        filters: vec![Filter { config_type: Some(config), ..Default::default() }],
        transport_socket: mtls.map(|require| {
            let tls =
                DownstreamTlsContext { require_client_certificate: Some(require), ..Default::default() };
            let config = transport_socket::ConfigType::TypedConfig(packed::pack(&tls));
            TransportSocket { name: "envoy.transport_sockets.tls".into(), config_type: Some(config) }
        }),
        ..Default::default()
    }
}

fn inbound_of(chains: Vec<FilterChain>) -> Result<Resource, String> {
    decoded(Kind::Listener, &ListenerMessage { filter_chains: chains, ..Default::default() })
}

#[test]
fn a_service_s_listener_names_its_routes() {
    let rds = Rds { route_config_name: "default/api:80".into(), ..Default::default() };
    let manager = HttpConnectionManager {
        route_specifier: Some(http_connection_manager::RouteSpecifier::Rds(rds)),
        ..Default::default()
    };
    let api_listener = Some(ApiListener { api_listener: Some(packed::pack(&manager)) });
    let listener = decoded(Kind::Listener, &ListenerMessage { api_listener, ..Default::default() });
    assert!(
        matches!(listener, Ok(Resource::Listener(Listener::Service(name))) if &*name == "default/api:80")
    );
}

#[test]
fn a_port_is_strict_unless_a_second_chain_takes_plaintext() {
    let Ok(Resource::Listener(Listener::Inbound(ports))) =
        inbound_of(vec![chain(1, Some(true)), chain(2, Some(true)), chain(2, None)])
    else {
        panic!("no inbound listener")
    };
    assert!(!ports[&1].plaintext);
    assert!(ports[&2].plaintext);
}

#[test]
fn a_port_without_mtls_is_refused_and_so_is_tls_without_identity() {
    assert!(inbound_of(vec![chain(1, None)]).unwrap_err().contains("port 1"));
    assert!(inbound_of(vec![chain(1, Some(false))]).unwrap_err().contains("require_client_certificate"));
    assert!(inbound_of(vec![FilterChain::default()]).unwrap_err().contains("destination_port"));
}

#[test]
fn an_impossible_policy_is_refused_with_its_field() {
    let breaker = json!({"circuitBreaker": {"endpoint": {"open": {"base": "2m", "max": "1m"}}}});
    let error =
        decoded(Kind::Cluster, &ClusterMessage { metadata: Some(weft(&breaker)), ..Default::default() })
            .unwrap_err();
    assert!(error.contains("circuitBreaker.endpoint.open.base"), "{error}");
    let header =
        json!({"circuitBreaker": {"target": {}, "fallback": {"headers": [{"name": "a b", "value": "c"}]}}});
    let error =
        decoded(Kind::Cluster, &ClusterMessage { metadata: Some(weft(&header)), ..Default::default() })
            .unwrap_err();
    assert!(error.contains("a b"), "{error}");
}

#[test]
fn limits_of_another_control_plane_count() {
    use weft_xds::cluster::{CircuitBreakers, circuit_breakers::Thresholds};
    let thresholds = vec![Thresholds { max_requests: Some(7), ..Default::default() }];
    let message =
        ClusterMessage { circuit_breakers: Some(CircuitBreakers { thresholds }), ..Default::default() };
    let Ok(Resource::Cluster(cluster)) = decoded(Kind::Cluster, &message) else { panic!("no cluster") };
    assert_eq!(cluster.guard.policy.limits, Limits { max_requests: 7, ..Limits::default() });
}

fn lb_endpoint(port: u32, health: HealthStatus, identity: Option<&str>) -> LbEndpoint {
    let socket = SocketAddress {
        address: "127.0.0.1".into(),
        port_specifier: Some(socket_address::PortSpecifier::PortValue(port)),
        ..Default::default()
    };
    let address = Address { address: Some(address::Address::SocketAddress(socket)) };
    let endpoint = weft_xds::endpoint::Endpoint { address: Some(address), ..Default::default() };
    LbEndpoint {
        health_status: health.into(),
        metadata: identity.map(|identity| weft(&json!({"identity": identity}))),
        load_balancing_weight: None,
        host_identifier: Some(lb_endpoint::HostIdentifier::Endpoint(endpoint)),
    }
}

fn endpoints_of(list: Vec<LbEndpoint>) -> Result<Resource, String> {
    let locality = weft_xds::endpoint::LocalityLbEndpoints { lb_endpoints: list, ..Default::default() };
    decoded(Kind::Endpoints, &ClusterLoadAssignment { endpoints: vec![locality], ..Default::default() })
}

#[test]
fn only_endpoints_that_take_new_requests_count() {
    let identity = "spiffe://cluster.local/ns/default/sa/api";
    let Ok(Resource::Endpoints(endpoints)) = endpoints_of(vec![
        lb_endpoint(1, HealthStatus::Healthy, Some(identity)),
        lb_endpoint(2, HealthStatus::Draining, None),
        lb_endpoint(3, HealthStatus::Unhealthy, None),
        lb_endpoint(4, HealthStatus::Unknown, None),
    ]) else {
        panic!("no endpoints")
    };
    let ports: Vec<_> = endpoints.iter().map(|endpoint| endpoint.address.port()).collect();
    assert_eq!(ports, [1, 4]);
    assert_eq!(endpoints[0].identity.as_deref(), Some(identity));
    assert_eq!(endpoints[1].identity, None);
}

#[test]
fn an_identity_that_is_none_is_no_permission_for_plaintext() {
    let error = endpoints_of(vec![lb_endpoint(1, HealthStatus::Healthy, Some("spiffe://cluster.local/api"))])
        .unwrap_err();
    assert!(error.contains("127.0.0.1:1"), "{error}");
    assert!(endpoints_of(vec![lb_endpoint(70_000, HealthStatus::Healthy, None)]).is_err());
}

fn route_to(name: &str, path: route_match::PathSpecifier, retry: Option<serde_json::Value>) -> RouteMessage {
    let action = RouteAction {
        cluster_specifier: Some(route_action::ClusterSpecifier::Cluster("default/api:80".into())),
        ..Default::default()
    };
    RouteMessage {
        name: name.into(),
        r#match: Some(RouteMatch { path_specifier: Some(path), ..Default::default() }),
        metadata: retry.map(|retry| weft(&json!({"retry": retry}))),
        action: Some(route::Action::Route(action)),
    }
}

fn routes_of(routes: Vec<RouteMessage>) -> Result<Resource, String> {
    let host = VirtualHost { domains: vec!["*".into()], routes, ..Default::default() };
    decoded(Kind::Routes, &RouteConfiguration { virtual_hosts: vec![host], ..Default::default() })
}

#[test]
fn routes_keep_their_order_and_their_retry_policy() {
    let retry = json!({"http": ["500-599"], "attempts": 2, "budget": {"percent": 60}});
    let Ok(Resource::Routes(routes)) = routes_of(vec![
        route_to("b", route_match::PathSpecifier::Path("/x".into()), Some(retry)),
        route_to("a", route_match::PathSpecifier::Prefix("/".into()), None),
    ]) else {
        panic!("no routes")
    };
    let names: Vec<_> = routes.0.iter().map(|route| &*route.name).collect();
    assert_eq!(names, ["b", "a"]);
    let Action::Forward { retry: Some(retry), .. } = &routes.0[0].action else { panic!("no retry") };
    assert_eq!((retry.attempts, retry.budget.percent), (2, 60));
    assert_eq!(routes.clusters().count(), 2);
}

#[test]
fn one_bad_route_refuses_the_resource_and_is_named() {
    let good = || route_to("good", route_match::PathSpecifier::Prefix("/".into()), None);
    let regex = weft_xds::matcher::RegexMatcher { regex: "(".into() };
    let bad = [
        (route_to("regex", route_match::PathSpecifier::SafeRegex(regex), None), "safe_regex"),
        (
            route_to(
                "attempts",
                route_match::PathSpecifier::Prefix("/".into()),
                Some(json!({"attempts": 6})),
            ),
            "retry.attempts",
        ),
        (RouteMessage { r#match: None, ..good() }, "match is needed"),
        (RouteMessage { action: None, ..good() }, "route or direct_response"),
    ];
    for (route, reason) in bad {
        let name = route.name.clone();
        let error = routes_of(vec![good(), route]).unwrap_err();
        assert!(error.contains("routes[1]") && error.contains(&name) && error.contains(reason), "{error}");
    }
}

#[test]
fn garbage_is_refused_and_never_a_panic() {
    for kind in Kind::ALL {
        for length in 0..64_u8 {
            let bytes: Vec<u8> = (0..length).map(|n| n.wrapping_mul(37).wrapping_add(length)).collect();
            let _ = decode(kind, "x", &bytes.into());
        }
        assert!(decode(kind, "x", &Bytes::from_static(&[0xff; 9])).is_err(), "{kind:?}");
    }
}

#[test]
fn a_route_carries_a_breaker_of_its_own() {
    let breaker = |breaker| RouteMessage {
        metadata: Some(weft(&json!({"circuitBreaker": breaker}))),
        ..route_to("a", route_match::PathSpecifier::Prefix("/".into()), None)
    };
    let Ok(Resource::Routes(routes)) = routes_of(vec![breaker(json!({"target": {"consecutive": 2}}))]) else {
        panic!("no routes")
    };
    let Action::Forward { guard: Some(guard), .. } = &routes.0[0].action else { panic!("no guard") };
    assert_eq!(guard.policy.target.map(|target| target.consecutive), Some(2));
    let error = routes_of(vec![breaker(json!({"target": {"failurePercent": 101}}))]).unwrap_err();
    assert!(error.contains("circuitBreaker.target.failurePercent"), "{error}");
}
