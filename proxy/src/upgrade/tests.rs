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
fn a_tunnel_is_asked_for_by_its_method() {
    for (version, wanted) in [(Version::HTTP_10, false), (Version::HTTP_11, true), (Version::HTTP_2, true)] {
        let mut request = Request::connect("a.example:443").version(version).body(()).unwrap();
        let none = hyper::upgrade::on(&mut request);
        request.extensions_mut().insert(none);
        let upgrade = Upgrade::wanted(&mut request.into_parts().0);
        assert_eq!(upgrade.is_some(), wanted, "{version:?}");
        let Some(upgrade) = upgrade else { continue };
        let mut headers = HeaderMap::new();
        upgrade.ask(&mut headers);
        assert!(headers.is_empty());
        for (status, granted) in
            [(200, true), (204, true), (299, true), (101, false), (302, false), (407, false)]
        {
            assert_eq!(upgrade.is_granted_by(StatusCode::from_u16(status).unwrap()), granted, "{status}");
        }
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
