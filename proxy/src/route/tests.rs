use http::Request;
use rand::{SeedableRng, rngs::SmallRng};

use super::*;

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

fn backend(weight: u32, name: Option<&str>) -> Backend {
    let cluster = |name| Arc::new(Cluster::for_tests(name, Vec::new()));
    Backend { weight, cluster: name.map(cluster), edits: Edits::default() }
}

#[test]
fn backends_share_by_weight() {
    const REQUESTS: u32 = 100_000;
    let tables: [&[(u32, Option<&str>)]; 5] = [
        &[(1, Some("a")), (0, Some("never")), (3, Some("b")), (4, None)],
        &[(1, Some("a")), (1, Some("b"))],
        &[(90, Some("a")), (9, Some("b")), (1, Some("c"))],
        &[(1_000_000, Some("a")), (1_000_000, Some("b")), (1_000_000, Some("c"))],
        &[(7, Some("a"))],
    ];
    for table in tables {
        let backends = Backends::new(table.iter().map(|(weight, name)| backend(*weight, *name)).collect());
        let mut random = SmallRng::seed_from_u64(1);
        let mut counts = std::collections::HashMap::<_, u32>::new();
        for _ in 0..REQUESTS {
            let cluster = backends.pick(&mut random).unwrap().cluster.as_ref();
            *counts.entry(cluster.map(|cluster| cluster.name().to_string())).or_default() += 1;
        }
        let total: u32 = table.iter().map(|(weight, _)| weight).sum();
        for (weight, name) in table {
            let found = counts.remove(&name.map(str::to_owned)).unwrap_or_default();
            // Within 1 % of all requests; and nothing at all for nothing.
            let due = f64::from(REQUESTS) * f64::from(*weight) / f64::from(total);
            assert!(
                (f64::from(found) - due).abs() <= f64::from(REQUESTS) / 100.0,
                "{name:?}: {found}, due {due}"
            );
            assert_eq!(found == 0, *weight == 0, "{name:?}");
        }
        assert!(counts.is_empty(), "{counts:?}");
    }
}

#[test]
fn without_weight_there_is_no_backend() {
    let mut random = SmallRng::seed_from_u64(1);
    for list in [vec![], vec![backend(0, Some("a"))], vec![backend(0, Some("a")), backend(0, None)]] {
        assert!(Backends::new(list).pick(&mut random).is_none());
    }
}
