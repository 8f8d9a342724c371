use http::Request;

use super::*;

/// Whether a request with these fields would leave HTTP, where hyper has found that it could.
fn is_wanted(fields: &[(&str, &str)]) -> bool {
    let mut request = Request::get("/chat").version(Version::HTTP_11);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let mut request = request.body(()).unwrap();
    let none = hyper::upgrade::on(&mut request);
    request.extensions_mut().insert(none);
    Upgrade::wanted(&mut request.into_parts().0).is_some()
}

#[test]
fn only_a_request_that_says_so_twice_leaves_http() {
    for (fields, wanted) in [
        (&[("connection", "Upgrade"), ("upgrade", "websocket")][..], true),
        (&[("connection", "keep-alive, upgrade"), ("upgrade", "websocket")], true),
        (&[("connection", "close"), ("connection", "upgrade"), ("upgrade", "SPDY/3.1")], true),
        (&[("upgrade", "websocket")], false),
        (&[("connection", "upgrade")], false),
        (&[("connection", "upgraded"), ("upgrade", "websocket")], false),
        (&[("connection", "upgrade"), ("upgrade", "a"), ("upgrade", "b")], false),
        (&[("connection", "upgrade, http2-settings"), ("upgrade", "h2c")], false),
        (&[("connection", "upgrade"), ("upgrade", "websocket, H2C")], false),
    ] {
        assert_eq!(is_wanted(fields), wanted, "{fields:?}");
    }
}

#[test]
fn a_request_of_another_version_does_not() {
    let request = Request::get("/").header("connection", "upgrade").header("upgrade", "websocket");
    let mut request = request.version(Version::HTTP_10).body(()).unwrap();
    let none = hyper::upgrade::on(&mut request);
    request.extensions_mut().insert(none);
    assert!(Upgrade::wanted(&mut request.into_parts().0).is_none());
}
