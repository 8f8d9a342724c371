//! Whole compilations as text: `tests/golden/<name>.yaml` makes `<name>.txt`. `WEFT_REGENERATE=1` writes the texts.

use std::{env, fmt::Write as _, fs, path::Path};

use prost::Message as _;
use weft_xds::{
    cluster::Cluster,
    core::{HealthStatus, Metadata, address, socket_address::PortSpecifier},
    endpoint::{ClusterLoadAssignment, lb_endpoint::HostIdentifier},
    http_connection_manager::{
        HttpConnectionManager,
        http_connection_manager::{CodecType, RouteSpecifier},
    },
    listener::{Filter, FilterChain, Listener, filter},
    matcher::{StringMatcher, string_matcher::MatchPattern},
    metadata,
    packed::unpack,
    protobuf,
    route::{
        Route, RouteAction, RouteConfiguration, RouteMatch, header_matcher::HeaderMatchSpecifier,
        query_parameter_matcher::QueryParameterMatchSpecifier, route::Action, route_action::ClusterSpecifier,
        route_match::PathSpecifier,
    },
    tcp_proxy::{TcpProxy, tcp_proxy},
};

use super::*;
use crate::watch;

#[test]
fn what_people_write_becomes_what_proxies_are_told() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    for name in ["service", "routes", "policies", "pods"] {
        let store = watch::check(&folder.join(format!("{name}.yaml"))).unwrap();
        let text = render(&compiler().compile(&store, 2000).snapshot);
        let golden = folder.join(format!("{name}.txt"));
        if env::var_os("WEFT_REGENERATE").is_some() {
            fs::write(&golden, &text).unwrap();
        }
        assert_eq!(
            text,
            fs::read_to_string(&golden).unwrap(),
            "{name}.txt; WEFT_REGENERATE=1 writes it anew"
        );
    }
}

fn render(snapshot: &Snapshot) -> String {
    let mut text = String::new();
    for published in snapshot.services.values().chain(snapshot.pods.values()).flat_map(|all| all.iter()) {
        let Resource { name, aliases, body, .. } = published.resource.as_ref();
        let _ = writeln!(text, "{:?} {name} {}", published.kind, aliases.join(" "));
        let body = body.as_ref();
        match published.kind {
            Kind::Listener => listener(&mut text, &Listener::decode(body).unwrap()),
            Kind::Routes => routes(&mut text, &RouteConfiguration::decode(body).unwrap()),
            Kind::Cluster => cluster(&mut text, &Cluster::decode(body).unwrap()),
            Kind::Endpoints => endpoints(&mut text, &ClusterLoadAssignment::decode(body).unwrap()),
            Kind::Secret => unreachable!("no secret belongs to a service"),
        }
    }
    for (name, entrance) in snapshot.workloads.iter().chain(&snapshot.pod_entrances) {
        let _ = writeln!(text, "inbound of {name} as {}", entrance.service_account);
        inbound(&mut text, &Listener::decode(entrance.listener.body.as_ref()).unwrap());
    }
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n") + "\n"
}

fn listener(text: &mut String, listener: &Listener) {
    if let Some(api) = &listener.api_listener {
        let manager: HttpConnectionManager = unpack(api.api_listener.as_ref().unwrap()).unwrap();
        let Some(RouteSpecifier::Rds(rds)) = manager.route_specifier else { panic!("no routes") };
        let _ = writeln!(text, "  requests by the routes {}", rds.route_config_name);
    }
    if let Some(chain) = &listener.default_filter_chain {
        let _ = writeln!(text, "  {}", filters(chain));
    }
}

fn inbound(text: &mut String, listener: &Listener) {
    for chain in &listener.filter_chains {
        let matches = chain.filter_chain_match.as_ref().unwrap();
        let port = matches.destination_port.map_or("others".to_owned(), |port| port.to_string());
        let tls = if chain.transport_socket.is_some() { "mTLS" } else { "plaintext" };
        let protocols = matches.application_protocols.join(" ");
        let _ = writeln!(text, "  {port} {tls} {} {protocols}", filters(chain));
        extra(text, chain.metadata.as_ref());
    }
}

fn filters(chain: &FilterChain) -> String {
    let [Filter { name, config_type: Some(filter::ConfigType::TypedConfig(any)) }] = &chain.filters[..]
    else {
        panic!("one filter")
    };
    if name == "envoy.filters.network.tcp_proxy" {
        let TcpProxy { cluster_specifier, .. } = unpack(any).unwrap();
        let Some(tcp_proxy::ClusterSpecifier::Cluster(cluster)) = cluster_specifier else {
            panic!("no cluster")
        };
        return format!("bytes to {cluster}");
    }
    let manager: HttpConnectionManager = unpack(any).unwrap();
    format!("{:?}", CodecType::try_from(manager.codec_type).unwrap())
}

fn routes(text: &mut String, configuration: &RouteConfiguration) {
    let [host] = &configuration.virtual_hosts[..] else { panic!("one virtual host") };
    assert_eq!(host.domains, ["*"]);
    for Route { name, r#match, action, metadata } in &host.routes {
        let _ = writeln!(text, "  {name}: {}", matcher(r#match.as_ref().unwrap()));
        match action.as_ref().unwrap() {
            Action::Route(action) => forward(text, action),
            Action::DirectResponse(response) => {
                let _ = writeln!(text, "    answer {}", response.status);
            }
            Action::NonForwardingAction(_) => unreachable!("never made"),
        }
        extra(text, metadata.as_ref());
    }
}

fn matcher(one: &RouteMatch) -> String {
    let mut text = match one.path_specifier.as_ref().unwrap() {
        PathSpecifier::Path(path) => format!("exact {path}"),
        PathSpecifier::Prefix(path) => format!("any {path}"),
        PathSpecifier::PathSeparatedPrefix(path) => format!("prefix {path}"),
        PathSpecifier::SafeRegex(regex) => format!("expression {}", regex.regex),
    };
    for header in &one.headers {
        let Some(HeaderMatchSpecifier::StringMatch(value)) = &header.header_match_specifier else {
            panic!("no text")
        };
        let _ = write!(text, ", header {} {}", header.name, string(value));
    }
    for parameter in &one.query_parameters {
        let Some(QueryParameterMatchSpecifier::StringMatch(value)) =
            &parameter.query_parameter_match_specifier
        else {
            panic!("no text")
        };
        let _ = write!(text, ", parameter {} {}", parameter.name, string(value));
    }
    text
}

fn string(matcher: &StringMatcher) -> String {
    match matcher.match_pattern.as_ref().unwrap() {
        MatchPattern::Exact(value) => format!("is {value}"),
        MatchPattern::SafeRegex(regex) => format!("fits {}", regex.regex),
        other => unreachable!("never made: {other:?}"),
    }
}

fn forward(text: &mut String, action: &RouteAction) {
    let clusters = match action.cluster_specifier.as_ref().unwrap() {
        ClusterSpecifier::Cluster(name) => name.clone(),
        ClusterSpecifier::WeightedClusters(clusters) => {
            let weights =
                clusters.clusters.iter().map(|one| format!("{} x {}", one.name, one.weight.unwrap()));
            weights.collect::<Vec<_>>().join(", ")
        }
    };
    let _ = writeln!(text, "    to {clusters}, timeout {}", duration(action.timeout.as_ref()));
    if let Some(retry) = &action.retry_policy {
        let (first, last) = (retry.retriable_status_codes.first(), retry.retriable_status_codes.last());
        let count = retry.retriable_status_codes.len();
        let attempts = retry.num_retries.unwrap();
        let back_off = retry.retry_back_off.as_ref().unwrap();
        let (base, max) =
            (duration(back_off.base_interval.as_ref()), duration(back_off.max_interval.as_ref()));
        let each = duration(retry.per_try_timeout.as_ref());
        let _ = writeln!(
            text,
            "    retry {attempts} times on {count} codes {first:?} to {last:?}, back-off {base} to {max}, each {each}"
        );
    }
}

fn cluster(text: &mut String, cluster: &Cluster) {
    let _ = writeln!(text, "  connect within {}", duration(cluster.connect_timeout.as_ref()));
    for limits in cluster.circuit_breakers.iter().flat_map(|breakers| &breakers.thresholds) {
        let numbers =
            [limits.max_connections, limits.max_pending_requests, limits.max_requests].map(Option::unwrap);
        let _ = writeln!(text, "  limits {numbers:?}");
    }
    if let Some(outliers) = &cluster.outlier_detection {
        let (base, max) = (outliers.base_ejection_time.as_ref(), outliers.max_ejection_time.as_ref());
        let _ = writeln!(
            text,
            "  eject after {} for {} to {}, at most {} %",
            outliers.consecutive_5xx.unwrap(),
            duration(base),
            duration(max),
            outliers.max_ejection_percent.unwrap()
        );
    }
    if !cluster.typed_extension_protocol_options.is_empty() {
        let _ = writeln!(text, "  HTTP/2");
    }
    extra(text, cluster.metadata.as_ref());
}

fn endpoints(text: &mut String, assignment: &ClusterLoadAssignment) {
    for one in &assignment.endpoints[0].lb_endpoints {
        let Some(HostIdentifier::Endpoint(endpoint)) = &one.host_identifier else { panic!("no endpoint") };
        let Some(address::Address::SocketAddress(socket)) = &endpoint.address.as_ref().unwrap().address
        else {
            panic!("no address")
        };
        let Some(PortSpecifier::PortValue(port)) = socket.port_specifier else { panic!("no port") };
        let health = HealthStatus::try_from(one.health_status).unwrap();
        let _ = writeln!(text, "  {} {port} {health:?}", socket.address);
        extra(text, one.metadata.as_ref());
    }
}

fn extra(text: &mut String, metadata: Option<&Metadata>) {
    if let Some(json) = metadata::read::<serde_json::Value>(metadata).unwrap() {
        let _ = writeln!(text, "    {json}");
    }
}

fn duration(duration: Option<&protobuf::Duration>) -> String {
    duration.map_or("none".to_owned(), |duration| {
        weft_api::Duration::from_millis(duration.seconds as u64 * 1000 + duration.nanos as u64 / 1_000_000)
            .to_string()
    })
}
