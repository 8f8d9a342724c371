use proptest::prelude::*;
use rand::{Rng as _, SeedableRng, rngs::SmallRng};

use super::*;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SHORT: &str = "8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";

fn random() -> SmallRng {
    SmallRng::seed_from_u64(3)
}

fn headers(fields: &[(&'static str, String)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, text) in fields {
        headers.append(*name, HeaderValue::from_str(text).unwrap());
    }
    headers
}

fn of(headers: &HeaderMap, ratio: f64, may_begin: bool) -> Option<Context> {
    Context::of(headers, Sampler::new(ratio), may_begin, &mut random())
}

fn parent(flags: &str) -> (&'static str, String) {
    ("traceparent", format!("00-{TRACE}-{SPAN}-{flags}"))
}

/// What a next hop is told by all headers, sorted.
fn told(before: &HeaderMap, context: &Context) -> Vec<(String, String)> {
    let mut after = before.clone();
    context.write(&mut after);
    let mut told: Vec<_> =
        after.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
    told.sort();
    told
}

#[test]
fn who_calls_decides_whatever_the_ratio() {
    for ratio in [0.0, 1.0] {
        for may_begin in [false, true] {
            let decided = |fields: &[_]| of(&headers(fields), ratio, may_begin);
            for yes in [
                &[parent("01")][..],
                &[parent("03")],
                &[("b3", format!("{TRACE}-{SPAN}-1"))],
                &[("b3", format!("{TRACE}-{SPAN}-d"))],
                &[("x-b3-traceid", TRACE.into()), ("x-b3-spanid", SPAN.into()), ("x-b3-sampled", "1".into())],
                &[("x-b3-traceid", TRACE.into()), ("x-b3-spanid", SPAN.into()), ("x-b3-flags", "1".into())],
            ] {
                let context = decided(yes).unwrap();
                assert_eq!(format!("{:032x}", context.ids.trace), TRACE, "{yes:?}");
                assert_eq!(format!("{:016x}", context.parent.unwrap()), SPAN, "{yes:?}");
                assert_ne!(context.ids.span, context.parent.unwrap());
            }
            for begins in [("b3", "1".to_owned()), ("b3", "d".into()), ("x-b3-sampled", "1".into())] {
                let context = decided(std::slice::from_ref(&begins)).unwrap();
                assert_eq!(context.parent, None, "{begins:?}");
            }
            for no in [
                &[parent("00")][..],
                &[parent("02")],
                &[("b3", "0".into())],
                &[("b3", format!("{TRACE}-{SPAN}-0"))],
                &[("x-b3-sampled", "0".into())],
                &[("x-b3-traceid", TRACE.into()), ("x-b3-spanid", SPAN.into()), ("x-b3-sampled", "0".into())],
                // The first of the formats counts.
                &[parent("00"), ("b3", format!("{TRACE}-{SPAN}-1"))],
            ] {
                assert_eq!(decided(no), None, "{no:?}");
            }
        }
    }
}

#[test]
fn without_a_decision_the_ratio_has_it_and_all_hops_agree() {
    let deferred = |trace: &str| {
        [
            headers(&[("b3", format!("{trace}-{SPAN}"))]),
            headers(&[("x-b3-traceid", trace.to_owned()), ("x-b3-spanid", SPAN.to_owned())]),
        ]
    };
    let mut random = random();
    let mut taken = 0;
    for _ in 0..200 {
        let trace = format!("{:032x}", random.random::<u128>());
        let decisions =
            deferred(&trace).map(|headers| [false, true].map(|may| of(&headers, 0.5, may).is_some()));
        assert!(decisions == [[false; 2]; 2] || decisions == [[true; 2]; 2], "{trace}: {decisions:?}");
        taken += u32::from(decisions[0][0]);
    }
    assert!((60..140).contains(&taken), "{taken} of 200");
    assert!(deferred(TRACE).iter().all(|headers| of(headers, 0.0, true).is_none()));
    assert!(deferred(TRACE).iter().all(|headers| of(headers, 1.0, false).is_some()));
}

#[test]
fn a_trace_begins_only_where_it_may_and_as_often_as_the_ratio_says() {
    let nothing = HeaderMap::new();
    assert_eq!(of(&nothing, 1.0, false), None);
    assert_eq!(of(&nothing, 0.0, true), None);
    let context = of(&nothing, 1.0, true).unwrap();
    assert_eq!((context.parent, context.is_random), (None, true));
    let text = format!("00-{:032x}-{:016x}-03", context.ids.trace, context.ids.span);
    assert_eq!(told(&nothing, &context), [("traceparent".to_owned(), text)]);
    let mut random = random();
    let begun =
        (0..10_000).filter(|_| Context::of(&nothing, Sampler::new(0.1), true, &mut random).is_some()).count();
    assert!((850..1150).contains(&begun), "{begun} of 10,000");
}

#[test]
fn it_goes_on_in_the_words_in_which_it_came() {
    let state = ("tracestate", "a=1,b=2".to_owned());
    let before = headers(&[parent("01"), state.clone()]);
    let context = of(&before, 0.0, false).unwrap();
    let span = format!("{:016x}", context.ids.span);
    let pair = |name: &str, text: String| (name.to_owned(), text);
    // Nobody said that its id is random.
    let expected = [pair("traceparent", format!("00-{TRACE}-{span}-01")), pair("tracestate", state.1)];
    assert_eq!(told(&before, &context), expected);

    for (came, goes) in [
        (format!("{TRACE}-{SPAN}-1"), format!("{TRACE}-{span}-1-{SPAN}")),
        (format!("{SHORT}-{SPAN}-1-{SPAN}"), format!("{SHORT}-{span}-1-{SPAN}")),
        (format!("{TRACE}-{SPAN}-d"), format!("{TRACE}-{span}-d-{SPAN}")),
        (format!("{TRACE}-{SPAN}"), format!("{TRACE}-{span}-1-{SPAN}")),
    ] {
        let before = headers(&[("b3", came)]);
        assert_eq!(told(&before, &of(&before, 1.0, false).unwrap()), [pair("b3", goes)]);
    }

    for trace in [TRACE, SHORT] {
        for (decision, value) in [("x-b3-sampled", "1"), ("x-b3-flags", "1"), ("x-b3-sampled", "true")] {
            let before = headers(&[
                ("x-b3-traceid", trace.to_owned()),
                ("x-b3-spanid", SPAN.to_owned()),
                (decision, value.to_owned()),
            ]);
            let mut expected = vec![
                pair("x-b3-traceid", trace.to_owned()),
                pair("x-b3-spanid", span.clone()),
                pair("x-b3-parentspanid", SPAN.to_owned()),
                pair(decision, "1".to_owned()),
            ];
            expected.sort();
            assert_eq!(told(&before, &of(&before, 0.0, false).unwrap()), expected);
        }
    }
}

#[test]
fn a_trace_that_begins_by_b3_has_no_parent_in_any_header() {
    let before = headers(&[("x-b3-sampled", "1".to_owned()), ("x-b3-parentspanid", SPAN.to_owned())]);
    let context = of(&before, 0.0, false).unwrap();
    let names: Vec<String> = told(&before, &context).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["x-b3-sampled", "x-b3-spanid", "x-b3-traceid"]);
    let before = headers(&[("b3", "1".to_owned())]);
    let context = of(&before, 0.0, false).unwrap();
    let text = format!("{:032x}-{:016x}-1", context.ids.trace, context.ids.span);
    assert_eq!(told(&before, &context), [("b3".to_owned(), text)]);
}

#[test]
fn headers_of_several_formats_are_brought_into_agreement() {
    let before =
        headers(&[parent("01"), ("b3", format!("{SPAN}-{SPAN}-0")), ("x-b3-traceid", "none".to_owned())]);
    let context = of(&before, 0.0, false).unwrap();
    let mut after = before.clone();
    context.write(&mut after);
    let ids = |reading: Reading| reading.said().unwrap().ids.unwrap();
    for reading in [w3c::read(&after), b3::read(&after), b3::read_multi(&after)] {
        assert_eq!(ids(reading), context.ids);
    }
}

#[test]
fn a_state_without_its_trace_is_not_passed_on_with_another() {
    let state = || ("tracestate", "a=1".to_owned());
    for fields in [
        vec![state()],
        vec![("traceparent", "broken".to_owned()), state()],
        vec![parent("01"), parent("01"), state()],
        vec![("b3", format!("{TRACE}-{SPAN}-1")), state()],
        vec![("b3", format!("{TRACE}-{SPAN}-1")), ("traceparent", "broken".to_owned()), state()],
    ] {
        let before = headers(&fields);
        let context = of(&before, 1.0, true).unwrap();
        assert!(!context.has_state);
        let told = told(&before, &context);
        assert!(told.iter().all(|(name, text)| name != "tracestate" && text != "broken"), "{told:?}");
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_as_the_same(
        ids in (1_u128.., 1_u64..),
        parent in proptest::option::of(1_u64..),
        bits in proptest::array::uniform5(any::<bool>()),
    ) {
        let [is_random, is_debug, is_short, w3c, b3] = bits;
        let trace = if is_short { ids.0 & u128::from(u64::MAX) } else { ids.0 };
        prop_assume!(trace != 0);
        let ids = Ids { trace: NonZeroU128::new(trace).unwrap(), span: NonZeroU64::new(ids.1).unwrap() };
        let context = Context {
            ids,
            parent: parent.and_then(NonZeroU64::new),
            is_random,
            is_debug,
            is_short,
            has_state: false,
            formats: Formats { w3c, b3, b3_multi: !w3c && !b3 },
        };
        let mut headers = HeaderMap::new();
        context.write(&mut headers);
        let said = |reading: Reading| reading.said();
        if w3c {
            prop_assert_eq!(
                said(w3c::read(&headers)),
                Some(Said { ids: Some(ids), sampled: Some(true), is_random, ..Said::default() })
            );
        }
        let b3_said = Said { ids: Some(ids), sampled: Some(true), is_debug, is_short, is_random: false };
        if b3 {
            prop_assert_eq!(said(b3::read(&headers)), Some(b3_said));
        }
        if !w3c && !b3 {
            prop_assert_eq!(said(b3::read_multi(&headers)), Some(b3_said));
        }
    }

    #[test]
    fn whatever_headers_say_the_next_hop_can_read_it(
        texts in proptest::collection::vec(
            ("traceparent|b3|x-b3-traceid|x-b3-spanid|x-b3-sampled|x-b3-flags|tracestate", "[0-9a-fd-]{0,60}|[01d]|[0-9a-f]{16}|[0-9a-f]{32}"),
            0..8,
        ),
        ratio in 0.0..=1.0,
    ) {
        let mut headers = HeaderMap::new();
        for (name, text) in &texts {
            headers.append(name.parse::<HeaderName>().unwrap(), text.parse::<HeaderValue>().unwrap());
        }
        if let Some(context) = of(&headers, ratio, true) {
            context.write(&mut headers);
            let next = of(&headers, 0.0, false).unwrap();
            prop_assert_eq!(next.ids.trace, context.ids.trace);
            prop_assert_eq!(next.parent, Some(context.ids.span));
            prop_assert_eq!(next.formats, context.formats);
        }
    }
}
