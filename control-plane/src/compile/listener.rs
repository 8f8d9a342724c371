//! What stands behind the address of a service or of a pod: routes for requests, a cluster for other bytes.

use weft_xds::{
    Kind,
    core::{AggregatedConfigSource, ApiVersion, ConfigSource, config_source::ConfigSourceSpecifier},
    http_connection_manager::{
        HttpConnectionManager, HttpFilter, Rds, http_connection_manager::RouteSpecifier, http_filter,
    },
    listener::{ApiListener, Filter, FilterChain, Listener, filter},
    packed::pack,
    router::Router,
    tcp_proxy::{TcpProxy, tcp_proxy::ClusterSpecifier},
};

use super::Draft;
use crate::resolve::Protocol;

/// Name under which Envoy knows its last filter of requests.
const ROUTER: &str = "envoy.filters.http.router";
/// Name under which Envoy knows its filter for bytes.
const TCP_FILTER: &str = "envoy.filters.network.tcp_proxy";

/// The listener `name` of a port that speaks `protocol`; `target` is the name of its routes and of its cluster.
pub(super) fn draft(name: String, aliases: Vec<String>, target: &str, protocol: Protocol) -> Draft {
    let listener = Listener {
        name: name.clone(),
        api_listener: protocol.may_be_http().then(|| requests(target)),
        default_filter_chain: protocol
            .may_be_opaque()
            .then(|| FilterChain { filters: vec![bytes(target, target)], ..FilterChain::default() }),
        ..Listener::default()
    };
    Draft { aliases, ..Draft::new(Kind::Listener, name, &listener) }
}

fn requests(routes: &str) -> ApiListener {
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
        ..HttpConnectionManager::default()
    };
    ApiListener { api_listener: Some(pack(&manager)) }
}

/// The filter that carries bytes to `cluster`.
pub(super) fn bytes(stat_prefix: &str, cluster: &str) -> Filter {
    let proxy = TcpProxy {
        stat_prefix: stat_prefix.to_owned(),
        cluster_specifier: Some(ClusterSpecifier::Cluster(cluster.to_owned())),
    };
    Filter { name: TCP_FILTER.to_owned(), config_type: Some(filter::ConfigType::TypedConfig(pack(&proxy))) }
}

/// "From this same stream".
pub(super) fn aggregated() -> ConfigSource {
    ConfigSource {
        resource_api_version: ApiVersion::V3.into(),
        config_source_specifier: Some(ConfigSourceSpecifier::Ads(AggregatedConfigSource {})),
    }
}
