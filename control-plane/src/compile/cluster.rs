//! How the endpoints of a service's port are used: limits, breaker, protocol.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;
use weft_api::{
    circuit_breaker::CircuitBreaker,
    load_balancer::{LoadBalancer, Locality},
    policy::Mode,
};
use weft_xds::{
    Kind,
    cluster::{
        CircuitBreakers, Cluster, OutlierDetection,
        circuit_breakers::Thresholds,
        cluster::{ClusterDiscoveryType, DiscoveryType, EdsClusterConfig},
    },
    core::{Http2ProtocolOptions, Metadata},
    metadata,
    packed::pack,
    protobuf::Any,
    upstream_http::{
        HttpProtocolOptions,
        http_protocol_options::{
            ExplicitHttpConfig, UpstreamProtocolOptions, explicit_http_config::ProtocolConfig,
        },
    },
};

use super::{
    Draft,
    balancing::{self, Zones},
    listener::aggregated,
};
use crate::resolve::Protocol;

/// Endpoints stand in the same network: one that does not answer within this time does not answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// The extension point at which Envoy looks for the protocol of a cluster.
const HTTP_OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/// What people demand of a cluster. What they do not say is as everybody has it.
#[derive(Clone, Copy, Default)]
pub(super) struct Demands<'a> {
    pub(super) circuit_breaker: Option<&'a CircuitBreaker>,
    pub(super) load_balancer: Option<&'a LoadBalancer>,
    pub(super) locality: Option<Locality>,
}

/// What the fields of a cluster that others know cannot say.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Extra<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    circuit_breaker: Option<&'a CircuitBreaker>,
    #[serde(skip_serializing_if = "Option::is_none")]
    zones: Option<Zones>,
}

/// The cluster `name`.
pub(super) fn draft(name: String, protocol: Protocol, demands: Demands<'_>) -> Draft {
    let Demands { circuit_breaker, load_balancer, .. } = demands;
    let (breaker, balancer) = (CircuitBreaker::default(), LoadBalancer::default());
    let balancer = load_balancer.unwrap_or(&balancer);
    // Others know nothing of `Audit`: told nothing, they do nothing.
    let standard = Some(circuit_breaker.unwrap_or(&breaker)).filter(|spec| spec.mode == Mode::Enforce);
    let cluster = Cluster {
        name: name.clone(),
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(DiscoveryType::Eds.into())),
        eds_cluster_config: Some(EdsClusterConfig {
            eds_config: Some(aggregated()),
            ..EdsClusterConfig::default()
        }),
        connect_timeout: Some(CONNECT_TIMEOUT.into()),
        lb_policy: balancing::named(balancer).into(),
        load_balancing_policy: Some(balancing::policies(balancer)),
        circuit_breakers: standard.map(limits),
        outlier_detection: standard.and_then(outliers),
        typed_extension_protocol_options: options(protocol),
        metadata: extra(demands),
        ..Cluster::default()
    };
    Draft::new(Kind::Cluster, name, &cluster)
}

fn extra(demands: Demands<'_>) -> Option<Metadata> {
    let Demands { circuit_breaker, locality, .. } = demands;
    let extra = Extra { circuit_breaker, zones: locality.and_then(Zones::of) };
    (extra.circuit_breaker.is_some() || extra.zones.is_some())
        .then(|| metadata::write(&extra).expect("a policy is an object, and its whole numbers have 32 bits"))
}

fn limits(spec: &CircuitBreaker) -> CircuitBreakers {
    let thresholds = Thresholds {
        max_connections: Some(spec.limits.max_connections),
        max_pending_requests: Some(spec.limits.max_pending),
        max_requests: Some(spec.limits.max_requests),
        ..Thresholds::default()
    };
    CircuitBreakers { thresholds: vec![thresholds] }
}

/// The part of the endpoint breaker that Envoy has too.
fn outliers(spec: &CircuitBreaker) -> Option<OutlierDetection> {
    let breaker = &spec.endpoint;
    (breaker.consecutive > 0).then(|| OutlierDetection {
        consecutive_5xx: Some(breaker.consecutive),
        base_ejection_time: Some(breaker.open.base.get().into()),
        max_ejection_time: Some(breaker.open.max.get().into()),
        max_ejection_percent: Some(breaker.max_ejection_percent),
        ..OutlierDetection::default()
    })
}

fn options(protocol: Protocol) -> BTreeMap<String, Any> {
    if protocol != Protocol::Http2 {
        return BTreeMap::new();
    }
    let http2 = ProtocolConfig::Http2ProtocolOptions(Http2ProtocolOptions::default());
    let options = HttpProtocolOptions {
        upstream_protocol_options: Some(UpstreamProtocolOptions::ExplicitHttpConfig(ExplicitHttpConfig {
            protocol_config: Some(http2),
        })),
    };
    BTreeMap::from([(HTTP_OPTIONS.to_owned(), pack(&options))])
}
