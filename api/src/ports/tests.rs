use proptest::prelude::*;

use super::*;

#[test]
fn a_list_is_kept_in_order_and_without_overlaps() {
    for (written, kept) in [
        ("22", "22"),
        ("9000-9010,22", "22,9000-9010"),
        ("22, 80", "22,80"),
        ("80,80,80-80", "80"),
        ("10-20,15-30,31,40", "10-31,40"),
        ("65535,1-65534", "1-65535"),
        ("1-65535,65535", "1-65535"),
    ] {
        assert_eq!(written.parse::<Ports>().unwrap().to_string(), kept, "{written}");
    }
}

#[test]
fn mistakes_are_named() {
    for (written, named) in [
        ("", "`` is not a port"),
        ("0", "`0` is not"),
        ("22,,80", "`` is not"),
        ("65536", "`65536` is not"),
        ("+22", "`+22` is not"),
        ("-22", "`` is not"),
        ("22-", "`` is not"),
        ("1-2-3", "`2-3` is not"),
        ("ssh", "`ssh` is not"),
        ("0-10", "`0` is not"),
        ("9010-9000", "write `9000-9010`"),
    ] {
        let error = written.parse::<Ports>().unwrap_err().to_string();
        assert!(error.contains(named), "{written}: {error}");
    }
}

#[test]
fn there_is_a_bound_on_ranges() {
    let list = |count: usize| vec!["80"; count].join(",").parse::<Ports>();
    assert!(list(RANGES_MAX).is_ok());
    assert_eq!(list(RANGES_MAX + 1), Err(InvalidPorts::TooMany(RANGES_MAX + 1)));
}

proptest! {
    #[test]
    fn a_list_holds_what_was_written_and_nothing_else(
        ranges in prop::collection::vec((1_u16.., 0_u16..50), 1..20),
        probes in prop::collection::vec(1_u16.., 50),
    ) {
        let ranges: Vec<_> =
            ranges.into_iter().map(|(first, more)| first..=first.saturating_add(more)).collect();
        let ports: Ports = ranges.iter().map(shown).collect::<Vec<_>>().join(",").parse().unwrap();
        let edges = ranges.iter().flat_map(|range| [
            *range.start(), *range.end(), range.start().saturating_sub(1), range.end().saturating_add(1),
        ]);
        for port in edges.chain(probes) {
            prop_assert_eq!(ports.contains(port), ranges.iter().any(|range| range.contains(&port)), "{}", port);
        }
        prop_assert!(ports.ranges().windows(2).all(|pair| *pair[0].end() + 1 < *pair[1].start()));
    }

    #[test]
    fn no_text_is_too_strange(text in ".*") {
        let _ = text.parse::<Ports>();
    }
}

#[test]
fn a_host_with_a_port_is_told_from_what_only_looks_like_it() {
    for text in ["collector:4317", "collector.observability.svc:4317", "127.0.0.1:1", "[fd00::1]:65535"] {
        assert!(is_host_port(text), "{text}");
    }
    for text in
        ["", "collector", ":4317", "collector:", "collector:0", "collector:70000", "http://c:1", "$(A):1"]
    {
        assert!(!is_host_port(text), "{text}");
    }
}
