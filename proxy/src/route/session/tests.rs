use std::time::Instant;

use http::header::COOKIE;
use weft_api::circuit_breaker::Breaker;

use super::*;
use crate::{
    accrual::Accrual,
    balance::Load,
    breaker::{EndpointKey, Kept, Scope, Settings},
    cluster::Cluster,
    http::serve::Version,
    route::{Backend, Edits},
    upstream::Peer,
};

/// Two backends with these ports.
fn backends(ports: [&[u16]; 2]) -> Backends {
    let now = Instant::now();
    let backend = |(name, ports): (&str, &[u16])| {
        let key = |port: &u16| EndpointKey { address: ([10, 0, 0, 1], *port).into(), identity: None };
        let keys: Vec<_> = ports.iter().map(key).collect();
        let settings = Settings::new(&Breaker::default(), Scope::Endpoint);
        let breakers = Kept::new(settings, 50, 1).reconcile(now, &keys).breakers;
        let endpoint = |(key, breaker): (&EndpointKey, _)| {
            Arc::new(Endpoint {
                peer: Arc::new(Peer::new(key.address, Version::Http1, None)),
                accrual: Arc::new(Accrual::new(Scope::Endpoint, name.into(), Some(key.address), breaker)),
                weight: 1,
                load: Arc::new(Load::new(now)),
                fresh: None,
            })
        };
        let endpoints = keys.iter().zip(breakers).map(endpoint).collect();
        let cluster = Arc::new(Cluster::for_tests(name, endpoints));
        Backend { weight: 1, cluster: Some(cluster), edits: Edits::default() }
    };
    Backends::new(["shop/a:80", "shop/b:80"].into_iter().zip(ports).map(backend).collect())
}

fn spec(key: &[u8]) -> SessionSpec {
    SessionSpec {
        carrier: Carrier::Cookie("cart".to_owned()),
        key: hmac::Key::new(hmac::HMAC_SHA256, key),
        absolute: None,
        idle: None,
        permanent: false,
    }
}

fn sessions(spec: SessionSpec) -> Sessions {
    Sessions::new(spec, &backends([&[1, 2], &[1]]))
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

/// The endpoint of `sessions` by backend and port.
fn endpoint(sessions: &Sessions, backend: usize, port: u16) -> Arc<Endpoint> {
    let all = sessions.seats.values();
    let found = all.filter(|(index, endpoint)| (*index, endpoint.peer.address.port()) == (backend, port));
    found.map(|(_, endpoint)| Arc::clone(endpoint)).next().unwrap()
}

/// What a caller is told whom this endpoint of the first backend has answered.
fn told(sessions: &Sessions, session: Option<&Session>, port: u16, seconds: u64) -> Option<String> {
    let endpoint = endpoint(sessions, 0, port);
    let (name, value) = sessions.tell(session, "shop/a:80", &endpoint, at(seconds))?;
    assert_eq!(name, SET_COOKIE);
    Some(value.to_str().unwrap().to_owned())
}

/// The cookie of which it is told, as a caller gives it back.
fn cookie(set: &str) -> HeaderMap {
    let (pair, _) = set.split_once(';').unwrap();
    HeaderMap::from_iter([(COOKIE, HeaderValue::from_str(pair).unwrap())])
}

#[test]
fn a_caller_is_told_once_and_comes_back_to_the_same_endpoint_of_the_same_backend() {
    let sessions = sessions(spec(b"key"));
    assert_eq!(sessions.shown(&HeaderMap::new(), at(1)), None);
    for (backend, cluster, port) in [(0, "shop/a:80", 1), (0, "shop/a:80", 2), (1, "shop/b:80", 1)] {
        let endpoint = endpoint(&sessions, backend, port);
        let (_, value) = sessions.tell(None, cluster, &endpoint, at(1)).unwrap();
        let value = value.to_str().unwrap();
        assert!(value.ends_with("; Path=/; HttpOnly; SameSite=Strict"), "{value}");
        assert!(!value.contains("10.0.0.1") && !value.contains("shop"), "{value}");
        let session = sessions.shown(&cookie(value), at(1_000_000)).unwrap();
        let (found, seat) = sessions.seat(&session).unwrap();
        assert!(found == backend && Arc::ptr_eq(seat, &endpoint));
        assert_eq!(sessions.tell(Some(&session), cluster, &endpoint, at(1_000_000)), None);
    }
}

#[test]
fn a_session_goes_on_with_any_sidecar_of_the_same_key_and_with_none_of_another() {
    let given = told(&sessions(spec(b"key")), None, 2, 1).unwrap();
    let others = sessions(spec(b"key"));
    let session = others.shown(&cookie(&given), at(2)).unwrap();
    assert!(Arc::ptr_eq(others.seat(&session).unwrap().1, &endpoint(&others, 0, 2)));
    assert_eq!(sessions(spec(b"other")).shown(&cookie(&given), at(2)), None);
}

#[test]
fn of_an_endpoint_that_is_gone_nothing_is_left_and_whoever_answers_takes_its_place() {
    let given = told(&sessions(spec(b"key")), None, 2, 1).unwrap();
    let after = Sessions::new(spec(b"key"), &backends([&[1], &[1]]));
    let session = after.shown(&cookie(&given), at(2)).unwrap();
    assert!(after.seat(&session).is_none());
    let next = told(&after, Some(&session), 1, 2).unwrap();
    let session = after.shown(&cookie(&next), at(3)).unwrap();
    assert!(Arc::ptr_eq(after.seat(&session).unwrap().1, &endpoint(&after, 0, 1)));
}

#[test]
fn whoever_changes_a_token_has_none() {
    let sessions = sessions(spec(b"key"));
    let given = told(&sessions, None, 1, 1).unwrap();
    let token = given.strip_prefix("cart=").unwrap().split_once(';').unwrap().0;
    let shown = |text: &[u8]| {
        let value = HeaderValue::from_bytes(text).unwrap();
        sessions.shown(&HeaderMap::from_iter([(COOKIE, value)]), at(2))
    };
    for place in 0..token.len() {
        let mut bytes = token.as_bytes().to_vec();
        bytes[place] = if bytes[place] == b'0' { b'1' } else { b'0' };
        assert_eq!(shown(&[b"cart=", &bytes[..]].concat()), None, "digit {place}");
    }
    for text in
        ["cart", "cart=", "cart=\u{e9}", ";;=;", &format!("cart={}", &token[1..]), &format!("cart={token}0")]
    {
        assert_eq!(shown(text.as_bytes()), None, "{text}");
    }
    // Others of the name, from whoever set them, and lines of HTTP/2 do not hide it.
    assert!(shown(format!("a=b;cart=x; cart={token} ;c").as_bytes()).is_some());
    let value = |text: String| HeaderValue::from_str(&text).unwrap();
    let mut lines = HeaderMap::new();
    lines.append(COOKIE, value("a=b".to_owned()));
    lines.append(COOKIE, value(format!("cart={token}")));
    assert!(sessions.shown(&lines, at(2)).is_some());
}

#[test]
fn a_session_ends_by_its_times_and_goes_on_for_whoever_asks() {
    let absolute = Some(Duration::from_hours(1));
    let sessions = sessions(SessionSpec { absolute, idle: Some(Duration::from_secs(80)), ..spec(b"key") });
    let first = told(&sessions, None, 1, 1000).unwrap();
    let early = sessions.shown(&cookie(&first), at(1010)).unwrap();
    assert_eq!(told(&sessions, Some(&early), 1, 1010), None, "an eighth of 80 s");
    assert!(sessions.shown(&cookie(&first), at(1079)).is_some());
    assert_eq!(sessions.shown(&cookie(&first), at(1080)), None, "idle");
    let second = told(&sessions, Some(&early), 1, 1011).unwrap();
    let renewed = sessions.shown(&cookie(&second), at(1090)).unwrap();
    assert_eq!((renewed.since, renewed.seen), (1000, 1011));
    // However often it is renewed.
    let last = told(&sessions, Some(&Session { seen: 4590, ..renewed }), 1, 4601);
    assert_eq!(sessions.shown(&cookie(&last.unwrap()), at(4602)), None, "an hour");
    // A clock that is behind is no reason to end it.
    assert!(sessions.shown(&cookie(&first), at(990)).is_some());
}

#[test]
fn a_permanent_cookie_says_how_long_it_is_kept() {
    let absolute = Some(Duration::from_hours(1));
    let idle = Some(Duration::from_mins(10));
    let sessions = sessions(SessionSpec { absolute, idle, permanent: true, ..spec(b"key") });
    let first = told(&sessions, None, 1, 1000).unwrap();
    assert!(first.ends_with("; Max-Age=3600"), "{first}");
    let session = sessions.shown(&cookie(&first), at(1500)).unwrap();
    let second = told(&sessions, Some(&session), 1, 1500).unwrap();
    assert!(second.ends_with("; Max-Age=3100"), "{second}");
}

#[test]
fn a_header_carries_the_token_and_nothing_else() {
    let name = HeaderName::from_static("x-cart");
    let sessions = sessions(SessionSpec { carrier: Carrier::Header(name.clone()), ..spec(b"key") });
    let (header, value) = sessions.tell(None, "shop/a:80", &endpoint(&sessions, 0, 2), at(1)).unwrap();
    assert_eq!((&header, value.len()), (&name, TOKEN_BYTES * 2));
    let session = sessions.shown(&HeaderMap::from_iter([(header, value)]), at(2)).unwrap();
    assert!(Arc::ptr_eq(sessions.seat(&session).unwrap().1, &endpoint(&sessions, 0, 2)));
}
