use weft_samples::feelgood_api::Stats;

use super::*;
use crate::demo::{progress::Event, verdict::Check};

fn moment(secs: u64, ended: u64, failed: u64, api: u64) -> Moment {
    let mut tally = Tally { sent: ended, ended, failed, canned: ended / 10, ..Tally::default() };
    for _ in 0..ended {
        tally.latency.record(Duration::from_millis(2));
    }
    let stats = Stats { requests: api, failures: 0, broken: false };
    Moment { elapsed: Duration::from_secs(secs), tally, sighting: Sighting::of(Some(stats), "", "") }
}

#[test]
fn rates_are_those_between_two_moments() {
    let (before, now) = (moment(1, 100, 50, 100), moment(3, 300, 56, 400));
    let picture = Picture::new(&Progress::default(), &before, &now, Vec::new(), Vec::new());
    assert!((picture.rate - 100.0).abs() < 1e-9);
    assert_eq!(picture.errors, Some(0.03));
    assert_eq!(picture.canned, Some(0.1));
    assert_eq!(picture.load, Some(1.5));
    assert_eq!(picture.objective(), "within the objective");
    assert!(picture.p50.is_some_and(|p50| p50 >= Duration::from_millis(2)));
}

#[test]
fn without_requests_there_are_no_shares() {
    let same = moment(1, 100, 50, 100);
    let picture = Picture::new(&Progress::default(), &same, &same, Vec::new(), Vec::new());
    assert_eq!((picture.errors, picture.load, picture.p50), (None, None, None));
    assert_eq!(picture.objective(), "no requests right now");
}

#[test]
fn phases_advance() {
    let mut progress = Progress::default();
    progress.apply(&Event::Begins(0));
    progress.apply(&Event::Judged(0, vec![Check::exactly("errors", 3, 3), Check::exactly("load", 1, 1)]));
    progress.apply(&Event::Begins(1));
    progress.apply(&Event::Judged(1, vec![Check::exactly("errors", 3, 4)]));
    progress.apply(&Event::Begins(2));
    let none = Moment::default();
    let picture = Picture::new(&progress, &none, &none, Vec::new(), Vec::new());
    let states: Vec<_> = picture.phases.iter().map(|line| line.state).collect();
    assert_eq!(states[..4], [State::Held, State::Failed, State::Playing, State::Waiting]);
    assert_eq!(picture.phases[0].measured, ["3", "1"]);
    assert_eq!(picture.words, PHASES[2].words);
}
