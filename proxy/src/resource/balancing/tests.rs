use serde_json::json;
use weft_xds::{
    balancing::SlowStartConfig,
    cluster::load_balancing_policy::Policy,
    core::TypedExtensionConfig,
    packed::pack,
    protobuf,
    route::route_action::hash_policy::{ConnectionProperties, Header, QueryParameter},
};

use super::*;

fn policies(configs: Vec<Any>) -> LoadBalancingPolicy {
    let policy = |any| {
        let config = TypedExtensionConfig { name: "any".into(), typed_config: Some(any) };
        Policy { typed_extension_config: Some(config) }
    };
    LoadBalancingPolicy { policies: configs.into_iter().map(policy).collect() }
}

fn balancer_of(configs: Vec<Any>) -> Result<Balancer, String> {
    balancer(&Cluster { load_balancing_policy: Some(policies(configs)), ..Cluster::default() })
}

fn refused(config: Any) -> String {
    balancer_of(vec![config]).err().expect("it is refused")
}

fn typed_struct(url: &str, value: &serde_json::Value) -> Any {
    let Some(Kind::StructValue(value)) = metadata::from_json(value).unwrap().kind else {
        panic!("no object")
    };
    pack(&TypedStruct { type_url: url.into(), value: Some(value) })
}

fn seconds(seconds: i64) -> protobuf::Duration {
    protobuf::Duration { seconds, nanos: 0 }
}

#[test]
fn the_first_that_is_known_counts() {
    let unknown = || Any { type_url: "type.googleapis.com/some.Other".into(), ..Any::default() };
    let within = || {
        let endpoint_picking_policy = Some(policies(vec![unknown(), pack(&RoundRobin::default())]));
        pack(&WrrLocality { endpoint_picking_policy })
    };
    let algorithm = |configs| balancer_of(configs).unwrap().algorithm;
    assert_eq!(algorithm(vec![typed_struct(PEAK_EWMA, &json!({})), within()]), Algorithm::LatencyAware);
    assert_eq!(algorithm(vec![pack(&LeastRequest::default()), within()]), Algorithm::LeastRequest);
    assert_eq!(algorithm(vec![unknown(), pack(&Random::default())]), Algorithm::Random);
    assert_eq!(algorithm(vec![typed_struct("other", &json!({})), within()]), Algorithm::RoundRobin);
    let reason = refused(unknown());
    assert_eq!(reason, "load_balancing_policy: none of [type.googleapis.com/some.Other] is known here");
    assert!(balancer_of(Vec::new()).is_err());
}

#[test]
fn policies_within_policies_end_somewhere() {
    let endless = (0..100).fold(pack(&RoundRobin::default()), |inner, _| {
        pack(&WrrLocality { endpoint_picking_policy: Some(policies(vec![inner])) })
    });
    assert!(refused(endless).contains("none of"));
}

#[test]
fn without_a_list_the_old_field_counts() {
    let of = |policy: LbPolicy| balancer(&Cluster { lb_policy: policy.into(), ..Cluster::default() });
    assert_eq!(of(LbPolicy::RoundRobin).unwrap().algorithm, Algorithm::RoundRobin);
    assert_eq!(of(LbPolicy::LeastRequest).unwrap().algorithm, Algorithm::LeastRequest);
    assert_eq!(of(LbPolicy::Maglev).unwrap().algorithm, Algorithm::Random);
    assert!(of(LbPolicy::ClusterProvided).err().unwrap().contains("CLUSTER_PROVIDED"));
}

#[test]
fn slow_start_is_what_is_said_and_ten_seconds_otherwise() {
    let window = |config| balancer_of(vec![config]).unwrap().slow_start;
    let said = || Some(SlowStartConfig { slow_start_window: Some(seconds(30)), ..Default::default() });
    let thirty = Duration::from_secs(30);
    assert_eq!(window(pack(&LeastRequest { slow_start_config: said(), ..Default::default() })), thirty);
    assert_eq!(window(pack(&RoundRobin { slow_start_config: said(), ..Default::default() })), thirty);
    assert_eq!(window(typed_struct(PEAK_EWMA, &json!({"slowStart": {"window": "30s"}}))), thirty);
    assert_eq!(window(typed_struct(PEAK_EWMA, &json!({}))), SLOW_START);
    assert_eq!(window(pack(&LeastRequest::default())), SLOW_START);
    assert!(refused(typed_struct(PEAK_EWMA, &json!({"slowStart": {"window": 3}}))).contains("TypedStruct"));
    let negative = Some(SlowStartConfig { slow_start_window: Some(seconds(-1)), ..Default::default() });
    assert!(
        refused(pack(&RoundRobin { slow_start_config: negative, ..Default::default() }))
            .contains("slow_start_config.slow_start_window")
    );
}

fn hashing(policies: Vec<PolicySpecifier>) -> ConsistentHashingLbConfig {
    let hash_policy = policies
        .into_iter()
        .map(|specifier| HashPolicy { policy_specifier: Some(specifier), terminal: true });
    ConsistentHashingLbConfig { hash_policy: hash_policy.collect() }
}

fn a_header(name: &str) -> PolicySpecifier {
    PolicySpecifier::Header(Header { header_name: name.into() })
}

#[test]
fn ring_and_table_have_their_sizes_and_keys() {
    let cookie = Cookie { name: "cart".into(), ttl: Some(seconds(0)), path: "/".into() };
    let keys = || {
        Some(hashing(vec![
            a_header("X-User"),
            PolicySpecifier::Cookie(cookie.clone()),
            PolicySpecifier::QueryParameter(QueryParameter { name: "user".into() }),
            PolicySpecifier::ConnectionProperties(ConnectionProperties { source_ip: true }),
            PolicySpecifier::ConnectionProperties(ConnectionProperties { source_ip: false }),
        ]))
    };
    let new = NewCookie { ttl: Duration::ZERO, path: Some("/".into()) };
    let wanted = [
        Part::Header(HeaderName::from_static("x-user")),
        Part::Cookie { name: "cart".into(), new: Some(new) },
        Part::Query("user".into()),
        Part::Source,
    ];
    let wanted = Affinity(wanted.map(|part| Key { part, terminal: true }).into());
    let ring =
        RingHash { minimum_ring_size: Some(64), consistent_hashing_lb_config: keys(), ..Default::default() };
    let ring = balancer_of(vec![pack(&ring)]).unwrap();
    assert_eq!(ring.algorithm, Algorithm::RingHash(Size { min: 64, max: RING_SIZE_MAX }));
    assert_eq!(ring.affinity, Some(wanted.clone()));
    let table = Maglev { consistent_hashing_lb_config: keys(), ..Default::default() };
    let table = balancer_of(vec![pack(&table)]).unwrap();
    assert_eq!((table.algorithm, table.affinity), (Algorithm::Maglev(PLACES), Some(wanted)));
}

#[test]
fn what_cannot_be_is_refused_with_its_field() {
    let ring = |min, max| {
        let sizes = (Some(min), Some(max));
        pack(&RingHash { minimum_ring_size: sizes.0, maximum_ring_size: sizes.1, ..Default::default() })
    };
    assert!(refused(ring(10, 9)).contains("minimum_ring_size is 10"));
    assert!(refused(ring(10, u64::MAX)).contains("maximum_ring_size"));
    let murmur = RingHash { hash_function: HashFunction::MurmurHash2.into(), ..Default::default() };
    assert!(refused(pack(&murmur)).contains("MURMUR_HASH_2"));
    for size in [0, 1, 65_536, 5_000_011] {
        assert!(
            refused(pack(&Maglev { table_size: Some(size), ..Default::default() })).contains("table_size")
        );
    }
    let keyed = |key| {
        refused(pack(&Maglev {
            consistent_hashing_lb_config: Some(hashing(vec![key])),
            ..Default::default()
        }))
    };
    assert!(keyed(a_header("x user")).contains("hash_policy[0]: header_name: `x user`"));
    assert!(
        keyed(PolicySpecifier::QueryParameter(QueryParameter::default())).contains("query_parameter.name")
    );
    let cookie = |name: &str, path: &str| Cookie { name: name.into(), ttl: None, path: path.into() };
    assert!(keyed(PolicySpecifier::Cookie(cookie("", "/"))).contains("cookie.name"));
    assert!(keyed(PolicySpecifier::Cookie(cookie("cart", "/;a"))).contains("cookie.path"));
    let none = Some(ConsistentHashingLbConfig { hash_policy: vec![HashPolicy::default()] });
    assert!(
        refused(pack(&Maglev { consistent_hashing_lb_config: none, ..Default::default() }))
            .contains("is needed")
    );
    let many = Some(hashing(vec![a_header("x-user"); KEYS_MAX + 1]));
    assert!(
        refused(pack(&Maglev { consistent_hashing_lb_config: many, ..Default::default() }))
            .contains("entries")
    );
    let broken = Any { value: vec![0xff].into(), ..pack(&Maglev::default()) };
    assert!(refused(broken).contains("Maglev"));
}
