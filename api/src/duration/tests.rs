use super::*;

#[test]
fn parses_what_gep_2257_allows() {
    for (text, ms) in [
        ("0s", 0),
        ("1h", 3_600_000),
        ("90s", 90_000),
        ("1m30s500ms", 90_500),
        ("2h45m", 9_900_000),
        ("10ms", 10),
    ] {
        assert_eq!(text.parse(), Ok(Duration::from_millis(ms)), "{text}");
    }
}

#[test]
fn refuses_the_rest() {
    for text in ["", "1", "s", "1.5s", "-1s", "1d", "123456s", "1h1m1s1ms1ms", " 1s", "1s ", "1us"] {
        assert!(text.parse::<Duration>().is_err(), "{text:?}");
    }
}

#[test]
fn prints_what_it_parses() {
    for text in ["0s", "1h", "1m30s", "1m30s500ms", "3s", "250ms"] {
        assert_eq!(text.parse::<Duration>().unwrap().to_string(), text);
    }
}
