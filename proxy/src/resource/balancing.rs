//! How a cluster's requests are shared: the first of its `load_balancing_policy` that is known here.

use std::time::Duration;

use http::HeaderName;
use serde::Deserialize;
use weft_xds::{
    balancing::{ConsistentHashingLbConfig, SlowStartConfig},
    cluster::{Cluster, LoadBalancingPolicy, cluster::LbPolicy},
    least_request::LeastRequest,
    maglev::Maglev,
    metadata, packed,
    protobuf::{Any, Value, value::Kind},
    random::Random,
    ring_hash::{RingHash, ring_hash::HashFunction},
    round_robin::RoundRobin,
    route::route_action::{
        HashPolicy,
        hash_policy::{Cookie, PolicySpecifier},
    },
    typed_struct::TypedStruct,
    wrr_locality::WrrLocality,
};

use super::duration;
use crate::{
    affinity::{Affinity, Key, NewCookie, Part},
    balance::{Algorithm, PLACES, PLACES_MAX, SLOW_START, Size, is_prime},
};

/// The type under which the control plane asks for what the standard has no name for: peak EWMA.
const PEAK_EWMA: &str = "type.googleapis.com/weft.load_balancing_policies.peak_ewma.v1.PeakEwma";
/// Envoy's own name for it.
const PEAK_EWMA_OF_ENVOY: &str =
    "type.googleapis.com/envoy.extensions.load_balancing_policies.peak_ewma.v3alpha.PeakEwma";
/// Policies within policies.
const DEPTH_MAX: u32 = 4;
/// Points of a ring that Envoy takes at most, and has if nobody says less.
const RING_SIZE_MAX: u64 = 8 * 1024 * 1024;
/// Points of a ring, at least, if nobody says.
const RING_SIZE_MIN: u64 = 1024;
/// Requests are looked at for so many keys at most.
const KEYS_MAX: usize = 16;

/// How an endpoint is chosen, by what, and how new ones come in.
pub(super) struct Balancer {
    pub(super) algorithm: Algorithm,
    pub(super) affinity: Option<Affinity>,
    pub(super) slow_start: Duration,
}

/// What the control plane says of peak EWMA.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PeakEwma {
    slow_start: Option<SlowStart>,
}

#[derive(Deserialize)]
struct SlowStart {
    window: weft_api::Duration,
}

impl From<Algorithm> for Balancer {
    fn from(algorithm: Algorithm) -> Self {
        Self { algorithm, affinity: None, slow_start: SLOW_START }
    }
}

/// How `message` wants its requests shared.
pub(super) fn balancer(message: &Cluster) -> Result<Balancer, String> {
    if let Some(list) = &message.load_balancing_policy {
        let found =
            first_known(list, DEPTH_MAX).map_err(|reason| format!("load_balancing_policy: {reason}"))?;
        return found.ok_or_else(|| {
            let named: Vec<_> =
                list.policies.iter().filter_map(config).map(|any| any.type_url.as_str()).collect();
            format!("load_balancing_policy: none of [{}] is known here", named.join(", "))
        });
    }
    let algorithm = match message.lb_policy() {
        LbPolicy::RoundRobin => Algorithm::RoundRobin,
        LbPolicy::LeastRequest => Algorithm::LeastRequest,
        // What routes hash by is not read here: so such requests go anywhere.
        LbPolicy::Random | LbPolicy::RingHash | LbPolicy::Maglev => Algorithm::Random,
        other @ (LbPolicy::ClusterProvided | LbPolicy::LoadBalancingPolicyConfig) => {
            return Err(format!("lb_policy: {} needs a load_balancing_policy", other.as_str_name()));
        }
    };
    Ok(algorithm.into())
}

fn first_known(list: &LoadBalancingPolicy, depth: u32) -> Result<Option<Balancer>, String> {
    for any in list.policies.iter().filter_map(config) {
        let found = known(any, depth).map_err(|reason| format!("{}: {reason}", any.type_url))?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

fn config(policy: &weft_xds::cluster::load_balancing_policy::Policy) -> Option<&Any> {
    policy.typed_extension_config.as_ref()?.typed_config.as_ref()
}

/// What `any` asks for; `None` = nobody here knows it.
fn known(any: &Any, depth: u32) -> Result<Option<Balancer>, String> {
    Ok(match any.type_url.as_str() {
        url if url == url_of::<TypedStruct>() => typed(&unpacked(any)?)?,
        PEAK_EWMA_OF_ENVOY => Some(Algorithm::LatencyAware.into()),
        url if url == url_of::<LeastRequest>() => {
            let LeastRequest { slow_start_config, .. } = unpacked(any)?;
            Some(Balancer { slow_start: window(slow_start_config)?, ..Algorithm::LeastRequest.into() })
        }
        url if url == url_of::<RoundRobin>() => {
            let RoundRobin { slow_start_config, .. } = unpacked(any)?;
            Some(Balancer { slow_start: window(slow_start_config)?, ..Algorithm::RoundRobin.into() })
        }
        url if url == url_of::<Random>() => Some(Algorithm::Random.into()),
        url if url == url_of::<RingHash>() => Some(ring(&unpacked(any)?)?),
        url if url == url_of::<Maglev>() => Some(maglev(&unpacked(any)?)?),
        // Localities by weight is what an even spread over all endpoints comes to: what counts is within.
        url if url == url_of::<WrrLocality>() && depth > 0 => {
            let WrrLocality { endpoint_picking_policy } = unpacked(any)?;
            first_known(&endpoint_picking_policy.unwrap_or_default(), depth - 1)?
        }
        _ => None,
    })
}

fn url_of<M: prost::Name>() -> String {
    M::type_url()
}

fn unpacked<M: prost::Name + Default>(any: &Any) -> Result<M, String> {
    packed::unpack(any).map_err(|error| error.to_string())
}

fn typed(message: &TypedStruct) -> Result<Option<Balancer>, String> {
    if message.type_url != PEAK_EWMA {
        return Ok(None);
    }
    let value = message.value.clone().unwrap_or_default();
    let json = metadata::to_json(&Value { kind: Some(Kind::StructValue(value)) });
    let said: PeakEwma = json
        .map_err(|error| error.to_string())
        .and_then(|json| serde_json::from_value(json).map_err(|error| error.to_string()))?;
    let slow_start = said.slow_start.map_or(SLOW_START, |said| said.window.get());
    Ok(Some(Balancer { slow_start, ..Algorithm::LatencyAware.into() }))
}

fn window(config: Option<SlowStartConfig>) -> Result<Duration, String> {
    let window = config.and_then(|config| config.slow_start_window);
    Ok(duration("slow_start_config.slow_start_window", window)?.unwrap_or(SLOW_START))
}

fn ring(message: &RingHash) -> Result<Balancer, String> {
    if message.hash_function() == HashFunction::MurmurHash2 {
        return Err("hash_function: MURMUR_HASH_2 is not supported; XX_HASH is".to_owned());
    }
    let min = message.minimum_ring_size.unwrap_or(RING_SIZE_MIN);
    let max = message.maximum_ring_size.unwrap_or(RING_SIZE_MAX);
    if max > RING_SIZE_MAX {
        return Err(format!("maximum_ring_size is {max}; it must be at most {RING_SIZE_MAX}"));
    }
    if min > max {
        return Err(format!("minimum_ring_size is {min}, above maximum_ring_size, which is {max}"));
    }
    let affinity = affinity(message.consistent_hashing_lb_config.as_ref())?;
    Ok(Balancer { affinity: Some(affinity), ..Algorithm::RingHash(Size { min, max }).into() })
}

fn maglev(message: &Maglev) -> Result<Balancer, String> {
    let places = message.table_size.unwrap_or(PLACES);
    if places > PLACES_MAX || !is_prime(places) {
        return Err(format!("table_size is {places}; it must be a prime of at most {PLACES_MAX}"));
    }
    let affinity = affinity(message.consistent_hashing_lb_config.as_ref())?;
    Ok(Balancer { affinity: Some(affinity), ..Algorithm::Maglev(places).into() })
}

fn affinity(config: Option<&ConsistentHashingLbConfig>) -> Result<Affinity, String> {
    let policies = config.map(|config| config.hash_policy.as_slice()).unwrap_or_default();
    if policies.len() > KEYS_MAX {
        return Err(format!("hash_policy has {} entries; it must have at most {KEYS_MAX}", policies.len()));
    }
    let keys = policies.iter().enumerate().filter_map(|(index, policy)| {
        key(policy).map_err(|reason| format!("hash_policy[{index}]: {reason}")).transpose()
    });
    keys.collect::<Result<_, _>>().map(Affinity)
}

/// A key, if it asks for anything.
fn key(policy: &HashPolicy) -> Result<Option<Key>, String> {
    let part = match &policy.policy_specifier {
        Some(PolicySpecifier::Header(header)) => {
            let name = &header.header_name;
            let name = HeaderName::from_bytes(name.as_bytes());
            Part::Header(name.map_err(|_| format!("header_name: `{}` is none", header.header_name))?)
        }
        Some(PolicySpecifier::Cookie(cookie)) => of_cookie(cookie)?,
        Some(PolicySpecifier::QueryParameter(parameter)) if !parameter.name.is_empty() => {
            Part::Query(parameter.name.clone())
        }
        Some(PolicySpecifier::QueryParameter(_)) => return Err("query_parameter.name is empty".to_owned()),
        Some(PolicySpecifier::ConnectionProperties(of)) if of.source_ip => Part::Source,
        Some(PolicySpecifier::ConnectionProperties(_)) => return Ok(None),
        None => {
            return Err("header, cookie, query_parameter or connection_properties is needed".to_owned());
        }
    };
    Ok(Some(Key { part, terminal: policy.terminal }))
}

fn of_cookie(Cookie { name, ttl, path }: &Cookie) -> Result<Part, String> {
    // The names of cookies and headers are made of the same characters.
    HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("cookie.name: `{name}` is none"))?;
    let fits = path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b';');
    if !fits {
        return Err(format!("cookie.path: `{path}` is none"));
    }
    let new = duration("cookie.ttl", *ttl)?;
    let path = Some(path.clone()).filter(|path| !path.is_empty());
    Ok(Part::Cookie { name: name.clone(), new: new.map(|ttl| NewCookie { ttl, path }) })
}

#[cfg(test)]
mod tests;
