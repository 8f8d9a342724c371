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
fn a_process_that_is_started_again_is_the_same_one() {
    let mut progress = Progress::default();
    for pid in [7, 8] {
        let addresses = vec![("serves", SocketAddr::from(([127, 0, 0, 1], 80)))];
        progress.apply(&Event::Started(Process { name: "frontend".to_owned(), pid, addresses }));
    }
    assert_eq!(progress.processes.len(), 1);
    assert_eq!(
        (progress.processes[0].pid, progress.processes[0].places()),
        (8, "serves 127.0.0.1:80".to_owned())
    );
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
