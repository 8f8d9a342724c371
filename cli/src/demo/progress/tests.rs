use super::*;

fn check(holds: bool) -> Check {
    Check::fact("it", "so", "so", holds)
}

#[test]
fn the_story_holds_only_when_every_phase_was_played_and_held() {
    let mut progress = Progress::default();
    for phase in 0..PHASES.len() {
        assert!(!progress.holds());
        progress.apply(&Event::Judged(phase, vec![check(true)]));
    }
    assert!(progress.holds());
    progress.apply(&Event::Judged(2, vec![check(true), check(false)]));
    assert!(!progress.holds());
}

#[test]
fn only_the_last_lines_are_kept() {
    let mut progress = Progress::default();
    for line in 0..=KEPT {
        progress.apply(&Event::Said(line.to_string()));
    }
    assert_eq!(progress.said.len(), KEPT);
    assert_eq!(progress.said.front().unwrap(), "1");
}
