//! How a workload is entered: a chain for each port and each way in.

use weft_api::{
    Object, names,
    workload::{Inbound, Mtls, WorkloadSpec},
};
use weft_xds::{
    Kind,
    core::{TransportSocket, transport_socket},
    http_connection_manager::{HttpConnectionManager, http_connection_manager::CodecType},
    listener::{Filter, FilterChain, FilterChainMatch, Listener, filter},
    packed::pack,
    tls::{
        CommonTlsContext, DownstreamTlsContext, SdsSecretConfig, common_tls_context::ValidationContextType,
    },
};

use super::{Draft, listener::aggregated, speaks_h2c};

/// Name under which Envoy knows TLS.
const TLS_SOCKET: &str = "envoy.transport_sockets.tls";
/// Name under which Envoy knows its HTTP filter.
const HTTP_FILTER: &str = "envoy.filters.network.http_connection_manager";

pub(super) fn draft(workload: &Object<WorkloadSpec>) -> Draft {
    let chains = workload.spec.inbound.iter().flat_map(|inbound| {
        let plaintext = (inbound.mtls == Mtls::Permissive).then(|| chain(inbound, None));
        [chain(inbound, Some(mutual_tls()))].into_iter().chain(plaintext)
    });
    let name = names::RESOURCE_INBOUND.to_owned();
    let listener = Listener { name: name.clone(), filter_chains: chains.collect(), ..Listener::default() };
    Draft::new(Kind::Listener, name, &listener)
}

fn chain(inbound: &Inbound, transport_socket: Option<TransportSocket>) -> FilterChain {
    let codec = if speaks_h2c(inbound.app_protocol.as_deref()) { CodecType::Http2 } else { CodecType::Auto };
    let manager = HttpConnectionManager {
        codec_type: codec.into(),
        stat_prefix: format!("{}:{}", names::RESOURCE_INBOUND, inbound.port),
        ..HttpConnectionManager::default()
    };
    FilterChain {
        filter_chain_match: Some(FilterChainMatch {
            destination_port: Some(inbound.port.into()),
            ..FilterChainMatch::default()
        }),
        filters: vec![Filter {
            name: HTTP_FILTER.to_owned(),
            config_type: Some(filter::ConfigType::TypedConfig(pack(&manager))),
        }],
        transport_socket,
        ..FilterChain::default()
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
