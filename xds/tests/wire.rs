//! Messages on the wire, against bytes written by hand from the numbers of the public protocol.
//!
//! A field is its number times eight plus its wire type (0 varint, 1 fixed 64, 2 length-delimited), then its value.
// A test fails by panicking.
#![allow(clippy::unwrap_used)]

use std::fmt::Debug;

use prost::Message;
use weft_xds::{
    cluster::{Cluster, cluster},
    core::{
        Address, AggregatedConfigSource, ConfigSource, DataSource, HeaderValue, HeaderValueOption, Metadata,
        Node, RuntimeFractionalPercent, SocketAddress, address, config_source, data_source,
        header_value_option, socket_address,
    },
    cors::CorsPolicy,
    discovery::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource},
    endpoint::{Endpoint, LbEndpoint, lb_endpoint},
    fault::{FaultAbort, HttpFault, fault_abort::ErrorType},
    fault_delay::{FaultDelay, fault_delay::FaultDelaySecifier},
    http_connection_manager::{HttpConnectionManager, Rds, http_connection_manager},
    listener::{ApiListener, FilterChain, FilterChainMatch, Listener},
    matcher::{RegexMatchAndSubstitute, RegexMatcher, StringMatcher, string_matcher},
    percent::{FractionalPercent, fractional_percent},
    protobuf::{Any, Duration, Struct, Value, value::Kind},
    route::{
        FilterConfig, HeaderMatcher, QueryParameterMatcher, RedirectAction, RetryPolicy, Route, RouteAction,
        RouteMatch, WeightedCluster, header_matcher, query_parameter_matcher, redirect_action, retry_policy,
        route, route_action, route_match, weighted_cluster,
    },
    rpc::Status,
    tls::{CertificateValidationContext, DownstreamTlsContext, Secret, TlsCertificate, secret},
};

/// A length-delimited field; numbers above 15 take two bytes.
fn field(number: u32, value: &[u8]) -> Vec<u8> {
    let mut bytes = tag(number, 2);
    bytes.push(u8::try_from(value.len()).unwrap());
    bytes.extend(value);
    bytes
}

/// A field that holds a number below 128.
fn varint(number: u32, value: u8) -> Vec<u8> {
    let mut bytes = tag(number, 0);
    bytes.push(value);
    bytes
}

fn tag(number: u32, wire_type: u32) -> Vec<u8> {
    let key = number << 3 | wire_type;
    if key < 0x80 { vec![key as u8] } else { vec![key as u8 | 0x80, (key >> 7) as u8] }
}

/// `message` has these fields and no others. In which order a choice is written is not fixed.
fn check<M: Message + Default + PartialEq + Debug>(message: &M, fields: &[Vec<u8>]) {
    let bytes = fields.concat();
    assert_eq!(message.encoded_len(), bytes.len(), "{message:?}");
    assert_eq!(&M::decode(&bytes[..]).unwrap(), message);
}

#[test]
fn requests() {
    let request = DeltaDiscoveryRequest {
        node: Some(Node { id: "i".to_owned(), user_agent_name: "u".to_owned(), ..Default::default() }),
        type_url: "t".to_owned(),
        resource_names_subscribe: vec!["s".to_owned()],
        resource_names_unsubscribe: vec!["r".to_owned()],
        initial_resource_versions: [("k".to_owned(), "v".to_owned())].into(),
        response_nonce: "n".to_owned(),
        error_detail: Some(Status { code: 3, message: "m".to_owned(), details: Vec::new() }),
    };
    let node = [field(1, b"i"), field(6, b"u")].concat();
    let version = [field(1, b"k"), field(2, b"v")].concat();
    let status = [varint(1, 3), field(2, b"m")].concat();
    check(
        &request,
        &[
            field(1, &node),
            field(2, b"t"),
            field(3, b"s"),
            field(4, b"r"),
            field(5, &version),
            field(6, b"n"),
            field(7, &status),
        ],
    );
}

#[test]
fn responses() {
    let any = Any { type_url: "t".to_owned(), value: vec![1, 2].into() };
    let response = DeltaDiscoveryResponse {
        system_version_info: "s".to_owned(),
        resources: vec![Resource {
            version: "v".to_owned(),
            resource: Some(any),
            name: "n".to_owned(),
            aliases: vec!["a".to_owned()],
        }],
        type_url: "t".to_owned(),
        nonce: "1".to_owned(),
        removed_resources: vec!["r".to_owned()],
    };
    let any = [field(1, b"t"), field(2, &[1, 2])].concat();
    let resource = [field(1, b"v"), field(2, &any), field(3, b"n"), field(4, b"a")].concat();
    let fields = [field(1, b"s"), field(2, &resource), field(4, b"t"), field(5, b"1"), field(6, b"r")];
    check(&response, &fields);
}

#[test]
fn fields_that_are_not_known_are_passed_over() {
    // `control_plane` (7) with an identifier, as other servers send it.
    let bytes = [field(1, b"s"), field(7, &field(1, b"istiod"))].concat();
    let response = DeltaDiscoveryResponse::decode(&bytes[..]).unwrap();
    assert_eq!(response.system_version_info, "s");
}

#[test]
fn listeners() {
    let listener = Listener {
        name: "n".to_owned(),
        filter_chains: vec![FilterChain {
            filter_chain_match: Some(FilterChainMatch { destination_port: Some(80), ..Default::default() }),
            ..Default::default()
        }],
        api_listener: Some(ApiListener { api_listener: Some(Any::default()) }),
        ..Default::default()
    };
    let chain = field(1, &field(8, &varint(1, 80)));
    check(&listener, &[field(1, b"n"), field(3, &chain), field(19, &field(1, b""))]);

    let ads = config_source::ConfigSourceSpecifier::Ads(AggregatedConfigSource {});
    let config_source = Some(ConfigSource { config_source_specifier: Some(ads), ..Default::default() });
    let manager = HttpConnectionManager {
        codec_type: http_connection_manager::CodecType::Http2.into(),
        route_specifier: Some(http_connection_manager::RouteSpecifier::Rds(Rds {
            config_source,
            route_config_name: "r".to_owned(),
        })),
        ..Default::default()
    };
    let rds = [field(1, &field(3, b"")), field(2, b"r")].concat();
    check(&manager, &[varint(1, 2), field(3, &rds)]);
}

#[test]
fn routes() {
    let exact = StringMatcher {
        match_pattern: Some(string_matcher::MatchPattern::SafeRegex(RegexMatcher { regex: "x".to_owned() })),
        ..Default::default()
    };
    let header = HeaderMatcher {
        name: "h".to_owned(),
        header_match_specifier: Some(header_matcher::HeaderMatchSpecifier::StringMatch(exact.clone())),
        invert_match: true,
    };
    let parameter = QueryParameterMatcher {
        name: "q".to_owned(),
        query_parameter_match_specifier: Some(
            query_parameter_matcher::QueryParameterMatchSpecifier::StringMatch(exact),
        ),
    };
    let retry_policy = RetryPolicy {
        retry_on: "o".to_owned(),
        num_retries: Some(2),
        per_try_timeout: Some(Duration { seconds: 1, nanos: 2 }),
        retriable_status_codes: vec![5, 6],
        retry_back_off: Some(retry_policy::RetryBackOff {
            base_interval: None,
            max_interval: Some(Duration::default()),
        }),
    };
    let cluster =
        weighted_cluster::ClusterWeight { name: "c".to_owned(), weight: Some(9), ..Default::default() };
    let action = RouteAction {
        timeout: Some(Duration { seconds: 3, nanos: 0 }),
        retry_policy: Some(retry_policy),
        cluster_specifier: Some(route_action::ClusterSpecifier::WeightedClusters(WeightedCluster {
            clusters: vec![cluster],
        })),
        ..Default::default()
    };
    let fields = Struct { fields: [("f".to_owned(), Value { kind: Some(Kind::BoolValue(true)) })].into() };
    let message = Route {
        r#match: Some(RouteMatch {
            path_specifier: Some(route_match::PathSpecifier::PathSeparatedPrefix("/p".to_owned())),
            headers: vec![header],
            query_parameters: vec![parameter],
            ..Default::default()
        }),
        action: Some(route::Action::Route(action)),
        metadata: Some(Metadata { filter_metadata: [("weft.dev".to_owned(), fields)].into() }),
        name: "r".to_owned(),
        ..Default::default()
    };

    let regex = field(5, &field(2, b"x"));
    let header = [field(1, b"h"), varint(8, 1), field(13, &regex)].concat();
    let parameter = [field(1, b"q"), field(5, &regex)].concat();
    let condition = [field(6, &header), field(7, &parameter), field(14, b"/p")].concat();
    let retry = [
        field(1, b"o"),
        field(2, &varint(1, 2)),
        field(3, &[varint(1, 1), varint(2, 2)].concat()),
        field(7, &[5, 6]),
        field(8, &field(2, b"")),
    ];
    let weight = [field(1, b"c"), field(2, &varint(1, 9))].concat();
    let action = [field(3, &field(1, &weight)), field(8, &varint(1, 3)), field(9, &retry.concat())].concat();
    let fields = field(1, &[field(1, b"f"), field(2, &varint(4, 1))].concat());
    let metadata = field(1, &[field(1, b"weft.dev"), field(2, &fields)].concat());
    check(&message, &[field(1, &condition), field(2, &action), field(4, &metadata), field(14, b"r")]);
}

#[test]
fn what_routes_do_besides() {
    let option = HeaderValueOption {
        header: Some(HeaderValue { key: "k".to_owned(), value: "v".to_owned() }),
        append_action: header_value_option::HeaderAppendAction::OverwriteIfExistsOrAdd.into(),
    };
    let option_bytes = [field(1, &[field(1, b"k"), field(2, b"v")].concat()), varint(3, 2)].concat();
    let any = Any { type_url: "t".to_owned(), ..Default::default() };
    let route = Route {
        request_headers_to_add: vec![option.clone()],
        response_headers_to_add: vec![option.clone()],
        response_headers_to_remove: vec!["a".to_owned()],
        request_headers_to_remove: vec!["b".to_owned()],
        typed_per_filter_config: [("f".to_owned(), any)].into(),
        ..Default::default()
    };
    let per_filter = [field(1, b"f"), field(2, &field(1, b"t"))].concat();
    let edits = [field(9, &option_bytes), field(10, &option_bytes), field(11, b"a"), field(12, b"b")];
    check(&route, &[&edits[..], &[field(13, &per_filter)]].concat());
    let cluster = weighted_cluster::ClusterWeight {
        request_headers_to_add: vec![option.clone()],
        response_headers_to_add: vec![option],
        response_headers_to_remove: vec!["a".to_owned()],
        request_headers_to_remove: vec!["b".to_owned()],
        ..Default::default()
    };
    check(&cluster, &[field(4, &option_bytes), field(5, &option_bytes), field(6, b"a"), field(9, b"b")]);

    let rewrite = RegexMatchAndSubstitute {
        pattern: Some(RegexMatcher { regex: "p".to_owned() }),
        substitution: "s".to_owned(),
    };
    let rewrite_bytes = [field(1, &field(2, b"p")), field(2, b"s")].concat();
    let share = RuntimeFractionalPercent {
        default_value: Some(FractionalPercent {
            numerator: 7,
            denominator: fractional_percent::DenominatorType::Million.into(),
        }),
        ..Default::default()
    };
    let mirror = route_action::RequestMirrorPolicy {
        cluster: "m".to_owned(),
        runtime_fraction: Some(share),
        disable_shadow_host_suffix_append: true,
    };
    let share_bytes = field(1, &[varint(1, 7), varint(2, 2)].concat());
    let mirror_bytes = [field(1, b"m"), field(3, &share_bytes), varint(6, 1)].concat();
    let host = route_action::HostRewriteSpecifier::HostRewriteLiteral("h".to_owned());
    let not_found = route_action::ClusterNotFoundResponseCode::InternalServerError;
    let action = RouteAction {
        cluster_not_found_response_code: not_found.into(),
        prefix_rewrite: "/p".to_owned(),
        host_rewrite_specifier: Some(host),
        request_mirror_policies: vec![mirror],
        regex_rewrite: Some(rewrite.clone()),
        ..Default::default()
    };
    let fields =
        [varint(20, 2), field(5, b"/p"), field(6, b"h"), field(30, &mirror_bytes), field(32, &rewrite_bytes)];
    check(&action, &fields);

    let redirect = RedirectAction {
        host_redirect: "h".to_owned(),
        response_code: redirect_action::RedirectResponseCode::PermanentRedirect.into(),
        port_redirect: 9,
        strip_query: true,
        scheme_rewrite_specifier: Some(redirect_action::SchemeRewriteSpecifier::SchemeRedirect(
            "https".to_owned(),
        )),
        path_rewrite_specifier: Some(redirect_action::PathRewriteSpecifier::RegexRewrite(rewrite)),
    };
    let place = [field(1, b"h"), varint(3, 4), varint(6, 1), field(7, b"https"), varint(8, 9)];
    check(&redirect, &[&place[..], &[field(9, &rewrite_bytes)]].concat());

    let config = FilterConfig { config: Some(Any::default()), is_optional: true };
    check(&config, &[field(1, b""), varint(2, 1)]);
    let cors = CorsPolicy {
        allow_origin_string_match: vec![StringMatcher::default()],
        allow_methods: "m".to_owned(),
        allow_headers: "h".to_owned(),
        expose_headers: "e".to_owned(),
        max_age: "5".to_owned(),
        allow_credentials: Some(true),
        forward_not_matching_preflights: Some(false),
    };
    let lists = [field(1, b""), field(2, b"m"), field(3, b"h"), field(4, b"e"), field(5, b"5")];
    check(&cors, &[&lists[..], &[field(6, &varint(1, 1)), field(10, b"")]].concat());
}

#[test]
fn faults() {
    let percentage = Some(FractionalPercent {
        numerator: 7,
        denominator: fractional_percent::DenominatorType::Million.into(),
    });
    let share = [varint(1, 7), varint(2, 2)].concat();
    let fixed = FaultDelaySecifier::FixedDelay(Duration { seconds: 2, nanos: 0 });
    let delay = FaultDelay { percentage, fault_delay_secifier: Some(fixed) };
    let delay_bytes = [field(3, &varint(1, 2)), field(4, &share)].concat();
    check(&delay, &[field(3, &varint(1, 2)), field(4, &share)]);
    let abort = |error_type| FaultAbort { percentage, error_type: Some(error_type) };
    check(&abort(ErrorType::HttpStatus(99)), &[varint(2, 99), field(3, &share)]);
    check(&abort(ErrorType::GrpcStatus(14)), &[field(3, &share), varint(5, 14)]);
    let abort_bytes = [varint(2, 99), field(3, &share)].concat();
    let fault = HttpFault {
        delay: Some(delay),
        abort: Some(abort(ErrorType::HttpStatus(99))),
        max_active_faults: Some(9),
    };
    check(&fault, &[field(1, &delay_bytes), field(2, &abort_bytes), field(6, &varint(1, 9))]);
}

#[test]
fn clusters_and_endpoints() {
    let any = Any { type_url: "t".to_owned(), ..Default::default() };
    let message = Cluster {
        name: "n".to_owned(),
        cluster_discovery_type: Some(cluster::ClusterDiscoveryType::Type(cluster::DiscoveryType::Eds.into())),
        connect_timeout: Some(Duration { seconds: 1, nanos: 0 }),
        lb_policy: cluster::LbPolicy::LeastRequest.into(),
        typed_extension_protocol_options: [("o".to_owned(), any)].into(),
        ..Default::default()
    };
    let options = [field(1, b"o"), field(2, &field(1, b"t"))].concat();
    let fields = [field(1, b"n"), varint(2, 3), field(4, &varint(1, 1)), varint(6, 1), field(36, &options)];
    check(&message, &fields);

    let socket_address = SocketAddress {
        address: "::1".to_owned(),
        port_specifier: Some(socket_address::PortSpecifier::PortValue(80)),
        ..Default::default()
    };
    let endpoint = Endpoint {
        address: Some(Address { address: Some(address::Address::SocketAddress(socket_address)) }),
        ..Default::default()
    };
    let endpoint = LbEndpoint {
        host_identifier: Some(lb_endpoint::HostIdentifier::Endpoint(endpoint)),
        health_status: weft_xds::core::HealthStatus::Draining.into(),
        load_balancing_weight: Some(7),
        ..Default::default()
    };
    let address = field(1, &field(1, &field(1, &[field(2, b"::1"), varint(3, 80)].concat())));
    check(&endpoint, &[address, varint(2, 3), field(4, &varint(1, 7))]);
}

#[test]
fn secrets() {
    let inline = |bytes: &'static [u8]| {
        Some(DataSource { specifier: Some(data_source::Specifier::InlineBytes(bytes.into())) })
    };
    let certificate = TlsCertificate { certificate_chain: inline(b"c"), private_key: None };
    let identity =
        Secret { name: "identity".to_owned(), r#type: Some(secret::Type::TlsCertificate(certificate)) };
    check(&identity, &[field(1, b"identity"), field(2, &field(1, &field(2, b"c")))]);

    let context = CertificateValidationContext { trusted_ca: inline(b"r"), ..Default::default() };
    let bundle = Secret { name: "b".to_owned(), r#type: Some(secret::Type::ValidationContext(context)) };
    check(&bundle, &[field(1, b"b"), field(4, &field(1, &field(2, b"r")))]);

    let context = DownstreamTlsContext { require_client_certificate: Some(true), ..Default::default() };
    check(&context, &[field(2, &varint(1, 1))]);
}
