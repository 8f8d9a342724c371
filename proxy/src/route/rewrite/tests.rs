use http::{Request, header::HOST};

use super::*;
use crate::{
    http::headers,
    route::{expression, whole},
};

fn segments(prefix: &str) -> Path {
    Path::Segments(prefix.to_owned())
}

fn prefix(text: &str) -> Rewrite {
    Rewrite { path: Some(PathRewrite::Prefix(text.to_owned())), host: None }
}

fn request(target: &str, version: http::Version) -> Parts {
    Request::builder().uri(target).version(version).header(HOST, "shop").body(()).unwrap().into_parts().0
}

#[test]
fn a_prefix_is_replaced_and_the_rest_and_the_query_stay() {
    for (matched, to, target, expected) in [
        (segments("/foo"), "/xyz", "/foo/bar", "/xyz/bar"),
        (segments("/foo"), "/xyz", "/foo", "/xyz"),
        (segments("/foo"), "/xyz", "/foo/", "/xyz/"),
        (segments("/foo"), "/xyz", "/foo/bar?a=/foo&b", "/xyz/bar?a=/foo&b"),
        (segments("/foo"), "/xyz", "/foo?", "/xyz?"),
        (segments(""), "/xyz/", "/bar", "/xyz/bar"),
        (segments(""), "/xyz/", "/", "/xyz/"),
        (Path::Prefix("/fo".into()), "/x", "/foo/bar", "/xo/bar"),
        (Path::Exact("/foo".into()), "/xyz", "/foo", "/xyz"),
        (Path::Regex(whole("/f.*").unwrap()), "/xyz", "/foo/bar", "/xyz"),
    ] {
        let mut request = request(target, http::Version::HTTP_11);
        prefix(to).apply(&mut request, &matched).unwrap();
        assert_eq!(request.uri.to_string(), expected, "{matched:?} {to} {target}");
    }
}

#[test]
fn a_path_is_replaced_by_another_or_by_what_an_expression_makes_of_it() {
    let pattern = |pattern: &str, substitution: &str| PathRewrite::Pattern {
        pattern: expression(pattern).unwrap(),
        substitution: substitution.to_owned(),
    };
    for (rewrite, target, expected) in [
        (PathRewrite::Full("/one".into()), "/foo/bar?a=b", "/one?a=b"),
        (pattern("^/.*$", "/one"), "/foo/bar?a=b", "/one?a=b"),
        (pattern("^/foo/?", "/"), "/foo/bar", "/bar"),
        (pattern("^/foo/?", "/"), "/foo/", "/"),
        (pattern("^/foo/?", "/"), "/foo", "/"),
        (pattern("^/foo/?", "/"), "/foo//bar", "//bar"),
        (pattern("^/([a-z]+)/([a-z]+)$", "/${2}/${1}"), "/a/b", "/b/a"),
        (pattern("^/a$", "/$$"), "/a", "/$"),
    ] {
        let mut request = request(target, http::Version::HTTP_11);
        let rewrite = Rewrite { path: Some(rewrite), host: None };
        rewrite.apply(&mut request, &segments("")).unwrap();
        assert_eq!(request.uri.to_string(), expected, "{rewrite:?}");
    }
}

#[test]
fn another_host_is_the_one_that_the_next_hop_is_told() {
    for (target, version) in [("/a?b", http::Version::HTTP_11), ("http://shop/a?b", http::Version::HTTP_2)] {
        let mut request = request(target, version);
        let rewrite = Rewrite {
            host: Some(HeaderValue::from_static("other.example")),
            path: Some(PathRewrite::Full("/new".into())),
        };
        rewrite.apply(&mut request, &segments("")).unwrap();
        assert_eq!(headers::authority(&request).unwrap(), "other.example");
        assert_eq!(request.uri.path_and_query().unwrap(), "/new?b");
    }
    let mut untouched = request("http://shop/a", http::Version::HTTP_2);
    Rewrite::default().apply(&mut untouched, &segments("")).unwrap();
    assert_eq!(untouched.uri, "http://shop/a");
}

#[test]
fn a_path_that_http_cannot_carry_is_refused() {
    let mut request = request("/a", http::Version::HTTP_11);
    let rewrite = Rewrite { path: Some(PathRewrite::Full("no path".into())), host: None };
    assert!(rewrite.apply(&mut request, &segments("")).is_err());
}
