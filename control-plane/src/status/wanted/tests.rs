use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Value, json};
use weft_api::status::{ANCESTORS_MAX, AncestorRef};

use super::*;
use crate::{
    status::{Acceptance, Form, Held, Outcome, Resolution},
    store::{ObjectKey, ObjectKind, ObjectName},
};

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
    Fate::of_policy(target(name), outcome, format!("{outcome:?}"))
}

fn report(fates: Vec<Fate>, own: Vec<Entry>) -> Report {
    let name = ObjectName::new("shop", "limits");
    let object = ObjectKey { kind: ObjectKind::CircuitBreakerPolicy, name };
    let held = Held { own, others: Vec::new() };
    Report { object, version: "7".to_owned(), generation: 3, fates, form: Form::Ancestors, held }
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn said(entry: &Entry) -> Vec<(&str, &str, &str)> {
    entry.conditions.iter().map(|it| (it.kind.as_str(), it.status.as_str(), it.reason.as_str())).collect()
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
        let [entry] = &wanted[..] else { panic!("{wanted:?}") };
        assert_eq!(entry.about, target("api"));
        assert_eq!(said(entry), expected);
        assert!(entry.conditions.iter().all(|condition| condition.observed_generation == 3));
        assert_eq!(entry.conditions[0].last_transition_time, "1970-01-01T00:00:00Z");
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
fn routes_have_words_of_their_own() {
    for (acceptance, resolution, expected) in [
        (
            Acceptance::Accepted,
            Some(Resolution::BackendNotFound),
            vec![("Accepted", "True", "Accepted"), ("ResolvedRefs", "False", "BackendNotFound")],
        ),
        (
            Acceptance::NoMatchingParent,
            Some(Resolution::InvalidKind),
            vec![("Accepted", "False", "NoMatchingParent"), ("ResolvedRefs", "False", "InvalidKind")],
        ),
        (
            Acceptance::Conflicted,
            Some(Resolution::ResolvedRefs),
            vec![("Accepted", "False", "Conflicted"), ("ResolvedRefs", "True", "ResolvedRefs")],
        ),
        (Acceptance::UnsupportedValue, None, vec![("Accepted", "False", "UnsupportedValue")]),
    ] {
        let resolution = resolution.map(|resolution| (resolution, "why".to_owned()));
        let fate = Fate::of_route(target("api"), (acceptance, "why".to_owned()), resolution);
        let wanted = wanted(&report(vec![fate], Vec::new()), at(0)).unwrap();
        assert_eq!(said(&wanted[0]), expected);
    }
}

#[test]
fn entries_of_former_targets_go() {
    let own = wanted(&report(vec![fate("old", Outcome::Accepted)], Vec::new()), at(0)).unwrap();
    let entries = wanted(&report(vec![fate("api", Outcome::Accepted)], own.clone()), at(0)).unwrap();
    assert_eq!(entries.iter().map(|it| it.about.name.as_str()).collect::<Vec<_>>(), ["api"]);
    assert_eq!(wanted(&report(Vec::new(), own), at(0)), Some(Vec::new()));
    assert_eq!(wanted(&report(Vec::new(), Vec::new()), at(0)), None);
}

#[test]
fn a_list_is_read_as_it_is_written_and_entries_of_others_stay_word_for_word() {
    let other =
        json!({ "controllerName": "example.com/other", "parentRef": { "name": "api" }, "novelty": 1 });
    for form in [Form::Ancestors, Form::Parents] {
        let own = wanted(&report(vec![fate("api", Outcome::Conflicted)], Vec::new()), at(0)).unwrap();
        let written = json!({ form.list(): form.write(&own, std::slice::from_ref(&other)) });
        assert_eq!(form.read(&written), Held { own, others: vec![other.clone()] });
    }
    let written = Form::Parents.write(&[Entry { about: target("api"), conditions: Vec::new() }], &[]);
    let reference = json!({ "group": "", "kind": "Service", "namespace": "shop", "name": "api" });
    assert_eq!(written[0]["parentRef"], reference);
}

#[test]
fn a_status_of_another_shape_is_written_anew() {
    assert_eq!(Form::Parents.read(&Value::Null), Held::default());
    assert_eq!(Form::Parents.read(&json!({ "parents": "?" })), Held::default());
    let odd = json!({ "parents": [{ "controllerName": "weft.dev/control-plane", "parentRef": 5 }] });
    let held = Form::Parents.read(&odd);
    let report = Report { form: Form::Parents, held, ..report(Vec::new(), Vec::new()) };
    assert_eq!(wanted(&report, at(0)), Some(Vec::new()));
}

#[test]
fn a_target_that_is_named_twice_has_one_entry_with_what_is_wrong() {
    let fates = vec![fate("api", Outcome::Accepted), fate("api", Outcome::Conflicted)];
    let wanted = wanted(&report(fates, Vec::new()), at(0)).unwrap();
    let [entry] = &wanted[..] else { panic!("{wanted:?}") };
    assert_eq!(said(entry)[0], ("Accepted", "False", "Conflicted"));
}

#[test]
fn a_status_has_as_many_entries_as_the_schema_allows() {
    let fates = (0..20).map(|index| fate(&format!("api-{index}"), Outcome::Accepted)).collect();
    let long = report(fates, Vec::new());
    let wanted = wanted(&long, at(0)).unwrap();
    assert_eq!(wanted.len(), ANCESTORS_MAX);
    // And is not written for ever because of those that it has no place for.
    assert_eq!(super::wanted(&report(long.fates.clone(), wanted), at(0)), None);
    let others = vec![Value::Null; ANCESTORS_MAX - 1];
    let crowded = Report { held: Held { own: Vec::new(), others }, ..long };
    assert_eq!(super::wanted(&crowded, at(0)).unwrap().len(), 1);
}
