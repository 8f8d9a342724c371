//! Listeners: what stands behind an address that the application calls, and how the workload itself is entered.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use http::Method;
use prost::Name;
use serde::Deserialize;
use weft_api::{names, rate_limit::RateLimit};
use weft_xds::{
    http_connection_manager::{HttpConnectionManager, http_connection_manager},
    listener::{Filter, FilterChain, Listener as ListenerMessage, filter},
    metadata, packed,
    tcp_proxy::{TcpProxy, tcp_proxy},
    tls::DownstreamTlsContext,
};

use super::{Listener, PolicyMetadata, rbac};
use crate::{
    authorize::Authorization,
    http::serve::Version,
    rate_limit::RateLimits,
    server_names::ServerNames,
    snapshot::{HttpPort, OpaquePort, Port, Ports},
};

/// What stands behind an address: one of the three, or several, and then the first bytes decide.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceSpec {
    /// The routes of HTTP.
    pub routes: Option<Arc<str>>,
    /// Whether `CONNECT` is passed on.
    pub connect: bool,
    /// Where bytes go that are no HTTP.
    pub opaque: Option<OpaqueSpec>,
    /// Where TLS goes, by the name that is called.
    pub tls: ServerNames<OpaqueSpec>,
}

/// Where bytes go that nobody looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpaqueSpec {
    /// The service port that is called.
    pub name: Arc<str>,
    /// The route that says so, if one does.
    pub route: Option<Arc<str>>,
    /// Weights and names of the clusters that share the connections.
    pub clusters: Vec<(u32, Arc<str>)>,
}

impl ServiceSpec {
    /// The clusters that bytes go to.
    pub fn clusters(&self) -> impl Iterator<Item = &Arc<str>> {
        let specs = self.opaque.iter().chain(self.tls.values());
        specs.flat_map(|spec| spec.clusters.iter().map(|(_, name)| name))
    }
}

#[cfg(test)]
impl OpaqueSpec {
    /// All to one cluster.
    pub fn for_tests(cluster: &str) -> Self {
        Self { name: cluster.into(), route: None, clusters: vec![(1, cluster.into())] }
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ChainMetadata {
    probes: Vec<String>,
    rate_limits: Vec<PolicyMetadata<RateLimit>>,
}

/// What the last filter of a chain does with a connection.
enum Last {
    Http(HttpConnectionManager),
    Tcp(TcpProxy),
}

pub(super) fn listener(name: &str, message: &ListenerMessage) -> Result<Listener, String> {
    if name == names::RESOURCE_INBOUND {
        inbound(&message.filter_chains).map(Arc::new).map(Listener::Inbound)
    } else {
        service(message).map(Listener::Service)
    }
}

fn service(message: &ListenerMessage) -> Result<ServiceSpec, String> {
    let api = message.api_listener.as_ref().and_then(|listener| listener.api_listener.as_ref());
    let mut connect = false;
    let routes = api.map(|api| {
        let manager: HttpConnectionManager =
            packed::unpack(api).map_err(|error| format!("api_listener {error}"))?;
        connect = connects(&manager);
        match manager.route_specifier {
            Some(http_connection_manager::RouteSpecifier::Rds(rds)) if !rds.route_config_name.is_empty() => {
                Ok(Arc::from(rds.route_config_name))
            }
            _ => Err("api_listener: rds.route_config_name is needed".to_owned()),
        }
    });
    let opaque = message.default_filter_chain.as_ref().map(bytes);
    let opaque = opaque.transpose().map_err(|reason| format!("default_filter_chain: {reason}"))?;
    let mut tls = ServerNames::default();
    for (index, chain) in message.filter_chains.iter().enumerate() {
        by_server_names(chain, &mut tls).map_err(|reason| format!("filter_chains[{index}]: {reason}"))?;
    }
    let spec = ServiceSpec { routes: routes.transpose()?, connect, opaque, tls };
    if spec.routes.is_none() && spec.opaque.is_none() && spec.tls.is_empty() {
        return Err("api_listener, default_filter_chain or filter_chains are needed".to_owned());
    }
    Ok(spec)
}

/// Puts a chain behind the names that it is for.
fn by_server_names(chain: &FilterChain, tls: &mut ServerNames<OpaqueSpec>) -> Result<(), String> {
    let matches = chain.filter_chain_match.as_ref();
    let others = matches.is_some_and(|matches| {
        matches.destination_port.is_some()
            || !matches.application_protocols.is_empty()
            || !matches!(matches.transport_protocol.as_str(), "" | "tls")
    });
    if others {
        return Err("filter_chain_match: a service's is by server_names, and by nothing else".to_owned());
    }
    let names = matches.map_or(&[][..], |matches| &matches.server_names);
    if names.is_empty() {
        return Err("filter_chain_match.server_names is needed".to_owned());
    }
    let spec = bytes(chain)?;
    match names.iter().find(|name| !tls.insert(name, spec.clone())) {
        None => Ok(()),
        Some(name) => Err(format!("filter_chain_match.server_names: `{name}` stands there twice")),
    }
}

/// Where a chain leads bytes to.
fn bytes(chain: &FilterChain) -> Result<OpaqueSpec, String> {
    use tcp_proxy::ClusterSpecifier;
    let (Last::Tcp(proxy), []) = filters(chain)? else {
        return Err("a tcp_proxy filter is needed, and no other".to_owned());
    };
    let clusters: Vec<(u32, Arc<str>)> = match proxy.cluster_specifier {
        Some(ClusterSpecifier::Cluster(name)) => vec![(1, name.into())],
        Some(ClusterSpecifier::WeightedClusters(weighted)) => {
            weighted.clusters.into_iter().map(|one| (one.weight, one.name.into())).collect()
        }
        None => Vec::new(),
    };
    let (Some((_, first)), true) = (clusters.first(), clusters.iter().all(|(_, name)| !name.is_empty()))
    else {
        return Err("tcp_proxy.cluster or tcp_proxy.weighted_clusters is needed".to_owned());
    };
    // Another control plane may call it anything.
    let name = if proxy.stat_prefix.is_empty() { Arc::clone(first) } else { proxy.stat_prefix.into() };
    let route = (!chain.name.is_empty()).then(|| chain.name.as_str().into());
    Ok(OpaqueSpec { name, route, clusters })
}

/// What the chains of one port have said so far: with mTLS and without it.
#[derive(Default)]
struct Chains {
    http: [Option<HttpPort>; 2],
    opaque: [Option<OpaquePort>; 2],
}

fn inbound(chains: &[FilterChain]) -> Result<Ports, String> {
    // `None` stands for all ports that have no chain of their own.
    let mut by_port: BTreeMap<Option<u16>, Chains> = BTreeMap::new();
    let mut authorizations = Shared::default();
    for chain in chains {
        let port = port(chain)?;
        let of_port = |reason| format!("{}: {reason}", shown(port));
        let plaintext = chain.transport_socket.is_none();
        if !plaintext {
            requires_client_certificate(chain).map_err(of_port)?;
        }
        let chains = by_port.entry(port).or_default();
        match filters(chain).map_err(of_port)? {
            (Last::Http(manager), []) => {
                let authorization = rbac::of_requests(&manager.http_filters).map_err(of_port)?;
                let authorization = authorizations.one(authorization);
                let http = http(chain, &manager, plaintext, authorization).map_err(of_port)?;
                chains.http[usize::from(plaintext)] = Some(http);
            }
            (Last::Http(_), _) => {
                return Err(of_port("an HttpConnectionManager must be the only filter".to_owned()));
            }
            (Last::Tcp(_), before) => {
                let authorization = authorizations.one(rbac::of_bytes(before).map_err(of_port)?);
                chains.opaque[usize::from(plaintext)] = Some(OpaquePort { plaintext, authorization });
            }
        }
    }
    let mut ports = Ports { named: HashMap::new(), others: None };
    for (number, chains) in by_port {
        let port = Arc::new(chains.port().map_err(|reason| format!("{}: {reason}", shown(number)))?);
        match number {
            Some(number) => drop(ports.named.insert(number, port)),
            None => ports.others = Some(port),
        }
    }
    Ok(ports)
}

/// Authorization is mostly the same for all ports, so that each is held once.
#[derive(Default)]
struct Shared(Vec<Arc<Authorization>>);

impl Shared {
    fn one(&mut self, authorization: Option<Authorization>) -> Option<Arc<Authorization>> {
        let authorization = authorization?;
        if let Some(known) = self.0.iter().find(|known| ***known == authorization) {
            return Some(Arc::clone(known));
        }
        let authorization = Arc::new(authorization);
        self.0.push(Arc::clone(&authorization));
        Some(authorization)
    }
}

impl Chains {
    fn port(self) -> Result<Port, &'static str> {
        const PLAINTEXT_ALONE: &str = "a filter chain with mTLS is needed; plaintext alone is not served";
        const DIFFERENT: &str = "the filter chains with mTLS and without it must have the same RBAC filters";
        let http = match self.http {
            [Some(mesh), Some(plain)] if mesh.authorization != plain.authorization => return Err(DIFFERENT),
            [Some(mesh), plain] => Some(HttpPort { plaintext: plain.is_some(), ..mesh }),
            [None, Some(_)] => return Err(PLAINTEXT_ALONE),
            [None, None] => None,
        };
        let opaque = match self.opaque {
            [Some(mesh), Some(plain)] if mesh.authorization != plain.authorization => return Err(DIFFERENT),
            [Some(mesh), plain] => Some(OpaquePort { plaintext: plain.is_some(), ..mesh }),
            [None, Some(_)] => return Err(PLAINTEXT_ALONE),
            [None, None] => None,
        };
        Ok(Port { http, opaque })
    }
}

/// The port that a chain is for; `None` = all that no other chain names.
fn port(chain: &FilterChain) -> Result<Option<u16>, String> {
    let port = chain.filter_chain_match.as_ref().and_then(|matches| matches.destination_port);
    let Some(port) = port else { return Ok(None) };
    match u16::try_from(port) {
        Ok(number) if number != 0 => Ok(Some(number)),
        _ => Err(format!("filter_chains: filter_chain_match.destination_port {port} is no port")),
    }
}

fn shown(port: Option<u16>) -> String {
    port.map_or_else(|| "all other ports".to_owned(), |port| format!("port {port}"))
}

fn requires_client_certificate(chain: &FilterChain) -> Result<(), String> {
    use weft_xds::core::transport_socket::ConfigType;
    let socket = chain.transport_socket.as_ref().and_then(|socket| socket.config_type.as_ref());
    let Some(ConfigType::TypedConfig(config)) = socket else {
        return Err("transport_socket.typed_config is needed".to_owned());
    };
    let tls: DownstreamTlsContext =
        packed::unpack(config).map_err(|error| format!("transport_socket {error}"))?;
    if tls.require_client_certificate == Some(true) {
        Ok(())
    } else {
        Err("require_client_certificate must be true: TLS without a client's identity is not served"
            .to_owned())
    }
}

/// The last filter of a chain, and those before it.
fn filters(chain: &FilterChain) -> Result<(Last, &[Filter]), String> {
    const NEEDED: &str = "a filter is needed at the end, an HttpConnectionManager or a TcpProxy";
    let Some((last, before)) = chain.filters.split_last() else { return Err(NEEDED.to_owned()) };
    let Some(filter::ConfigType::TypedConfig(config)) = &last.config_type else {
        return Err(NEEDED.to_owned());
    };
    let last = if config.type_url == TcpProxy::type_url() {
        packed::unpack(config).map(Last::Tcp)
    } else {
        packed::unpack(config).map(Last::Http)
    };
    Ok((last.map_err(|error| format!("filter {error}"))?, before))
}

fn http(
    chain: &FilterChain,
    manager: &HttpConnectionManager,
    plaintext: bool,
    authorization: Option<Arc<Authorization>>,
) -> Result<HttpPort, String> {
    let ChainMetadata { probes, rate_limits } =
        metadata::read(chain.metadata.as_ref()).map_err(|error| error.to_string())?.unwrap_or_default();
    if let Some(path) = probes.iter().find(|path| !path.starts_with('/')) {
        return Err(format!("probes: `{path}` is no path"));
    }
    let version = match manager.codec_type() {
        http_connection_manager::CodecType::Http2 => Version::Http2,
        _ => Version::Http1,
    };
    let rate_limits = limits(&rate_limits)?.map(Arc::new);
    Ok(HttpPort { plaintext, version, connect: connects(manager), probes, authorization, rate_limits })
}

/// Whether `CONNECT` is passed on.
fn connects(manager: &HttpConnectionManager) -> bool {
    manager
        .upgrade_configs
        .iter()
        .any(|upgrade| upgrade.upgrade_type.eq_ignore_ascii_case(Method::CONNECT.as_str()))
}

fn limits(policies: &[PolicyMetadata<RateLimit>]) -> Result<Option<RateLimits>, String> {
    for PolicyMetadata { policy, spec } in policies {
        spec.validate().map_err(|violation| format!("rateLimits `{policy}`: {violation}"))?;
    }
    let limits = RateLimits::new(policies.iter().map(|one| (one.policy.as_str(), &one.spec)));
    let limits = limits.map_err(|reason| format!("rateLimits {reason}"))?;
    Ok((!policies.is_empty()).then_some(limits))
}
