use http::Request;

use super::*;

fn parts(method: &str, target: &str, headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().method(method).uri(target);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

#[test]
fn what_belongs_to_a_connection_ends_with_it() {
    let mut request = parts(
        "GET",
        "/",
        &[
            ("host", "a"),
            ("connection", "close, X-Secret"),
            ("keep-alive", "timeout=5"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("http2-settings", "AAMAAABkAAQCAAAAAAIAAAAA"),
            ("x-secret", "1"),
            ("te", "gzip"),
            ("x-kept", "2"),
        ],
    );
    prepare(&mut request, Version::Http1).unwrap();
    let mut names: Vec<_> = request.headers.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["host", "x-kept"]);
}

#[test]
fn trailers_may_still_be_asked_for() {
    let mut request = parts("POST", "/", &[("host", "a"), ("te", "trailers")]);
    prepare(&mut request, Version::Http2).unwrap();
    assert_eq!(request.headers["te"], "trailers");
}

#[test]
fn nobody_makes_an_essential_field_vanish() {
    for name in ["host", "Content-Length", "authorization"] {
        let mut request = parts("GET", "/", &[("host", "a"), ("connection", name)]);
        assert_eq!(prepare(&mut request, Version::Http1), Err(Fault::BadRequest), "{name}");
    }
}

#[test]
fn the_authority_stands_where_the_next_version_has_it() {
    let mut request = parts("GET", "/a?b", &[("host", "api:8080")]);
    prepare(&mut request, Version::Http2).unwrap();
    assert_eq!(request.uri, "http://api:8080/a?b");
    assert!(!request.headers.contains_key("host"));
    prepare(&mut request, Version::Http1).unwrap();
    assert_eq!(request.uri, "/a?b");
    assert_eq!(request.headers["host"], "api:8080");
}

#[test]
fn a_target_with_an_authority_wins_over_host() {
    let mut request = parts("GET", "http://right/x", &[("host", "wrong")]);
    prepare(&mut request, Version::Http1).unwrap();
    assert_eq!(request.headers["host"], "right");
}

#[test]
fn a_doubtful_authority_is_refused() {
    let two = parts("GET", "/", &[("host", "a"), ("host", "a")]);
    let none = parts("GET", "/", &[]);
    let user = parts("GET", "/", &[("host", "u@a")]);
    let path = parts("GET", "/", &[("host", "a/x")]);
    let mut differing = parts("GET", "http://a/", &[("host", "b")]);
    differing.version = http::Version::HTTP_2;
    for request in [two, none, user, path, differing] {
        assert_eq!(authority(&request), Err(Fault::BadRequest), "{request:?}");
    }
}

#[test]
fn options_of_a_server_stay_what_they_are() {
    let mut request = parts("OPTIONS", "*", &[("host", "a")]);
    prepare(&mut request, Version::Http1).unwrap();
    assert_eq!(request.uri, "*");
}

#[test]
fn only_the_mesh_says_who_calls() {
    let mut headers = HeaderMap::new();
    for name in &OURS {
        headers.append(name, HeaderValue::from_static("forged"));
        headers.append(name, HeaderValue::from_static("twice"));
    }
    strip_ours(&mut headers);
    assert!(headers.is_empty());
    let caller = client_cert("spiffe://td/ns/a/sa/b", "spiffe://td/ns/c/sa/d");
    headers.insert(CLIENT_CERT, caller.unwrap());
    assert_eq!(headers[names::HEADER_CLIENT_CERT], "By=spiffe://td/ns/a/sa/b;URI=spiffe://td/ns/c/sa/d");
}

#[test]
fn tunnels_and_echoes_are_refused() {
    for (method, refused) in [
        ("CONNECT", [true, false]),
        ("TRACE", [true, true]),
        ("GET", [false, false]),
        ("PURGE", [false, false]),
    ] {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        assert_eq!(
            [false, true].map(|connects| check_method(&method, connects).is_err()),
            refused,
            "{method}"
        );
    }
}

#[test]
fn a_tunnel_is_asked_for_by_host_and_port_alone() {
    for next in [Version::Http1, Version::Http2] {
        let mut request =
            parts("CONNECT", "a.example:443", &[("host", "a.example:443"), ("content-length", "0")]);
        prepare(&mut request, next).unwrap();
        assert_eq!(request.uri, "a.example:443");
        assert!(!request.headers.contains_key(header::CONTENT_LENGTH));
    }
    let mut request =
        parts("CONNECT", "[::1]:22", &[("host", "other:1"), ("proxy-authorization", "Basic eDp5")]);
    prepare(&mut request, Version::Http1).unwrap();
    assert_eq!(request.uri, "[::1]:22");
    assert_eq!(request.headers[HOST], "[::1]:22");
    assert!(request.headers.contains_key(header::PROXY_AUTHORIZATION), "it is for whoever opens the tunnel");
    for (target, headers) in [
        ("a.example", &[("host", "a.example")][..]),
        ("/", &[("host", "a.example:443")]),
        ("http://a.example:443/", &[("host", "a.example:443")]),
        ("u@a.example:443", &[("host", "a.example:443")]),
        ("a.example:443", &[("host", "a.example:443"), ("content-length", "1")]),
        ("a.example:443", &[("host", "a.example:443"), ("transfer-encoding", "chunked")]),
    ] {
        let mut request = parts("CONNECT", target, headers);
        assert_eq!(prepare(&mut request, Version::Http1), Err(Fault::BadRequest), "{target} {headers:?}");
    }
}

#[test]
fn attempts_are_a_number_or_none() {
    for (value, attempts) in [("2", 2), ("", 0), ("-1", 0), ("x", 0)] {
        let headers =
            HeaderMap::from_iter([(HeaderName::from_static(names::HEADER_ATTEMPT), value.parse().unwrap())]);
        assert_eq!(attempt(&headers), attempts, "{value}");
    }
}

#[test]
fn crumbs_of_a_cookie_are_joined_for_http1_only() {
    let split = || parts("GET", "/", &[("host", "a"), ("cookie", "a=1"), ("cookie", "b=2; c=3")]);
    let mut request = split();
    prepare(&mut request, Version::Http1).unwrap();
    assert_eq!(request.headers.get_all("cookie").iter().collect::<Vec<_>>(), ["a=1; b=2; c=3"]);
    let mut request = split();
    prepare(&mut request, Version::Http2).unwrap();
    assert_eq!(request.headers.get_all("cookie").iter().count(), 2);
}

#[test]
fn only_a_sidecar_that_did_not_reach_its_application_says_unprocessed() {
    let response = |fault: Fault| fault.response().into_parts().0.headers;
    for fault in Fault::ALL {
        let unprocessed = matches!(fault, Fault::ConnectFailed | Fault::UpstreamRefused);
        assert_eq!(says_unprocessed(&response(fault)), unprocessed, "{fault:?}");
    }
    assert!(!says_unprocessed(&HeaderMap::new()));
}

#[test]
fn trailers_may_not_say_what_was_decided_before_them() {
    let names = ["x-forwarded-client-cert", "host", "content-length", "transfer-encoding", "x-sum"];
    let mut trailers: HeaderMap =
        names.iter().map(|name| (HeaderName::from_static(name), HeaderValue::from_static("said"))).collect();
    strip_trailers(&mut trailers);
    assert_eq!(trailers.keys().collect::<Vec<_>>(), ["x-sum"]);
}

#[test]
fn only_http_1_0_may_leave_out_whom_it_calls() {
    for (version, host, assumed) in [
        (http::Version::HTTP_10, None, Some("10.96.0.1:80")),
        (http::Version::HTTP_10, Some("shop"), Some("shop")),
        (http::Version::HTTP_11, None, None),
    ] {
        let mut request = http::Request::get("/").version(version);
        if let Some(host) = host {
            request = request.header(HOST, host);
        }
        let mut parts = request.body(()).unwrap().into_parts().0;
        assume_host(&mut parts, &"10.96.0.1:80");
        let host = parts.headers.get(HOST).map(|host| host.to_str().unwrap());
        assert_eq!(host, assumed, "{version:?}");
    }
}
