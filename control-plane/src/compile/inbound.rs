//! How a workload is entered: a chain for each port and each way in.

use std::collections::BTreeSet;

use serde::Serialize;
use weft_api::{names, rate_limit::RateLimit, workload::Mtls};
use weft_identity::TrustDomain;
use weft_xds::{
    Kind,
    core::{TransportSocket, transport_socket},
    http_connection_manager::{HttpConnectionManager, http_connection_manager::CodecType},
    listener::{Filter, FilterChain, FilterChainMatch, Listener, filter},
    metadata,
    packed::pack,
    tls::{
        CommonTlsContext, DownstreamTlsContext, SdsSecretConfig, common_tls_context::ValidationContextType,
    },
};

use super::{
    Draft,
    authorization::Filters,
    listener::{aggregated, bytes, upgrades},
};
use crate::{
    resolve::{Entering, PodView, Protocol, WorkloadView},
    store::ObjectName,
};

/// Name under which Envoy knows TLS.
const TLS_SOCKET: &str = "envoy.transport_sockets.tls";
/// Name under which Envoy knows its HTTP filter.
const HTTP_FILTER: &str = "envoy.filters.network.http_connection_manager";

/// Protocols, as `application_protocols` names them, that go to the chain for requests where others are possible.
const REQUESTS: [&str; 2] = ["http/1.1", "h2c"];

/// What the fields of a filter chain that others know cannot say.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Extra<'a> {
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    probes: &'a BTreeSet<String>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    rate_limits: &'a [Limits<'a>],
}

/// A RateLimitPolicy under its name.
#[derive(Serialize)]
struct Limits<'a> {
    policy: String,
    spec: &'a RateLimit,
}

/// What is said of every way into a workload.
struct Common<'a> {
    authorization: Filters,
    rate_limits: Vec<Limits<'a>>,
}

impl<'a> Common<'a> {
    fn of(policies: &'a Entering, trust_domain: &TrustDomain) -> Self {
        let limits = policies.rate_limits.iter().map(|policy| Limits {
            policy: ObjectName::of(&policy.metadata).to_string(),
            spec: &policy.spec.settings,
        });
        Self { authorization: Filters::of(policies, trust_domain), rate_limits: limits.collect() }
    }
}

/// A port, and how it is entered.
struct Way<'a> {
    /// `None`: every port that has no way of its own.
    port: Option<u16>,
    protocol: Protocol,
    mtls: Mtls,
    probes: &'a BTreeSet<String>,
}

/// Of a workload in local mode.
pub(super) fn of_workload(view: &WorkloadView, trust_domain: &TrustDomain) -> Draft {
    let none = BTreeSet::new();
    let ways = view.workload.spec.inbound.iter().map(|inbound| Way {
        port: Some(inbound.port),
        // Its ports carry requests, whatever else may be said of them.
        protocol: match Protocol::of(inbound.app_protocol.as_deref(), []) {
            protocol @ (Protocol::Http2 | Protocol::Connect) => protocol,
            _ => Protocol::Http,
        },
        mtls: inbound.mtls,
        probes: &none,
    });
    draft(ways, &Common::of(&view.policies, trust_domain))
}

/// Of a pod. `mtls` counts where neither the pod nor its namespace says anything.
pub(super) fn of_pod(pod: &PodView, mtls: Mtls, trust_domain: &TrustDomain) -> Draft {
    let mtls = pod.mtls.unwrap_or(mtls);
    let none = BTreeSet::new();
    let known = pod.ports.iter().map(|(number, port)| Way {
        port: Some(*number),
        protocol: port.protocol,
        mtls,
        probes: &port.probes,
    });
    let ways = known.chain([Way { port: None, protocol: Protocol::Detected, mtls, probes: &none }]);
    draft(ways, &Common::of(&pod.policies, trust_domain))
}

fn draft<'a>(ways: impl Iterator<Item = Way<'a>>, common: &Common) -> Draft {
    let name = names::RESOURCE_INBOUND.to_owned();
    let filter_chains = ways.flat_map(|way| chains(&way, common)).collect();
    let listener = Listener { name: name.clone(), filter_chains, ..Listener::default() };
    Draft::new(Kind::Listener, name, &listener)
}

/// For requests and for other bytes, as far as both are possible: by mTLS, and by plaintext if that is taken.
fn chains(way: &Way, common: &Common) -> Vec<FilterChain> {
    let stat_prefix = match way.port {
        Some(port) => format!("{}:{port}", names::RESOURCE_INBOUND),
        None => names::RESOURCE_INBOUND.to_owned(),
    };
    let requests =
        way.protocol.may_be_http().then(|| vec![requests(way.protocol, &stat_prefix, &common.authorization)]);
    let bytes = way.protocol.may_be_opaque().then(|| {
        let last = bytes(&stat_prefix, names::RESOURCE_INBOUND);
        common.authorization.bytes.iter().cloned().chain([last]).collect::<Vec<_>>()
    });
    let told_apart = if bytes.is_some() { REQUESTS.map(str::to_owned).to_vec() } else { Vec::new() };
    let extra = Extra { probes: way.probes, rate_limits: &common.rate_limits };
    let is_extra = !extra.probes.is_empty() || !extra.rate_limits.is_empty();
    let chain = |for_requests: bool, filters: Vec<Filter>, mtls: bool| FilterChain {
        filter_chain_match: Some(FilterChainMatch {
            destination_port: way.port.map(u32::from),
            application_protocols: if for_requests { told_apart.clone() } else { Vec::new() },
            ..FilterChainMatch::default()
        }),
        filters,
        metadata: (mtls && for_requests && is_extra)
            .then(|| metadata::write(&extra).expect("an object of texts and whole numbers of 32 bits")),
        transport_socket: mtls.then(mutual_tls),
        ..FilterChain::default()
    };
    let filters: Vec<_> = requests
        .map(|filters| (true, filters))
        .into_iter()
        .chain(bytes.map(|filters| (false, filters)))
        .collect();
    let ways_in = if way.mtls == Mtls::Permissive { &[true, false][..] } else { &[true][..] };
    let chains = ways_in.iter().flat_map(|mtls| {
        filters.iter().map(|(for_requests, filters)| chain(*for_requests, filters.clone(), *mtls))
    });
    chains.collect()
}

fn requests(protocol: Protocol, stat_prefix: &str, authorization: &Filters) -> Filter {
    let codec = if protocol == Protocol::Http2 { CodecType::Http2 } else { CodecType::Auto };
    let manager = HttpConnectionManager {
        codec_type: codec.into(),
        stat_prefix: stat_prefix.to_owned(),
        http_filters: authorization.requests.clone(),
        upgrade_configs: upgrades(protocol),
        ..HttpConnectionManager::default()
    };
    Filter {
        name: HTTP_FILTER.to_owned(),
        config_type: Some(filter::ConfigType::TypedConfig(pack(&manager))),
    }
}

fn mutual_tls() -> TransportSocket {
    let secret = |name: &str| SdsSecretConfig { name: name.to_owned(), sds_config: Some(aggregated()) };
    let context = DownstreamTlsContext {
        common_tls_context: Some(CommonTlsContext {
            tls_certificate_sds_secret_configs: vec![secret(names::RESOURCE_IDENTITY)],
            validation_context_type: Some(ValidationContextType::ValidationContextSdsSecretConfig(secret(
                names::RESOURCE_TRUST_BUNDLE,
            ))),
            ..CommonTlsContext::default()
        }),
        require_client_certificate: Some(true),
    };
    TransportSocket {
        name: TLS_SOCKET.to_owned(),
        config_type: Some(transport_socket::ConfigType::TypedConfig(pack(&context))),
    }
}
