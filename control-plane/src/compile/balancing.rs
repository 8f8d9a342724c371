//! How requests to a cluster are shared: for sidecars first, and for others in words that they know.

use serde::Serialize;
use serde_json::json;
use weft_api::load_balancer::{Algorithm, Cookie, HashKey, LoadBalancer, Locality, LocalityMode, RingHash};
use weft_xds::{
    balancing::{ConsistentHashingLbConfig, SlowStartConfig},
    cluster::{LoadBalancingPolicy, cluster::LbPolicy, load_balancing_policy::Policy},
    core::TypedExtensionConfig,
    least_request::LeastRequest,
    maglev::Maglev,
    metadata,
    packed::pack,
    protobuf::{self, value::Kind},
    random::Random,
    ring_hash::RingHash as Ring,
    round_robin::RoundRobin,
    route::route_action::{
        HashPolicy,
        hash_policy::{self, ConnectionProperties, Header, PolicySpecifier, QueryParameter},
    },
    typed_struct::TypedStruct,
};

/// What the standard has no policy for, and no client but a sidecar knows: the others pass on to the next one.
const PEAK_EWMA: &str = "weft.load_balancing_policies.peak_ewma";
const PEAK_EWMA_TYPE: &str = "type.googleapis.com/weft.load_balancing_policies.peak_ewma.v1.PeakEwma";

/// How the zones of endpoints count, of which no standard field knows: others need to know the callers of every zone.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Zones {
    prefer: bool,
    min_healthy_percent: u32,
}

impl Zones {
    pub(super) fn of(locality: Locality) -> Option<Self> {
        let Locality { mode, min_healthy_percent } = locality;
        (mode == LocalityMode::PreferSameZone).then_some(Self { prefer: true, min_healthy_percent })
    }
}

/// The policy by its old name, of which there are none for the rest.
pub(super) fn named(spec: &LoadBalancer) -> LbPolicy {
    match spec.algorithm {
        Algorithm::LatencyAware | Algorithm::LeastRequest => LbPolicy::LeastRequest,
        Algorithm::RoundRobin => LbPolicy::RoundRobin,
        Algorithm::Random => LbPolicy::Random,
        Algorithm::RingHash => LbPolicy::RingHash,
        Algorithm::Maglev => LbPolicy::Maglev,
    }
}

/// The best that each client knows. gRPC knows rings, and else only to take turns.
pub(super) fn policies(spec: &LoadBalancer) -> LoadBalancingPolicy {
    let least_request = || {
        let message = LeastRequest { slow_start_config: slow_start(spec), ..LeastRequest::default() };
        standard("least_request", &message)
    };
    let turns = || {
        let message = RoundRobin { slow_start_config: slow_start(spec), ..RoundRobin::default() };
        standard("round_robin", &message)
    };
    let known = match spec.algorithm {
        Algorithm::LatencyAware => vec![peak_ewma(spec), least_request(), turns()],
        Algorithm::LeastRequest => vec![least_request(), turns()],
        Algorithm::RoundRobin => vec![turns()],
        Algorithm::Random => vec![standard("random", &Random::default()), turns()],
        Algorithm::RingHash => vec![ring(spec)],
        Algorithm::Maglev => {
            let table = Maglev { consistent_hashing_lb_config: Some(hashing(spec)), ..Maglev::default() };
            vec![standard("maglev", &table), ring(spec)]
        }
    };
    let policy = |config| Policy { typed_extension_config: Some(config) };
    LoadBalancingPolicy { policies: known.into_iter().map(policy).collect() }
}

/// What requests are hashed by, the first key that one has.
pub(super) fn hash_policies(spec: &LoadBalancer) -> Vec<HashPolicy> {
    let specifier = |key: &HashKey| {
        let header = key.header.clone().map(|header_name| PolicySpecifier::Header(Header { header_name }));
        let query = key.query_param.clone();
        let query = query.map(|name| PolicySpecifier::QueryParameter(QueryParameter { name }));
        let address = PolicySpecifier::ConnectionProperties(ConnectionProperties { source_ip: true });
        let cookie = key.cookie.as_ref().map(cookie);
        header.or(cookie).or(query).or(key.source.map(|_| address))
    };
    let policy = |key| HashPolicy { policy_specifier: specifier(key), terminal: true };
    spec.hash_on.iter().map(policy).collect()
}

fn cookie(Cookie { name, ttl, path }: &Cookie) -> PolicySpecifier {
    PolicySpecifier::Cookie(hash_policy::Cookie {
        name: name.clone(),
        ttl: ttl.map(|ttl| ttl.get().into()),
        path: path.clone().unwrap_or_default(),
    })
}

fn slow_start(spec: &LoadBalancer) -> Option<SlowStartConfig> {
    let window = spec.slow_start?.window;
    Some(SlowStartConfig { slow_start_window: Some(window.get().into()), ..SlowStartConfig::default() })
}

fn peak_ewma(spec: &LoadBalancer) -> TypedExtensionConfig {
    let said = spec.slow_start.map_or_else(|| json!({}), |slow| json!({ "slowStart": slow }));
    let said = metadata::from_json(&said).expect("there are no numbers in it");
    let value = match said.kind {
        Some(Kind::StructValue(fields)) => fields,
        _ => protobuf::Struct::default(),
    };
    let message = TypedStruct { type_url: PEAK_EWMA_TYPE.to_owned(), value: Some(value) };
    TypedExtensionConfig { name: PEAK_EWMA.to_owned(), typed_config: Some(pack(&message)) }
}

fn ring(spec: &LoadBalancer) -> TypedExtensionConfig {
    let RingHash { minimum_size, maximum_size } = spec.ring_hash.unwrap_or_default();
    let ring = Ring {
        minimum_ring_size: Some(minimum_size.into()),
        maximum_ring_size: Some(maximum_size.into()),
        consistent_hashing_lb_config: Some(hashing(spec)),
        ..Ring::default()
    };
    standard("ring_hash", &ring)
}

fn hashing(spec: &LoadBalancer) -> ConsistentHashingLbConfig {
    ConsistentHashingLbConfig { hash_policy: hash_policies(spec) }
}

fn standard(policy: &str, message: &impl prost::Name) -> TypedExtensionConfig {
    let name = format!("envoy.load_balancing_policies.{policy}");
    TypedExtensionConfig { name, typed_config: Some(pack(message)) }
}
