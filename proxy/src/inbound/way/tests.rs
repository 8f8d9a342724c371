use http::Request;

use super::{First::Plain, *};
use crate::{
    detect::Hello,
    snapshot::{HttpPort, OpaquePort},
};

fn http(plaintext: bool, probes: &[&str]) -> HttpPort {
    let probes = probes.iter().map(ToString::to_string).collect();
    HttpPort {
        plaintext,
        version: Version::Http1,
        connect: false,
        probes,
        authorization: None,
        rate_limits: None,
    }
}

fn tls(is_mesh: bool) -> Protocol {
    Protocol::Tls(Hello { server_name: None, is_mesh })
}

#[test]
fn plaintext_enters_only_where_it_is_taken() {
    let strict = Port {
        http: Some(http(false, &[])),
        opaque: Some(OpaquePort { plaintext: false, authorization: None }),
    };
    let permissive = Port {
        http: Some(http(true, &[])),
        opaque: Some(OpaquePort { plaintext: true, authorization: None }),
    };
    for (protocol, in_strict, in_permissive) in [
        (Protocol::Opaque, Plain(Way::Refused(Fault::PlaintextRefused)), Plain(Way::Opaque)),
        (Protocol::Silence, Plain(Way::Refused(Fault::PlaintextRefused)), Plain(Way::Opaque)),
        (tls(true), First::Mesh, First::Mesh),
        (tls(false), First::Mesh, Plain(Way::Opaque)),
        (Protocol::Http1, Plain(Way::Http(Version::Http1)), Plain(Way::Http(Version::Http1))),
    ] {
        assert_eq!(by_first_bytes(Some(&strict), &protocol), in_strict, "{protocol:?}");
        assert_eq!(by_first_bytes(Some(&permissive), &protocol), in_permissive, "{protocol:?}");
    }
    let request = Request::get("/").body(()).unwrap().into_parts().0;
    assert!(!takes_plaintext(&strict, &request));
    assert!(takes_plaintext(&permissive, &request));
}

#[test]
fn a_port_that_speaks_http_takes_no_other_bytes() {
    let port = Port { http: Some(http(true, &[])), opaque: None };
    assert_eq!(expected(Some(&port)).0, Expected::Http);
    assert_eq!(by_first_bytes(Some(&port), &Protocol::Opaque), Plain(Way::Refused(Fault::NotHttp)));
    assert_eq!(by_first_bytes(Some(&port), &tls(false)), First::Mesh, "the handshake says no");
    assert_eq!(by_alpn(Some(&port), Some(names::ALPN_MESH_TCP)), Way::Refused(Fault::NotHttp));
}

#[test]
fn an_opaque_port_is_not_looked_at() {
    let port = |plaintext| Port { http: None, opaque: Some(OpaquePort { plaintext, authorization: None }) };
    assert_eq!(expected(Some(&port(true))), (Expected::Opaque, SERVER_FIRST));
    assert_eq!(expected(Some(&port(false))), (Expected::Opaque, DETECT_TIMEOUT));
    assert_eq!(by_alpn(Some(&port(false)), Some(names::ALPN_MESH_TCP)), Way::Opaque);
    assert_eq!(by_alpn(Some(&port(false)), None), Way::Opaque);
    assert_eq!(by_alpn(Some(&port(false)), Some(names::ALPN_MESH_H2)), Way::Http(Version::Http2));
}

#[test]
fn without_rules_nothing_passes() {
    assert_eq!(expected(None).0, Expected::Http);
    assert_eq!(by_first_bytes(None, &tls(false)), First::Mesh);
    assert_eq!(by_alpn(None, Some(names::ALPN_MESH_TCP)), Way::Refused(Fault::NotConfigured));
    // Requests are answered, with the reason.
    assert_eq!(by_first_bytes(None, &Protocol::Http2), Plain(Way::Http(Version::Http2)));
}

#[test]
fn a_probe_is_a_get_of_exactly_its_path_or_a_call_of_grpc() {
    let paths = ["/healthz", "/ready?full=1", "/grpc.health.v1.Health/Check"];
    let port = Port { http: Some(http(false, &paths)), opaque: None };
    for (method, uri, taken) in [
        (Method::POST, "/grpc.health.v1.Health/Check", true),
        (Method::GET, "/grpc.health.v1.Health/Check", false),
        (Method::POST, "/grpc.health.v1.Health/Watch", false),
        (Method::GET, "/healthz", true),
        (Method::GET, "http://10.0.0.1:8080/healthz", true),
        (Method::GET, "/ready?full=1", true),
        (Method::GET, "/ready", false),
        (Method::GET, "/healthz?admin=1", false),
        (Method::GET, "/healthz/", false),
        (Method::GET, "/healthz/../admin", false),
        (Method::GET, "/Healthz", false),
        (Method::GET, "//healthz", false),
        (Method::GET, "/%68ealthz", false),
        (Method::POST, "/healthz", false),
        (Method::HEAD, "/healthz", false),
    ] {
        let request = Request::builder().method(method).uri(uri).body(()).unwrap().into_parts().0;
        assert_eq!(takes_plaintext(&port, &request), taken, "{} {uri}", request.method);
    }
}
