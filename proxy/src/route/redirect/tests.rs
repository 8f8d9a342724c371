use http::Request;

use super::*;

fn redirect() -> Redirect {
    Redirect {
        status: StatusCode::FOUND,
        scheme: None,
        host: None,
        port: None,
        path: None,
        strip_query: false,
    }
}

fn location(redirect: &Redirect, target: &str, authority: &str) -> String {
    let request = Request::builder().uri(target).body(()).unwrap().into_parts().0;
    let authority = authority.parse().unwrap();
    let response = redirect.response(&request, &authority, &Path::Segments("/foo".into())).unwrap();
    assert_eq!(response.status(), redirect.status);
    response.headers()[LOCATION].to_str().unwrap().to_owned()
}

#[test]
fn what_is_not_said_stays() {
    let scheme = |scheme: &str| Redirect { scheme: Some(scheme.to_owned()), ..redirect() };
    let host = |host: &str| Redirect { host: Some(host.to_owned()), ..redirect() };
    let path = |path| Redirect { path: Some(path), ..redirect() };
    for (redirect, authority, expected) in [
        (redirect(), "shop:8080", "http://shop:8080/foo/a?b=c"),
        (scheme("https"), "shop", "https://shop/foo/a?b=c"),
        (scheme("https"), "shop:8080", "https://shop/foo/a?b=c"),
        (scheme("http"), "[::1]:8080", "http://[::1]/foo/a?b=c"),
        (Redirect { port: Some(8443), ..scheme("https") }, "shop:80", "https://shop:8443/foo/a?b=c"),
        (Redirect { port: Some(443), ..scheme("https") }, "shop:80", "https://shop/foo/a?b=c"),
        (Redirect { port: Some(80), ..redirect() }, "shop:8080", "http://shop/foo/a?b=c"),
        (Redirect { port: Some(443), ..redirect() }, "shop:8080", "http://shop:443/foo/a?b=c"),
        (host("other.example"), "shop:8080", "http://other.example/foo/a?b=c"),
        (
            Redirect { port: Some(8080), ..host("other.example") },
            "shop:9",
            "http://other.example:8080/foo/a?b=c",
        ),
        (path(PathRewrite::Full("/x".into())), "shop:8080", "http://shop:8080/x?b=c"),
        (path(PathRewrite::Prefix("/x".into())), "shop", "http://shop/x/a?b=c"),
        (
            Redirect { strip_query: true, status: StatusCode::PERMANENT_REDIRECT, ..redirect() },
            "shop",
            "http://shop/foo/a",
        ),
    ] {
        assert_eq!(location(&redirect, "/foo/a?b=c", authority), expected, "{redirect:?}");
    }
}

#[test]
fn a_path_with_two_slashes_leads_to_no_other_host() {
    assert_eq!(location(&redirect(), "//evil.example/", "shop"), "http://shop//evil.example/");
}
