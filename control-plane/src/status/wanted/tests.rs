use std::time::{Duration, UNIX_EPOCH};

use super::*;
use crate::store::{ObjectKey, ObjectKind, ObjectName};

fn target(name: &str) -> AncestorRef {
    AncestorRef {
        group: String::new(),
        kind: "Service".to_owned(),
        namespace: Some("shop".to_owned()),
        name: name.to_owned(),
        section_name: None,
        port: None,
    }
}

fn fate(name: &str, outcome: Outcome) -> Fate {
    Fate { target: target(name), outcome, message: format!("{outcome:?}") }
}

fn report(fates: Vec<Fate>, held: Vec<Ancestor>) -> Report {
    let name = ObjectName::new("shop", "limits");
    let policy = ObjectKey { kind: ObjectKind::CircuitBreakerPolicy, name };
    Report { policy, version: "7".to_owned(), generation: 3, fates, held }
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn said(ancestor: &Ancestor) -> Vec<(&str, &str, &str)> {
    ancestor.conditions.iter().map(|it| (it.kind.as_str(), it.status.as_str(), it.reason.as_str())).collect()
}

#[test]
fn each_outcome_has_its_conditions() {
    for (outcome, expected) in [
        (Outcome::Accepted, vec![("Accepted", "True", "Accepted"), ("ResolvedRefs", "True", "ResolvedRefs")]),
        (Outcome::Invalid, vec![("Accepted", "False", "Invalid")]),
        (
            Outcome::TargetNotFound,
            vec![("Accepted", "False", "TargetNotFound"), ("ResolvedRefs", "False", "TargetNotFound")],
        ),
        (
            Outcome::Conflicted,
            vec![("Accepted", "False", "Conflicted"), ("ResolvedRefs", "True", "ResolvedRefs")],
        ),
    ] {
        let wanted = wanted(&report(vec![fate("api", outcome)], Vec::new()), at(0)).unwrap();
        let [ancestor] = &wanted[..] else { panic!("{wanted:?}") };
        assert_eq!((&ancestor.ancestor_ref, ancestor.controller_name.as_str()), (&target("api"), CONTROLLER));
        assert_eq!(said(ancestor), expected);
        assert!(ancestor.conditions.iter().all(|condition| condition.observed_generation == 3));
        assert_eq!(ancestor.conditions[0].last_transition_time, "1970-01-01T00:00:00Z");
    }
}

#[test]
fn what_is_there_is_not_written_again_and_keeps_its_time() {
    let fine = || vec![fate("api", Outcome::Accepted)];
    let held = wanted(&report(fine(), Vec::new()), at(10)).unwrap();
    assert_eq!(wanted(&report(fine(), held.clone()), at(20)), None);
    // A new generation is another statement, of the same status.
    let newer = Report { generation: 4, ..report(fine(), held.clone()) };
    let newer = wanted(&newer, at(20)).unwrap();
    assert_eq!(newer[0].conditions[0].last_transition_time, held[0].conditions[0].last_transition_time);
    // A new status begins anew, and the other stays what it was.
    let conflicted = report(vec![fate("api", Outcome::Conflicted)], held);
    let times = wanted(&conflicted, at(20)).unwrap()[0].conditions.clone();
    assert_eq!(times[0].last_transition_time, "1970-01-01T00:00:20Z");
    assert_eq!(times[1].last_transition_time, "1970-01-01T00:00:10Z");
}

#[test]
fn entries_of_others_stay_and_those_of_former_targets_go() {
    let other = Ancestor {
        ancestor_ref: target("api"),
        controller_name: "example.com/other".to_owned(),
        conditions: Vec::new(),
    };
    let mut held = wanted(&report(vec![fate("old", Outcome::Accepted)], Vec::new()), at(0)).unwrap();
    held.insert(0, other.clone());
    let wanted = wanted(&report(vec![fate("api", Outcome::Accepted)], held), at(0)).unwrap();
    let names: Vec<_> =
        wanted.iter().map(|it| (it.ancestor_ref.name.as_str(), it.controller_name.as_str())).collect();
    assert_eq!(names, [("api", "example.com/other"), ("api", CONTROLLER)]);
    assert_eq!(wanted[0], other);
}

#[test]
fn a_target_that_is_named_twice_has_one_entry_with_what_is_wrong() {
    let fates = vec![fate("api", Outcome::Accepted), fate("api", Outcome::Conflicted)];
    let wanted = wanted(&report(fates, Vec::new()), at(0)).unwrap();
    let [ancestor] = &wanted[..] else { panic!("{wanted:?}") };
    assert_eq!(said(ancestor)[0], ("Accepted", "False", "Conflicted"));
}

#[test]
fn a_status_has_as_many_entries_as_the_schema_allows() {
    let fates = (0..20).map(|index| fate(&format!("api-{index}"), Outcome::Accepted)).collect();
    let long = report(fates, Vec::new());
    let wanted = wanted(&long, at(0)).unwrap();
    assert_eq!(wanted.len(), ANCESTORS_MAX);
    // And is not written for ever because of those that it has no place for.
    assert_eq!(super::wanted(&report(long.fates, wanted), at(0)), None);
}
