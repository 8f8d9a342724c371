//! How the endpoints of a service's port are used: limits, breaker, protocol.

use std::{collections::BTreeMap, time::Duration};

use prost::Name;
use serde::Serialize;
use weft_api::{circuit_breaker::CircuitBreaker, policy::Mode};
use weft_xds::{
    Kind,
    cluster::{
        CircuitBreakers, Cluster, LoadBalancingPolicy, OutlierDetection,
        circuit_breakers::Thresholds,
        cluster::{ClusterDiscoveryType, DiscoveryType, EdsClusterConfig, LbPolicy},
        load_balancing_policy::Policy,
    },
    core::{Http2ProtocolOptions, TypedExtensionConfig},
    least_request::LeastRequest,
    metadata,
    packed::pack,
    protobuf::Any,
    round_robin::RoundRobin,
    upstream_http::{
        HttpProtocolOptions,
        http_protocol_options::{
            ExplicitHttpConfig, UpstreamProtocolOptions, explicit_http_config::ProtocolConfig,
        },
    },
    wrr_locality::WrrLocality,
};

use super::{Draft, listener::aggregated};
use crate::resolve::Protocol;

/// Endpoints stand in the same network: one that does not answer within this time does not answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// The extension point at which Envoy looks for the protocol of a cluster.
const HTTP_OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Extra<'a> {
    circuit_breaker: &'a CircuitBreaker,
}

/// The cluster `name`, under `policy` if there is one.
pub(super) fn draft(name: String, protocol: Protocol, policy: Option<&CircuitBreaker>) -> Draft {
    let fallback = CircuitBreaker::default();
    // Others know nothing of `Audit`: told nothing, they do nothing.
    let standard = Some(policy.unwrap_or(&fallback)).filter(|spec| spec.mode == Mode::Enforce);
    let cluster = Cluster {
        name: name.clone(),
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(DiscoveryType::Eds.into())),
        eds_cluster_config: Some(EdsClusterConfig {
            eds_config: Some(aggregated()),
            ..EdsClusterConfig::default()
        }),
        connect_timeout: Some(CONNECT_TIMEOUT.into()),
        lb_policy: LbPolicy::LeastRequest.into(),
        load_balancing_policy: Some(balancing()),
        circuit_breakers: standard.map(limits),
        outlier_detection: standard.and_then(outliers),
        typed_extension_protocol_options: options(protocol),
        metadata: policy.map(|spec| {
            metadata::write(&Extra { circuit_breaker: spec })
                .expect("a policy is an object, and its whole numbers have 32 bits")
        }),
        ..Cluster::default()
    };
    Draft::new(Kind::Cluster, name, &cluster)
}

/// As `LEAST_REQUEST`, for clients who know that; gRPC knows only to take turns.
fn balancing() -> LoadBalancingPolicy {
    let turns = WrrLocality {
        endpoint_picking_policy: Some(policies([named("round_robin", &RoundRobin::default())])),
    };
    policies([named("least_request", &LeastRequest::default()), named("wrr_locality", &turns)])
}

fn policies<const N: usize>(known: [TypedExtensionConfig; N]) -> LoadBalancingPolicy {
    let policy = |config| Policy { typed_extension_config: Some(config) };
    LoadBalancingPolicy { policies: known.map(policy).into() }
}

fn named(policy: &str, message: &impl Name) -> TypedExtensionConfig {
    let name = format!("envoy.load_balancing_policies.{policy}");
    TypedExtensionConfig { name, typed_config: Some(pack(message)) }
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
