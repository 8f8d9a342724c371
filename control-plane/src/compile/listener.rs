//! What stands behind the address of a service or of a pod: routes for requests, a cluster for other bytes.

use std::{collections::BTreeSet, sync::Arc};

use weft_api::{
    Object,
    gateway::{BackendRef, StreamRouteSpec},
};
use weft_xds::{
    Kind,
    core::{AggregatedConfigSource, ApiVersion, ConfigSource, config_source::ConfigSourceSpecifier},
    http_connection_manager::{
        HttpConnectionManager, HttpFilter, Rds,
        http_connection_manager::{RouteSpecifier, UpgradeConfig},
        http_filter,
    },
    listener::{ApiListener, Filter, FilterChain, FilterChainMatch, Listener, filter},
    packed::pack,
    router::Router,
    tcp_proxy::{
        TcpProxy,
        tcp_proxy::{ClusterSpecifier, WeightedCluster, weighted_cluster::ClusterWeight},
    },
};

use super::{Draft, routes};
use crate::{resolve::Protocol, snapshot, store::ObjectName};

/// Name under which Envoy knows its last filter of requests.
const ROUTER: &str = "envoy.filters.http.router";
/// Name under which Envoy knows its filter for bytes.
const TCP_FILTER: &str = "envoy.filters.network.tcp_proxy";

/// The upgrade that a request by this method asks for.
const CONNECT: &str = "CONNECT";

/// The listener `name` of a port that speaks `protocol`; `target` is the name of its routes and of its cluster.
pub(super) fn draft(name: String, aliases: Vec<String>, target: &str, protocol: Protocol) -> Draft {
    let listener = Listener {
        name: name.clone(),
        api_listener: protocol.may_be_http().then(|| requests(target, protocol)),
        default_filter_chain: protocol
            .may_be_opaque()
            .then(|| FilterChain { filters: vec![bytes(target, target)], ..FilterChain::default() }),
        ..Listener::default()
    };
    Draft { aliases, ..Draft::new(Kind::Listener, name, &listener) }
}

/// The listener of a port whose bytes go where the TCPRoute says, whatever they are.
pub(super) fn of_tcp(
    name: String,
    aliases: Vec<String>,
    target: &str,
    route: &Object<StreamRouteSpec>,
) -> Draft {
    let chain = chain("tcp", target, route, None);
    let listener = Listener { name: name.clone(), default_filter_chain: Some(chain), ..Listener::default() };
    Draft { aliases, ..Draft::new(Kind::Listener, name, &listener) }
}

/// The listener of a port that takes TLS by the name that is called, and nothing else. `routes` come by seniority: a name
/// that several have is the first one's.
pub(super) fn of_tls(
    name: String,
    aliases: Vec<String>,
    target: &str,
    routes: &[Arc<Object<StreamRouteSpec>>],
) -> Draft {
    let mut taken = BTreeSet::new();
    let chains = routes.iter().filter_map(|route| {
        let hostnames = route.spec.hostnames.iter();
        let server_names: Vec<String> =
            hostnames.filter(|hostname| taken.insert(hostname.as_str())).cloned().collect();
        let matches =
            FilterChainMatch { server_names, transport_protocol: "tls".to_owned(), ..Default::default() };
        (!matches.server_names.is_empty()).then(|| chain("tls", target, route, Some(matches)))
    });
    let listener = Listener { name: name.clone(), filter_chains: chains.collect(), ..Listener::default() };
    Draft { aliases, ..Draft::new(Kind::Listener, name, &listener) }
}

/// What becomes of the connections of a route, of the kind that `step` is in its name.
fn chain(
    step: &str,
    target: &str,
    route: &Object<StreamRouteSpec>,
    matches: Option<FilterChainMatch>,
) -> FilterChain {
    let sharing: Vec<_> = route.spec.backends().iter().filter(|backend| backend.weight > 0).collect();
    let cluster = |backend: &BackendRef| routes::cluster(backend, &route.metadata);
    let specifier = match sharing[..] {
        // None of that name: connections are refused.
        [] => ClusterSpecifier::Cluster(snapshot::port_name(&ObjectName::of(&route.metadata), 0)),
        [only] => ClusterSpecifier::Cluster(cluster(only)),
        _ => {
            let weighted =
                |backend: &&BackendRef| ClusterWeight { name: cluster(backend), weight: backend.weight };
            ClusterSpecifier::WeightedClusters(WeightedCluster {
                clusters: sharing.iter().map(weighted).collect(),
            })
        }
    };
    FilterChain {
        name: format!("{}/{step}/0", ObjectName::of(&route.metadata)),
        filter_chain_match: matches,
        filters: vec![proxy(target, specifier)],
        ..FilterChain::default()
    }
}

fn requests(routes: &str, protocol: Protocol) -> ApiListener {
    let manager = HttpConnectionManager {
        stat_prefix: routes.to_owned(),
        route_specifier: Some(RouteSpecifier::Rds(Rds {
            config_source: Some(aggregated()),
            route_config_name: routes.to_owned(),
        })),
        // Other clients forward nothing without it.
        http_filters: vec![HttpFilter {
            name: ROUTER.to_owned(),
            config_type: Some(http_filter::ConfigType::TypedConfig(pack(&Router {}))),
        }],
        upgrade_configs: upgrades(protocol),
        ..HttpConnectionManager::default()
    };
    ApiListener { api_listener: Some(pack(&manager)) }
}

/// Which requests may become tunnels.
pub(super) fn upgrades(protocol: Protocol) -> Vec<UpgradeConfig> {
    let connect = UpgradeConfig { upgrade_type: CONNECT.to_owned() };
    if protocol == Protocol::Connect { vec![connect] } else { Vec::new() }
}

/// The filter that carries bytes to `cluster`.
pub(super) fn bytes(stat_prefix: &str, cluster: &str) -> Filter {
    proxy(stat_prefix, ClusterSpecifier::Cluster(cluster.to_owned()))
}

fn proxy(stat_prefix: &str, clusters: ClusterSpecifier) -> Filter {
    let proxy = TcpProxy { stat_prefix: stat_prefix.to_owned(), cluster_specifier: Some(clusters) };
    Filter { name: TCP_FILTER.to_owned(), config_type: Some(filter::ConfigType::TypedConfig(pack(&proxy))) }
}

/// "From this same stream".
pub(super) fn aggregated() -> ConfigSource {
    ConfigSource {
        resource_api_version: ApiVersion::V3.into(),
        config_source_specifier: Some(ConfigSourceSpecifier::Ads(AggregatedConfigSource {})),
    }
}
