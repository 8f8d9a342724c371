use super::*;
use crate::demo::{progress::Event, story::PHASES};

/// The table without its colours.
fn plain(progress: &Progress) -> String {
    anstream::adapter::strip_str(&table(progress)).to_string()
}

fn all_held() -> Progress {
    let mut progress = Progress::default();
    for phase in 0..PHASES.len() {
        let checks = vec![Check::share("users' errors", 333, 1000, 1.0 / 3.0), Check::exactly("trips", 0, 0)];
        progress.apply(&Event::Judged(phase, checks));
    }
    progress
}

#[test]
fn every_check_has_a_line_and_columns_line_up() {
    let text = plain(&all_held());
    let expected = "    users' errors    33.3 %    33.3 %    ± 6.0 %  holds";
    assert!(text.contains(expected), "{text}");
    assert!(text.contains("    trips                 0         0             holds"), "{text}");
    assert!(text.ends_with("All 12 checks hold.\n"), "{text}");
}

#[test]
fn what_does_not_hold_is_said() {
    let mut progress = all_held();
    progress.apply(&Event::Judged(4, vec![Check::exactly("trips", 1, 0)]));
    let text = plain(&progress);
    assert!(text.contains("FAILS"), "{text}");
    assert!(text.ends_with("10 of 11 checks hold; the story does not.\n"), "{text}");
}

#[test]
fn a_phase_that_was_not_reached_is_not_called_held() {
    let text = plain(&Progress::default());
    assert_eq!(text.matches("not played").count(), PHASES.len(), "{text}");
    assert!(text.ends_with("0 of 0 checks hold; the story does not.\n"), "{text}");
}
