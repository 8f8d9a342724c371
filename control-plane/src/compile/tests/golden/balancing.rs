//! How requests are shared, as text.

use std::fmt::Write as _;

use weft_xds::{
    balancing::SlowStartConfig,
    cluster::Cluster,
    core::TypedExtensionConfig,
    least_request::LeastRequest,
    maglev::Maglev,
    metadata,
    packed::unpack,
    protobuf::{Value, value::Kind},
    random::Random,
    ring_hash::RingHash,
    round_robin::RoundRobin,
    route::route_action::{HashPolicy, hash_policy::PolicySpecifier},
    typed_struct::TypedStruct,
};

use super::duration;

/// Of a cluster that nobody says anything of.
const DEFAULT: &str = "LEAST_REQUEST: peak_ewma {}, least_request, round_robin";

pub(super) fn render(text: &mut String, cluster: &Cluster) {
    let known = cluster.load_balancing_policy.as_ref().unwrap().policies.iter();
    let known: Vec<_> = known.map(|one| policy(one.typed_extension_config.as_ref().unwrap())).collect();
    let line = format!("{}: {}", cluster.lb_policy().as_str_name(), known.join(", "));
    if line != DEFAULT {
        let _ = writeln!(text, "  {line}");
    }
}

fn policy(config: &TypedExtensionConfig) -> String {
    let any = config.typed_config.as_ref().unwrap();
    let name = config.name.rsplit('.').next().unwrap();
    match name {
        "peak_ewma" => {
            let TypedStruct { type_url, value } = unpack(any).unwrap();
            assert_eq!(type_url, "type.googleapis.com/weft.load_balancing_policies.peak_ewma.v1.PeakEwma");
            let value = metadata::to_json(&Value { kind: value.map(Kind::StructValue) }).unwrap();
            format!("{name} {value}")
        }
        "least_request" => {
            let LeastRequest { slow_start_config, .. } = unpack(any).unwrap();
            format!("{name}{}", slow_start(slow_start_config.as_ref()))
        }
        "round_robin" => {
            let RoundRobin { slow_start_config, .. } = unpack(any).unwrap();
            format!("{name}{}", slow_start(slow_start_config.as_ref()))
        }
        "random" => {
            let Random { .. } = unpack(any).unwrap();
            name.to_owned()
        }
        "ring_hash" => {
            let ring: RingHash = unpack(any).unwrap();
            let bounds = [ring.minimum_ring_size, ring.maximum_ring_size].map(Option::unwrap);
            let keys = hashed_by(&ring.consistent_hashing_lb_config.unwrap().hash_policy);
            format!("{name} {bounds:?} by {keys}")
        }
        "maglev" => {
            let table: Maglev = unpack(any).unwrap();
            format!("{name} by {}", hashed_by(&table.consistent_hashing_lb_config.unwrap().hash_policy))
        }
        other => panic!("{other}"),
    }
}

fn slow_start(config: Option<&SlowStartConfig>) -> String {
    config.map_or_else(String::new, |config| {
        format!(" slowly for {}", duration(config.slow_start_window.as_ref()))
    })
}

/// The keys, each of which ends the search if a request has it.
pub(super) fn hashed_by(policies: &[HashPolicy]) -> String {
    let key = |policy: &HashPolicy| {
        assert!(policy.terminal);
        match policy.policy_specifier.as_ref().unwrap() {
            PolicySpecifier::Header(header) => header.header_name.clone(),
            PolicySpecifier::Cookie(cookie) => {
                format!("{}={} {}", cookie.name, duration(cookie.ttl.as_ref()), cookie.path)
            }
            PolicySpecifier::QueryParameter(parameter) => format!("?{}", parameter.name),
            PolicySpecifier::ConnectionProperties(of) => format!("address {}", of.source_ip),
        }
    };
    policies.iter().map(key).collect::<Vec<_>>().join(" or ")
}
