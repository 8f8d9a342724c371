use std::net::SocketAddr;

use super::*;
use crate::{
    breakers::{
        breaker::tests::{CALLER, OPEN},
        look::{Reason, Unanswered},
        sidecars::Sidecar,
    },
    wire::Failure,
};

fn words(transitions: &[Transition]) -> Vec<String> {
    transitions.iter().map(Transition::words).collect()
}

#[test]
fn what_stays_is_not_told() {
    let look = Look::of(&[("default/caller", CALLER), ("default/web", OPEN)]);
    let mut known = Known::from(&look);
    assert_eq!(known.update(&look), []);
}

#[test]
fn a_change_is_told_once_with_its_reasons() {
    let before =
        CALLER.replace("10.0.0.2:80\"} 2", "10.0.0.2:80\"} 0").replace("\"share\"} 4", "\"share\"} 3");
    let mut known = Known::from(&Look::of(&[("default/caller", &before)]));
    let now = Look::of(&[("default/caller", CALLER)]);
    let transitions = known.update(&now);
    let expected = "default/caller  endpoint default/api:80 10.0.0.2:80  closed -> open (trips: share 1)";
    assert_eq!(words(&transitions), [expected]);
    let json = serde_json::to_string(&transitions[0]).unwrap();
    let expected = "{\"workload\":\"default/caller\",\"scope\":\"endpoint\",\"destination\":\"default/api:80\",\
                    \"endpoint\":\"10.0.0.2:80\",\"from\":\"closed\",\"to\":\"open\",\"trips\":{\"share\":1}}";
    assert_eq!(json, expected);
    assert_eq!(known.update(&now), []);
}

#[test]
fn what_was_open_before_and_is_again_shows_in_its_trips() {
    let mut known = Known::from(&Look::of(&[("default/web", OPEN)]));
    let again = OPEN.to_owned()
        + "weft_breaker_trips_total{scope=\"target\",destination=\"default/users:80\",endpoint=\"\",reason=\"probe_failed\"} 2\n";
    let told = words(&known.update(&Look::of(&[("default/web", &again)])));
    assert_eq!(told, ["default/web  target default/users:80  open -> open (trips: probe_failed 2)"]);
}

#[test]
fn a_new_breaker_began_closed() {
    let mut known = Known::default();
    let told = words(&known.update(&Look::of(&[("default/web", OPEN)])));
    assert_eq!(told, ["default/web  target default/users:80  closed -> open (trips: consecutive 1)"]);
    let closed = OPEN.replace("} 2", "} 0").replace("} 1", "} 0");
    assert_eq!(Known::default().update(&Look::of(&[("default/web", &closed)])), []);
}

#[test]
fn silence_is_no_change() {
    let open = Look::of(&[("default/web", OPEN)]);
    let admin = SocketAddr::from(([127, 0, 0, 1], 14191));
    let silent = || {
        let sidecar = Sidecar { workload: "default/web".to_owned(), admin };
        let unanswered = vec![Unanswered { sidecar, reason: Reason::Silent(Failure::Slow) }];
        Look { asked: 1, breakers: Vec::new(), unanswered }
    };
    let mut known = Known::from(&open);
    assert_eq!(known.update(&silent()), []);
    assert_eq!(known.update(&open), []);
    // A sidecar that answers and has the breaker no more has forgotten it.
    assert_eq!(known.update(&Look::default()), []);
    assert_eq!(known.update(&open).len(), 1);
}
