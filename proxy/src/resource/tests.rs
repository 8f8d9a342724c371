use prost::Message;
use serde_json::json;
use weft_xds::{
    core::{SocketAddress, TransportSocket, transport_socket},
    http_connection_manager::{HttpConnectionManager, Rds, http_connection_manager},
    listener::{ApiListener, Filter, FilterChain, FilterChainMatch, Listener as ListenerMessage, filter},
    route::{
        Route as RouteMessage, RouteAction, RouteConfiguration, RouteMatch, VirtualHost, route, route_action,
        route_match,
    },
    tcp_proxy::{TcpProxy, tcp_proxy},
    tls::DownstreamTlsContext,
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

/// The same chain for opaque bytes, and for all ports that no other chain names if `port` is 0.
fn opaque_chain(port: u32, mtls: Option<bool>) -> FilterChain {
    let specifier = tcp_proxy::ClusterSpecifier::Cluster("inbound".into());
    let proxy = TcpProxy { cluster_specifier: Some(specifier), ..Default::default() };
    let config = filter::ConfigType::TypedConfig(packed::pack(&proxy));
    FilterChain {
        filters: vec![Filter { config_type: Some(config), ..Default::default() }],
        filter_chain_match: (port > 0)
            .then(|| FilterChainMatch { destination_port: Some(port), ..Default::default() }),
        ..chain(port, mtls)
    }
}

fn inbound_of(chains: Vec<FilterChain>) -> Result<Arc<Ports>, String> {
    let message = ListenerMessage { filter_chains: chains, ..Default::default() };
    match decode(Kind::Listener, "inbound", &message.encode_to_vec().into())? {
        Resource::Listener(Listener::Inbound(ports)) => Ok(ports),
        other => panic!("{other:?}"),
    }
}

fn service_of(routes: Option<&str>, opaque: Option<FilterChain>) -> Result<ServiceSpec, String> {
    let manager = |routes: &str| {
        let rds = Rds { route_config_name: routes.into(), ..Default::default() };
        HttpConnectionManager {
            route_specifier: Some(http_connection_manager::RouteSpecifier::Rds(rds)),
            ..Default::default()
        }
    };
    let api_listener =
        routes.map(|routes| ApiListener { api_listener: Some(packed::pack(&manager(routes))) });
    let message = ListenerMessage { api_listener, default_filter_chain: opaque, ..Default::default() };
    match decoded(Kind::Listener, &message)? {
        Resource::Listener(Listener::Service(service)) => Ok(service),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_service_speaks_http_or_opaque_bytes_or_what_the_first_bytes_say() {
    let spec = |routes: Option<&str>, opaque: Option<&str>| ServiceSpec {
        routes: routes.map(Arc::from),
        opaque: opaque.map(OpaqueSpec::for_tests),
        ..ServiceSpec::default()
    };
    let opaque = || Some(opaque_chain(0, None));
    assert_eq!(service_of(Some("default/api:80"), None), Ok(spec(Some("default/api:80"), None)));
    assert_eq!(service_of(None, opaque()), Ok(spec(None, Some("inbound"))));
    assert_eq!(
        service_of(Some("default/api:80"), opaque()),
        Ok(spec(Some("default/api:80"), Some("inbound")))
    );
}

/// A chain of the route `name` for TLS that calls one of `names`, with these clusters.
fn named_chain(name: &str, names: &[&str], clusters: &[(&str, u32)]) -> FilterChain {
    use tcp_proxy::{ClusterSpecifier, WeightedCluster, weighted_cluster::ClusterWeight};
    let clusters =
        clusters.iter().map(|(name, weight)| ClusterWeight { name: (*name).into(), weight: *weight });
    let proxy = TcpProxy {
        stat_prefix: "default/shop:443".into(),
        cluster_specifier: Some(ClusterSpecifier::WeightedClusters(WeightedCluster {
            clusters: clusters.collect(),
        })),
    };
    let config = filter::ConfigType::TypedConfig(packed::pack(&proxy));
    let server_names = names.iter().map(|name| (*name).to_owned()).collect();
    FilterChain {
        name: name.into(),
        filter_chain_match: Some(FilterChainMatch {
            server_names,
            transport_protocol: "tls".into(),
            ..Default::default()
        }),
        filters: vec![Filter { config_type: Some(config), ..Default::default() }],
        ..Default::default()
    }
}

fn named_service_of(chains: Vec<FilterChain>) -> Result<ServiceSpec, String> {
    let message = ListenerMessage { filter_chains: chains, ..Default::default() };
    match decoded(Kind::Listener, &message)? {
        Resource::Listener(Listener::Service(service)) => Ok(service),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_service_takes_tls_by_the_name_that_is_called_and_shares_it_by_weight() {
    let clusters = [("default/a:443", 9), ("default/b:443", 1)];
    let chains = vec![
        named_chain("default/shop/tls/0", &["shop.example", "*.shop.example"], &clusters),
        named_chain("default/rest/tls/0", &["*.example"], &clusters[1..]),
    ];
    let service = named_service_of(chains).unwrap();
    assert!(service.routes.is_none() && service.opaque.is_none());
    let found = service.tls.find("a.shop.example").unwrap();
    assert_eq!((&*found.name, found.route.as_deref()), ("default/shop:443", Some("default/shop/tls/0")));
    assert_eq!(found.clusters, [(9, "default/a:443".into()), (1, "default/b:443".into())]);
    assert_eq!(service.tls.find("x.example").unwrap().route.as_deref(), Some("default/rest/tls/0"));
    assert_eq!(service.clusters().count(), 2 + 2 + 1, "all of them are asked for");
}

#[test]
fn chains_by_name_that_could_not_be_told_apart_are_refused() {
    let one = || named_chain("a", &["a.example"], &[("c", 1)]);
    let twice = named_service_of(vec![one(), named_chain("b", &["b.example", "A.example"], &[("c", 1)])]);
    assert!(twice.clone().unwrap_err().contains("filter_chains[1]"), "{twice:?}");
    assert!(twice.unwrap_err().contains("`A.example` stands there twice"));
    let none = named_service_of(vec![named_chain("a", &[], &[("c", 1)])]).unwrap_err();
    assert!(none.contains("server_names is needed"), "{none}");
    let nobody = named_service_of(vec![named_chain("a", &["a"], &[])]).unwrap_err();
    assert!(nobody.contains("weighted_clusters is needed"), "{nobody}");
    let mut other = one();
    other.filter_chain_match.as_mut().unwrap().application_protocols.push("h2".into());
    assert!(named_service_of(vec![other]).unwrap_err().contains("by server_names, and by nothing else"));
}

#[test]
fn a_service_s_listener_that_says_nothing_is_refused() {
    assert!(service_of(None, None).unwrap_err().contains("default_filter_chain or filter_chains are needed"));
    assert!(service_of(Some(""), None).unwrap_err().contains("route_config_name"));
    assert!(service_of(None, Some(chain(1, None))).unwrap_err().contains("tcp_proxy"));
    assert!(service_of(None, Some(FilterChain::default())).unwrap_err().contains("default_filter_chain"));
}

#[test]
fn a_service_s_listener_is_never_taken_for_how_the_workload_is_entered() {
    let message = ListenerMessage { filter_chains: vec![chain(1, Some(true))], ..Default::default() };
    assert!(decoded(Kind::Listener, &message).is_err());
}

#[test]
fn a_port_is_strict_unless_a_second_chain_takes_plaintext() {
    let ports = inbound_of(vec![chain(1, Some(true)), chain(2, Some(true)), chain(2, None)]).unwrap();
    let http = |port| ports.get(port).unwrap().http.as_ref().unwrap();
    assert!(!http(1).plaintext && http(2).plaintext);
    assert!(ports.get(1).unwrap().opaque.is_none() && ports.get(3).is_none());
}

#[test]
fn a_port_without_a_chain_of_its_own_follows_the_one_for_all_others() {
    let all = [Some(true), None].map(|mtls| FilterChain { filter_chain_match: None, ..chain(1, mtls) });
    let opaque = [opaque_chain(0, Some(true)), opaque_chain(0, None), opaque_chain(5432, Some(true))];
    let ports = inbound_of(all.into_iter().chain(opaque).collect()).unwrap();
    let others = ports.get(8080).unwrap();
    assert!(others.http.as_ref().unwrap().plaintext && others.opaque.as_ref().unwrap().plaintext);
    let database = ports.get(5432).unwrap();
    assert_eq!((&database.http, database.opaque.as_ref().unwrap().plaintext), (&None, false));
}

#[test]
fn probes_stand_on_the_chain_with_mtls() {
    let probes = |paths: &[&str]| FilterChain {
        metadata: Some(weft(&json!({"probes": paths}))),
        ..chain(1, Some(true))
    };
    let ports = inbound_of(vec![probes(&["/healthz"])]).unwrap();
    assert_eq!(ports.get(1).unwrap().http.as_ref().unwrap().probes, ["/healthz"]);
    assert!(inbound_of(vec![probes(&["healthz"])]).unwrap_err().contains("healthz"));
}

#[test]
fn rate_limits_stand_on_the_chain_with_mtls_and_must_be_possible() {
    let limits = |requests: u32| FilterChain {
        metadata: Some(weft(
            &json!({"rateLimits": [{"policy": "shop/calm", "spec": {"limits": [{"requests": requests}]}}]}),
        )),
        ..chain(1, Some(true))
    };
    let ports = inbound_of(vec![limits(1), chain(1, None)]).unwrap();
    assert!(ports.get(1).unwrap().rate_limits().is_some());
    assert!(inbound_of(vec![chain(1, Some(true))]).unwrap().get(1).unwrap().rate_limits().is_none());
    let error = inbound_of(vec![limits(0)]).unwrap_err();
    assert!(error.contains("rateLimits `shop/calm`: limits[0].requests"), "{error}");
}

/// `chain` with an RBAC filter that denies everything.
fn guarded(chain: FilterChain) -> FilterChain {
    use weft_xds::{network_rbac, packed::pack, rbac::Rbac};
    let rules = Some(Rbac { action: weft_xds::rbac::rbac::Action::Allow.into(), ..Rbac::default() });
    let rbac = network_rbac::Rbac { rules, ..network_rbac::Rbac::default() };
    let filter = weft_xds::listener::Filter {
        name: "rbac".to_owned(),
        config_type: Some(weft_xds::listener::filter::ConfigType::TypedConfig(pack(&rbac))),
    };
    FilterChain { filters: [filter].into_iter().chain(chain.filters).collect(), ..chain }
}

#[test]
fn whoever_is_denied_over_mtls_must_be_so_in_plaintext_and_filters_stand_where_they_are_understood() {
    let mtls = || opaque_chain(1, Some(true));
    let ports = inbound_of(vec![guarded(mtls()), guarded(opaque_chain(1, None))]).unwrap();
    assert!(ports.get(1).unwrap().authorization_of_bytes().is_some());
    let error = inbound_of(vec![guarded(mtls()), opaque_chain(1, None)]).unwrap_err();
    assert!(error.contains("port 1") && error.contains("same RBAC filters"), "{error}");
    // Before an HttpConnectionManager it would be asked once for a connection, and not for each request.
    assert!(inbound_of(vec![guarded(chain(1, Some(true)))]).unwrap_err().contains("only filter"));
    assert!(service_of(None, Some(guarded(opaque_chain(1, None)))).is_err(), "a service has no such filter");
}

#[test]
fn a_port_without_mtls_is_refused_and_so_is_tls_without_identity() {
    assert!(inbound_of(vec![chain(1, None)]).unwrap_err().contains("port 1"));
    assert!(inbound_of(vec![chain(1, Some(false))]).unwrap_err().contains("require_client_certificate"));
    assert!(inbound_of(vec![opaque_chain(1, None)]).unwrap_err().contains("port 1"));
    assert!(inbound_of(vec![chain(1, Some(true)), opaque_chain(1, None)]).is_err(), "each form for itself");
    assert!(inbound_of(vec![chain(70_000, Some(true))]).unwrap_err().contains("70000"));
    assert!(inbound_of(vec![FilterChain::default()]).unwrap_err().contains("a filter is needed"));
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
    let ports: Vec<_> = endpoints.ready.iter().map(|endpoint| endpoint.address.port()).collect();
    assert_eq!(ports, [1, 4]);
    assert_eq!(endpoints.ready[0].identity.as_deref(), Some(identity));
    assert_eq!(endpoints.ready[1].identity, None);
}

#[test]
fn endpoints_are_where_their_locality_is_and_those_that_may_come_back_are_counted_there() {
    use HealthStatus::{Draining, Healthy, Unhealthy};
    use weft_xds::{core::Locality, endpoint::LocalityLbEndpoints};
    let locality = |zone: Option<&str>, endpoints: &[(u32, HealthStatus)]| LocalityLbEndpoints {
        locality: zone.map(|zone| Locality { zone: zone.into(), ..Locality::default() }),
        lb_endpoints: endpoints.iter().map(|(port, status)| lb_endpoint(*port, *status, None)).collect(),
        ..LocalityLbEndpoints::default()
    };
    let endpoints = vec![
        locality(Some("a"), &[(1, Healthy), (2, Unhealthy), (3, Unhealthy), (4, Draining)]),
        locality(Some("b"), &[(5, Healthy)]),
        locality(None, &[(6, Healthy), (7, Unhealthy)]),
    ];
    let message = ClusterLoadAssignment { endpoints, ..Default::default() };
    let Ok(Resource::Endpoints(spec)) = decoded(Kind::Endpoints, &message) else { panic!("no endpoints") };
    let ready: Vec<_> = spec.ready.iter().map(|at| (at.address.port(), at.zone.as_ref())).collect();
    assert_eq!(ready, [(1, "a"), (5, "b"), (6, "")]);
    assert_eq!(spec.unready, BTreeMap::from([("".into(), 1), ("a".into(), 2)]));
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
        ..Default::default()
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
        (RouteMessage { action: None, ..good() }, "direct_response is needed"),
    ];
    for (route, reason) in bad {
        let name = route.name.clone();
        let error = routes_of(vec![good(), route]).unwrap_err();
        assert!(error.contains("routes[1]") && error.contains(&name) && error.contains(reason), "{error}");
    }
}

#[test]
fn a_route_carries_the_faults_that_are_injected_and_they_must_be_possible() {
    let faults = |spec| RouteMessage {
        metadata: Some(weft(&json!({"faultInjection": {"policy": "shop/storm", "spec": spec}}))),
        ..route_to("a", route_match::PathSpecifier::Prefix("/".into()), None)
    };
    let abort = |percent: f64| json!({"abort": {"percent": percent, "httpStatus": 503}});
    let Ok(Resource::Routes(routes)) = routes_of(vec![faults(abort(0.5))]) else { panic!("no routes") };
    let Action::Forward { faults: Some(found), .. } = &routes.0[0].action else { panic!("no faults") };
    assert_eq!(&*found.policy, "shop/storm");
    let error = routes_of(vec![faults(abort(100.5))]).unwrap_err();
    assert!(error.contains("faultInjection `shop/storm`: abort.percent is 100.5"), "{error}");
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
