use proptest::prelude::*;

use super::*;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";

fn said(text: &str) -> Option<Said> {
    parse(text.as_bytes())
}

#[test]
fn flags_say_whether_a_trace_is_told_and_whether_its_id_is_random() {
    for (flags, sampled, is_random) in [
        ("00", false, false),
        ("01", true, false),
        ("02", false, true),
        ("03", true, true),
        ("ff", true, true),
    ] {
        let said = said(&format!("00-{TRACE}-{SPAN}-{flags}")).unwrap();
        assert_eq!((said.sampled, said.is_random), (Some(sampled), is_random), "{flags}");
        let ids = said.ids.unwrap();
        assert_eq!(
            (format!("{:032x}", ids.trace), format!("{:016x}", ids.span)),
            (TRACE.into(), SPAN.into())
        );
    }
}

#[test]
fn versions_to_come_may_say_more_and_this_one_may_not() {
    for (text, is_read) in [
        (format!("01-{TRACE}-{SPAN}-01"), true),
        (format!("01-{TRACE}-{SPAN}-01-what-the-future-will-be"), true),
        (format!("fe-{TRACE}-{SPAN}-01-"), true),
        (format!("01-{TRACE}-{SPAN}-01."), false),
        (format!("01-{TRACE}-{SPAN}-011"), false),
        (format!("00-{TRACE}-{SPAN}-01-"), false),
        (format!("00-{TRACE}-{SPAN}-01-more"), false),
        (format!("ff-{TRACE}-{SPAN}-01"), false),
        (format!("ff-{TRACE}-{SPAN}-01-more"), false),
    ] {
        assert_eq!(said(&text).is_some(), is_read, "{text}");
    }
}

#[test]
fn what_is_not_well_formed_says_nothing() {
    let zeros = "0".repeat(32);
    for text in [
        String::new(),
        "00".to_owned(),
        format!("00-{TRACE}-{SPAN}"),
        format!("00-{TRACE}-{SPAN}-"),
        format!("00-{TRACE}-{SPAN}-1"),
        format!("00-{zeros}-{SPAN}-01"),
        format!("00-{TRACE}-{}-01", &zeros[..16]),
        format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
        format!("00-{TRACE}-{}-01", SPAN.to_uppercase()),
        format!("0A-{TRACE}-{SPAN}-01"),
        format!("0x-{TRACE}-{SPAN}-01"),
        format!("00-{TRACE}-{SPAN}-0x"),
        format!("00-{TRACE}-{SPAN}-0A"),
        format!("00_{TRACE}_{SPAN}_01"),
        format!("00-{}-{SPAN}-01", &TRACE[..31]),
        format!("00-{}-{SPAN}-01", &TRACE[..16]),
        format!("00-{TRACE}0-{SPAN}-01"),
        format!("00-{TRACE}-{SPAN}0-01"),
        format!("00-{}.-{SPAN}-01", &TRACE[..31]),
        format!(" 00-{TRACE}-{SPAN}-01"),
        format!("00-{TRACE}-{SPAN}-01 "),
        format!("00--{TRACE}{SPAN}-01"),
    ] {
        assert_eq!(said(&text), None, "{text:?}");
    }
}

proptest! {
    #[test]
    fn whatever_comes_is_read_or_not_and_never_panics(text in proptest::collection::vec(any::<u8>(), 0..80)) {
        let _ = parse(&text);
    }

    #[test]
    fn one_wrong_character_is_seen(place in 0_usize..55, byte in any::<u8>()) {
        let mut text = format!("00-{TRACE}-{SPAN}-01").into_bytes();
        let before = text[place];
        text[place] = byte;
        let is_dash = [2, 35, 52].contains(&place);
        let is_hex = byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        // Any other version but ff is one, as long as nothing more is said.
        let is_fine = if is_dash { byte == b'-' } else { is_hex };
        prop_assert_eq!(parse(&text).is_some(), is_fine || byte == before);
    }
}
