use proptest::prelude::*;

use super::*;

const TRACE: &str = "80f198ee56343ba864fe8b2a57d3eff7";
const SHORT: &str = "64fe8b2a57d3eff7";
const SPAN: &str = "e457b5a2e4d86bd1";
const PARENT_SPAN: &str = "05e3ac9a4f6e3b90";

/// Ids, whether they are short, sampled, debug.
type Words = (Option<(String, String)>, bool, Option<bool>, bool);

fn words(said: Said) -> Words {
    let ids = said.ids.map(|ids| (format!("{:x}", ids.trace), format!("{:016x}", ids.span)));
    (ids, said.is_short, said.sampled, said.is_debug)
}

fn single(text: &str) -> Option<Words> {
    parse(text.as_bytes()).map(words)
}

fn ids(trace: &str) -> (String, String) {
    (trace.to_owned(), SPAN.to_owned())
}

#[test]
fn one_header_says_ids_or_a_decision_or_both() {
    for (text, expected) in [
        ("0".to_owned(), (None, false, Some(false), false)),
        ("1".to_owned(), (None, false, Some(true), false)),
        ("d".to_owned(), (None, false, Some(true), true)),
        (format!("{TRACE}-{SPAN}"), (Some(ids(TRACE)), false, None, false)),
        (format!("{SHORT}-{SPAN}"), (Some(ids(SHORT)), true, None, false)),
        (format!("{TRACE}-{SPAN}-0"), (Some(ids(TRACE)), false, Some(false), false)),
        (format!("{TRACE}-{SPAN}-1"), (Some(ids(TRACE)), false, Some(true), false)),
        (format!("{TRACE}-{SPAN}-d"), (Some(ids(TRACE)), false, Some(true), true)),
        (format!("{TRACE}-{SPAN}-1-{PARENT_SPAN}"), (Some(ids(TRACE)), false, Some(true), false)),
        (format!("{SHORT}-{SPAN}-d-{PARENT_SPAN}"), (Some(ids(SHORT)), true, Some(true), true)),
    ] {
        assert_eq!(single(&text), Some(expected), "{text}");
    }
}

#[test]
fn one_header_that_is_not_well_formed_says_nothing() {
    let zeros = "0".repeat(32);
    for text in [
        String::new(),
        "2".to_owned(),
        "-".to_owned(),
        "true".to_owned(),
        "D".to_owned(),
        TRACE.to_owned(),
        format!("{TRACE}-"),
        format!("{TRACE}-{SPAN}-"),
        format!("{TRACE}-{SPAN}-2"),
        format!("{TRACE}-{SPAN}-{PARENT_SPAN}"),
        format!("{TRACE}-{SPAN}-1-"),
        format!("{TRACE}-{SPAN}-1-{}", &PARENT_SPAN[..15]),
        format!("{TRACE}-{SPAN}-1-{PARENT_SPAN}-1"),
        format!("{}-{SPAN}-1", &TRACE[..31]),
        format!("{}-{SPAN}-1", TRACE.to_uppercase()),
        format!("{zeros}-{SPAN}-1"),
        format!("{}-{SPAN}-1", &zeros[..16]),
        format!("{TRACE}-{}-1", &zeros[..16]),
        format!("{TRACE}-{}-1", &SPAN[..15]),
    ] {
        assert_eq!(single(&text), None, "{text:?}");
    }
}

fn several(fields: &[(&'static str, &str)]) -> Option<Words> {
    let mut headers = HeaderMap::new();
    for (name, text) in fields {
        headers.append(*name, HeaderValue::from_str(text).unwrap());
    }
    match read_multi(&headers) {
        Reading::Absent => panic!("{fields:?} are there"),
        Reading::Unreadable => None,
        Reading::Said(said) => Some(words(said)),
    }
}

#[test]
fn several_headers_say_the_same() {
    let both = [("x-b3-traceid", TRACE), ("x-b3-spanid", SPAN)];
    let with = |more: &[(&'static str, &'static str)]| several(&[both.as_slice(), more].concat());
    for (more, sampled, is_debug) in [
        (&[][..], None, false),
        (&[("x-b3-sampled", "1")], Some(true), false),
        (&[("x-b3-sampled", "0")], Some(false), false),
        (&[("x-b3-sampled", "true")], Some(true), false),
        (&[("x-b3-sampled", "false")], Some(false), false),
        (&[("x-b3-flags", "1")], Some(true), true),
        (&[("x-b3-flags", "0")], None, false),
        (&[("x-b3-flags", "1"), ("x-b3-sampled", "0")], Some(true), true),
    ] {
        assert_eq!(with(more), Some((Some(ids(TRACE)), false, sampled, is_debug)), "{more:?}");
    }
    let short = several(&[("x-b3-traceid", SHORT), ("x-b3-spanid", SPAN), ("x-b3-sampled", "1")]);
    assert_eq!(short, Some((Some(ids(SHORT)), true, Some(true), false)));
    // A decision counts, with ids that are none too.
    for broken in [&[][..], &[("x-b3-traceid", TRACE)], &[("x-b3-spanid", SPAN)], &[("x-b3-traceid", "x")]] {
        for (state, sampled) in [("0", false), ("1", true)] {
            let said = several(&[broken, &[("x-b3-sampled", state)]].concat());
            assert_eq!(said, Some((None, false, Some(sampled), false)), "{broken:?}");
        }
        if !broken.is_empty() {
            assert_eq!(several(broken), None, "{broken:?}");
        }
    }
    for unreadable in [
        &[("x-b3-traceid", TRACE), ("x-b3-traceid", SHORT), ("x-b3-spanid", SPAN)][..],
        &[("x-b3-traceid", TRACE), ("x-b3-spanid", SPAN), ("x-b3-sampled", "yes")],
        &[("x-b3-sampled", "1"), ("x-b3-sampled", "0")],
        &[("x-b3-flags", "0")],
    ] {
        assert_eq!(several(unreadable), None, "{unreadable:?}");
    }
}

proptest! {
    #[test]
    fn whatever_comes_is_read_or_not_and_never_panics(text in proptest::collection::vec(any::<u8>(), 0..80)) {
        let _ = parse(&text);
        let one = || Only::One(&text);
        let _ = gather([one(), one(), one(), one()]);
    }

    #[test]
    fn what_looks_like_it_has_ids_that_are_some(text in "[0-9a-f]{16}([0-9a-f]{16})?-[0-9a-f]{16}(-[01d](-[0-9a-f]{16})?)?") {
        let zeros = text.split('-').any(|part| part.len() > 1 && part.bytes().all(|byte| byte == b'0'));
        prop_assert_eq!(parse(text.as_bytes()).is_some_and(|said| said.ids.is_some()), !zeros);
    }
}
