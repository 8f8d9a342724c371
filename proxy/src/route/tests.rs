use http::Request;
use rand::{SeedableRng, rngs::SmallRng};

use super::*;
use crate::balance::Endpoints;

fn parts(method: &str, target: &str, headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().method(method).uri(target);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

fn path(path: Path) -> Match {
    Match { path, ..Match::default() }
}

#[test]
fn paths() {
    let exact = || path(Path::Exact("/a".into()));
    let segments = || path(Path::Segments("/a".into()));
    let prefix = || path(Path::Prefix("/a".into()));
    let regex = || path(Path::Regex(whole("/a|/b.").unwrap()));
    for (rule, target, takes) in [
        (exact(), "/a", true),
        (exact(), "/a/", false),
        (exact(), "/a?x=1", true),
        (segments(), "/a", true),
        (segments(), "/a/", true),
        (segments(), "/a/b", true),
        (segments(), "/ab", false),
        (prefix(), "/ab", true),
        (prefix(), "/b", false),
        (regex(), "/a", true),
        (regex(), "/bc", true),
        (regex(), "/bcd", false),
        (regex(), "/x/a", false),
        (Match::default(), "/anything", true),
    ] {
        assert_eq!(rule.takes(&parts("GET", target, &[])), takes, "{target}");
    }
}

#[test]
fn methods_headers_and_queries_must_all_match() {
    let rule = Match {
        method: Some(Method::GET),
        headers: vec![(HeaderName::from_static("x-env"), Text::Exact("canary".into()))],
        query: vec![("q".into(), Text::Regex(whole("[0-9]+").unwrap()))],
        ..Match::default()
    };
    for (method, target, headers, takes) in [
        ("GET", "/?q=12", &[("X-Env", "canary")][..], true),
        ("POST", "/?q=12", &[("x-env", "canary")], false),
        ("GET", "/?q=1a", &[("x-env", "canary")], false),
        ("GET", "/", &[("x-env", "canary")], false),
        ("GET", "/?q=12", &[], false),
        ("GET", "/?q=12", &[("x-env", "canary"), ("x-env", "blue")], false),
        ("GET", "/?q=12&q=a", &[("x-env", "canary")], true),
        ("GET", "/?%71=%31", &[("x-env", "canary")], true),
    ] {
        assert_eq!(rule.takes(&parts(method, target, headers)), takes, "{method} {target} {headers:?}");
    }
}

#[test]
fn an_expression_without_bound_is_refused() {
    assert!(whole("a{1000}{1000}").is_err());
    assert!(whole("(").is_err());
}

#[test]
fn backends_share_by_weight() {
    let cluster = |name: &str| {
        Some(Arc::new(Cluster { guard: Guard::for_tests(name), endpoints: Endpoints::default() }))
    };
    let backends =
        Backends::new(vec![(1, cluster("a")), (0, cluster("never")), (3, cluster("b")), (4, None)]);
    let mut random = SmallRng::seed_from_u64(1);
    let mut counts = std::collections::HashMap::new();
    for _ in 0..80_000 {
        let name = backends.pick(&mut random).map_or("missing", |cluster| cluster.name());
        *counts.entry(name.to_owned()).or_insert(0_i32) += 1;
    }
    assert_eq!(counts.len(), 3);
    for (name, expected) in [("a", 10_000_i32), ("b", 30_000), ("missing", 40_000)] {
        assert!((counts[name] - expected).abs() < 800, "{name}: {counts:?}");
    }
}

#[test]
fn without_weight_there_is_no_backend() {
    let mut random = SmallRng::seed_from_u64(1);
    assert!(Backends::new(vec![]).pick(&mut random).is_none());
    let one = Some(Arc::new(Cluster { guard: Guard::for_tests("a"), endpoints: Endpoints::default() }));
    assert!(Backends::new(vec![(0, one)]).pick(&mut random).is_none());
}
