use std::net::SocketAddr;

use super::*;
use crate::{
    breakers::{
        breaker::tests::{CALLER, OPEN},
        look::Reason,
        sidecars::Sidecar,
    },
    wire::Failure,
};

fn plain(look: &Look, wide: bool) -> String {
    anstream::adapter::strip_str(&table(look, wide)).to_string()
}

fn missed(workload: &str) -> Unanswered {
    let admin = SocketAddr::from(([127, 0, 0, 1], 14191));
    Unanswered {
        sidecar: Sidecar { workload: workload.to_owned(), admin },
        reason: Reason::Silent(Failure::Slow),
    }
}

#[test]
fn a_row_for_each_breaker_in_columns() {
    let look = Look::of(&[("default/caller", CALLER), ("default/web", OPEN)]);
    let expected = "\
WORKLOAD        SCOPE     DESTINATION       ENDPOINT     STATE      TRIPS  REJECTED  PROBES OK/FAILED  IN FLIGHT/LIMIT  FALLBACKS
default/caller  endpoint  default/api:80    10.0.0.2:80  open           5        12               3/1            3/100          7
default/web     target    default/users:80  -            open           1         0               0/0              0/-          0
default/caller  endpoint  default/api:80    10.0.0.3:80  half-open      0         0               0/0            3/100          7
default/caller  target    default/api:80    -            closed         0         0               0/0            3/100          7
default/caller  endpoint  default/api:80    10.0.0.1:80  closed         0         0               0/0            3/100          7
";
    assert_eq!(plain(&look, false), expected);
}

#[test]
fn a_wide_table_gives_reasons() {
    let text = plain(&Look::of(&[("default/caller", CALLER)]), true);
    let lines: Vec<&str> = text.lines().collect();
    for title in ["REASONS", "OUTCOMES OK/ERR", "SUPPRESSED"] {
        assert!(lines[0].contains(title), "{text}");
    }
    for cell in ["probe_failed 1, share 4", "80/20", " 6 "] {
        assert!(lines[1].contains(cell), "{cell} is not in: {text}");
    }
}

#[test]
fn states_are_words_and_coloured() {
    let text = table(&Look::of(&[("default/caller", CALLER)]), false);
    for cell in
        ["\u{1b}[1;31mopen     \u{1b}[0m", "\u{1b}[33mhalf-open\u{1b}[0m", "\u{1b}[32mclosed   \u{1b}[0m"]
    {
        assert!(text.contains(cell), "{text:?}");
    }
}

#[test]
fn names_do_not_reach_into_the_terminal() {
    let evil = OPEN.replace("default/users:80", "\u{1b}[2J\\nx");
    let text = plain(&Look::of(&[("default/web", &evil)]), false);
    assert_eq!(text.lines().count(), 2, "{text:?}");
    assert!(text.contains("\u{fffd}[2J\u{fffd}x"), "{text:?}");
}

#[test]
fn an_empty_table_says_why() {
    let mut look = Look { asked: 2, ..Look::default() };
    assert!(table(&look, false).contains("none of the 2 sidecars calls a service"));
    look.unanswered.push(missed("default/api"));
    assert!(table(&look, false).contains("the sidecar calls no service"));
    look.unanswered.push(missed("default/web"));
    assert!(table(&look, false).contains("no sidecar answered"));
}

#[test]
fn who_does_not_answer_is_named_with_the_reason() {
    let expected =
        "the sidecar default/api (127.0.0.1:14191) does not tell of its breakers: no answer within 2 s";
    assert_eq!(unanswered(&missed("default/api")), expected);
    let expected = "the sidecar 127.0.0.1:14191 does not tell of its breakers: no answer within 2 s";
    assert_eq!(unanswered(&missed("127.0.0.1:14191")), expected);
}
