use super::*;

fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    pairs
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
        .collect()
}

fn left(pairs: &[(&'static str, &'static str)], own_ms: Option<u64>) -> Option<Duration> {
    let started = Instant::now();
    of(&headers(pairs), started, own_ms.map(Duration::from_millis)).map(|at| at - started)
}

#[test]
fn the_sooner_of_caller_and_route_counts() {
    for (grpc, own, expected) in [
        ("100m", None, Some(100)),
        ("2S", Some(500), Some(500)),
        ("1H", Some(7_200_000), Some(3_600_000)),
        ("1M", None, Some(60_000)),
        ("5000u", None, Some(5)),
        ("1000000n", None, Some(1)),
    ] {
        assert_eq!(left(&[("grpc-timeout", grpc)], own), expected.map(Duration::from_millis), "{grpc}");
    }
    assert_eq!(
        left(&[("x-envoy-expected-rq-timeout-ms", "250")], Some(300)),
        Some(Duration::from_millis(250))
    );
    assert_eq!(left(&[], None), None);
}

#[test]
fn what_is_no_time_gives_none() {
    for value in ["", "m", "1", "-1m", "1x", "123456789m", "1.5S", "S1", "ä"] {
        assert!(grpc_timeout(&HeaderValue::from_bytes(value.as_bytes()).unwrap()).is_none(), "{value:?}");
    }
    assert_eq!(left(&[("x-envoy-expected-rq-timeout-ms", "-5")], None), None);
    assert_eq!(
        left(&[("x-envoy-expected-rq-timeout-ms", "18446744073709551615")], Some(9)),
        Some(Duration::from_millis(9))
    );
}

#[test]
fn the_next_hop_is_never_told_more_than_is_left() {
    for nanos in [0, 1, 99_999_999, 100_000_000, 1_234_567_890, 86_400_000_000_000] {
        let left = Duration::from_nanos(nanos);
        let text = grpc_text(left);
        let told = grpc_timeout(&HeaderValue::from_str(&text).unwrap()).unwrap();
        assert!(told <= left, "{nanos}: {text}");
        // Units are a thousand apart, so at least five of the eight digits are used.
        assert!(told + left / 10_000 + Duration::from_nanos(1) > left, "{nanos}: {text}");
    }
}

#[test]
fn grpc_is_told_in_its_own_words() {
    let mut grpc = headers(&[("content-type", "application/grpc+proto"), ("grpc-timeout", "9S")]);
    tell(&mut grpc, Duration::from_millis(20));
    assert_eq!(grpc["grpc-timeout"], "20000000n");
    let mut plain = HeaderMap::new();
    tell(&mut plain, Duration::from_micros(1_999));
    assert_eq!(plain["x-envoy-expected-rq-timeout-ms"], "1");
}

#[test]
fn centuries_are_cut_to_what_eight_digits_hold() {
    assert_eq!(grpc_text(Duration::from_nanos(u64::MAX)), "99999999S");
}
