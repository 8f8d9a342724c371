//! Whole compilations as text: `tests/golden/<name>.yaml` makes `<name>.txt`. `WEFT_REGENERATE=1` writes the texts.

mod authorization;
mod balancing;
mod routes;

use std::{env, fmt::Write as _, fs, path::Path};

use prost::Message as _;
use weft_xds::{
    cluster::Cluster,
    core::{HealthStatus, Metadata, address, socket_address::PortSpecifier},
    endpoint::{ClusterLoadAssignment, LbEndpoint, lb_endpoint::HostIdentifier},
    http_connection_manager::{
        HttpConnectionManager,
        http_connection_manager::{CodecType, RouteSpecifier},
    },
    listener::{Filter, FilterChain, Listener, filter},
    metadata,
    packed::unpack,
    protobuf,
    route::RouteConfiguration,
    tcp_proxy::{TcpProxy, tcp_proxy},
};

use super::*;
use crate::watch;

#[test]
fn what_people_write_becomes_what_proxies_are_told() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    for name in [
        "service",
        "routes",
        "filters",
        "grpc",
        "streams",
        "consumers",
        "sessions",
        "policies",
        "balancing",
        "pods",
        "entering",
    ] {
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
        if let Some(namespace) = &published.audience {
            let _ = writeln!(text, "  for callers of {namespace}");
        }
        let body = body.as_ref();
        match published.kind {
            Kind::Listener => listener(&mut text, &Listener::decode(body).unwrap()),
            Kind::Routes => routes::render(&mut text, &RouteConfiguration::decode(body).unwrap()),
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
        let upgrades = upgrades(&manager);
        let Some(RouteSpecifier::Rds(rds)) = manager.route_specifier else { panic!("no routes") };
        let _ = writeln!(text, "  requests by the routes {}{upgrades}", rds.route_config_name);
    }
    for chain in &listener.filter_chains {
        let matches = chain.filter_chain_match.as_ref().unwrap();
        let names = matches.server_names.join(", ");
        let _ =
            writeln!(text, "  {} {names}: {}, {}", matches.transport_protocol, filters(chain), chain.name);
    }
    if let Some(chain) = &listener.default_filter_chain {
        let _ = writeln!(text, "  {} {}", filters(chain), chain.name);
    }
}

fn inbound(text: &mut String, listener: &Listener) {
    for chain in &listener.filter_chains {
        let matches = chain.filter_chain_match.as_ref().unwrap();
        let port = matches.destination_port.map_or("others".to_owned(), |port| port.to_string());
        let tls = if chain.transport_socket.is_some() { "mTLS" } else { "plaintext" };
        let protocols = matches.application_protocols.join(" ");
        let _ = writeln!(text, "  {port} {tls} {} {protocols}", filters(chain));
        authorization::render(text, chain);
        extra(text, chain.metadata.as_ref());
    }
}

fn filters(chain: &FilterChain) -> String {
    let (name, any) = named(chain.filters.last().expect("a filter"));
    if name == "envoy.filters.network.tcp_proxy" {
        let TcpProxy { cluster_specifier, .. } = unpack(any).unwrap();
        return match cluster_specifier.expect("a cluster") {
            tcp_proxy::ClusterSpecifier::Cluster(cluster) => format!("bytes to {cluster}"),
            tcp_proxy::ClusterSpecifier::WeightedClusters(clusters) => {
                let weights = clusters.clusters.iter().map(|one| format!("{} x {}", one.name, one.weight));
                format!("bytes to {}", weights.collect::<Vec<_>>().join(", "))
            }
        };
    }
    let manager: HttpConnectionManager = unpack(any).unwrap();
    format!("{:?}{}", CodecType::try_from(manager.codec_type).unwrap(), upgrades(&manager))
}

fn upgrades(manager: &HttpConnectionManager) -> String {
    let upgrades = manager.upgrade_configs.iter().map(|upgrade| format!(", and {}", upgrade.upgrade_type));
    upgrades.collect()
}

fn named(filter: &Filter) -> (&str, &protobuf::Any) {
    let Some(filter::ConfigType::TypedConfig(any)) = &filter.config_type else { panic!("no configuration") };
    (&filter.name, any)
}

fn cluster(text: &mut String, cluster: &Cluster) {
    let _ = writeln!(text, "  connect within {}", duration(cluster.connect_timeout.as_ref()));
    balancing::render(text, cluster);
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
    let zones = assignment.endpoints.iter().map(|zone| {
        (zone.locality.as_ref().unwrap(), zone.load_balancing_weight.unwrap(), &zone.lb_endpoints)
    });
    for (locality, weight, lb_endpoints) in zones {
        if !locality.zone.is_empty() || assignment.endpoints.len() > 1 {
            let _ = writeln!(text, "  zone `{}` x {weight}", locality.zone);
        }
        for one in lb_endpoints {
            endpoint(text, one);
        }
    }
}

fn endpoint(text: &mut String, one: &LbEndpoint) {
    let Some(HostIdentifier::Endpoint(endpoint)) = &one.host_identifier else { panic!("no endpoint") };
    let Some(address::Address::SocketAddress(socket)) = &endpoint.address.as_ref().unwrap().address else {
        panic!("no address")
    };
    let Some(PortSpecifier::PortValue(port)) = socket.port_specifier else { panic!("no port") };
    let health = HealthStatus::try_from(one.health_status).unwrap();
    let _ = writeln!(text, "  {} {port} {health:?}", socket.address);
    extra(text, one.metadata.as_ref());
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
