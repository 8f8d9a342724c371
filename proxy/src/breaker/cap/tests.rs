//! The cap holds after every single step of any history.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

#[test]
fn at_least_one_of_two_and_never_all() {
    for percent in 1..=100 {
        assert_eq!(allowed(0, percent), 0);
        assert_eq!(allowed(1, percent), 0, "never the only endpoint");
        assert_eq!(allowed(2, percent), 1);
    }
    assert_eq!(allowed(3, 50), 1);
    assert_eq!(allowed(10, 50), 5);
    assert_eq!(allowed(10, 9), 1);
    assert_eq!(allowed(10, 100), 9);
    assert_eq!(allowed(10, 0), 0);
    assert_eq!(allowed(usize::MAX, 50), usize::MAX / 2);
}

#[test]
fn whoever_is_due_first_is_readmitted_first() {
    let now = Instant::now();
    let at = |secs| now + Duration::from_secs(secs);
    let mut cap = Cap::new(50);
    for endpoint in 0..6 {
        assert!(cap.add(endpoint, None));
    }
    assert!(cap.eject(0, at(30)) && cap.eject(1, at(10)) && cap.eject(2, at(20)));
    assert!(!cap.eject(3, at(1)), "half of six are ejected");
    assert!(cap.eject(1, at(25)), "a longer pause needs no room");
    assert_eq!(cap.remove(5), [2]);
    assert!(cap.remove(4).is_empty());
    assert_eq!(cap.set_percent(0), [1, 0]);
}

#[test]
fn who_has_left_takes_no_room() {
    let now = Instant::now();
    let mut cap = Cap::new(50);
    for endpoint in 0..3 {
        assert!(cap.add(endpoint, None));
    }
    assert!(cap.eject(0, now));
    assert!(cap.remove(0).is_empty());
    assert!(cap.eject(0, now), "it trips for itself");
    assert_eq!(cap.ejected(), 0);
    assert!(cap.eject(1, now));
    assert!(!cap.add(0, Some(now)), "back, but one of three is ejected already");
    assert_eq!(cap.ejected(), 1);
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Add(u64, Option<u64>),
    Remove(u64),
    Trip(u64, u64),
    Close(u64),
    Percent(u32),
}

fn any_step() -> impl Strategy<Value = Step> {
    let endpoint = 0..12_u64;
    prop_oneof![
        (endpoint.clone(), proptest::option::of(0..100_u64)).prop_map(|(e, until)| Step::Add(e, until)),
        endpoint.clone().prop_map(Step::Remove),
        (endpoint.clone(), 0..100_u64).prop_map(|(e, until)| Step::Trip(e, until)),
        (endpoint.clone(), 0..100_u64).prop_map(|(e, until)| Step::Trip(e, until)),
        endpoint.prop_map(Step::Close),
        (0..=100_u32).prop_map(Step::Percent),
    ]
}

proptest! {
    #[test]
    fn never_more_than_allowed(percent in 0..=100_u32, steps in proptest::collection::vec(any_step(), 0..100)) {
        let base = Instant::now();
        let at = |secs| base + Duration::from_secs(secs);
        let (mut cap, mut percent) = (Cap::new(percent), percent);
        let mut present = std::collections::BTreeSet::new();
        for step in steps {
            let before: BTreeMap<_, _> =
                cap.endpoints.iter().filter_map(|(e, until)| Some((*e, (*until)?))).collect();
            let mut readmitted = Vec::new();
            match step {
                Step::Add(endpoint, until) => {
                    present.insert(endpoint);
                    let _ = cap.add(endpoint, until.map(at));
                }
                Step::Remove(endpoint) => {
                    present.remove(&endpoint);
                    readmitted = cap.remove(endpoint);
                }
                Step::Trip(endpoint, until) => {
                    let room = cap.ejected() < allowed(present.len(), percent);
                    let yes = cap.eject(endpoint, at(until));
                    let expected = room || before.contains_key(&endpoint) || !present.contains(&endpoint);
                    prop_assert_eq!(yes, expected, "refused only for want of room");
                }
                Step::Close(endpoint) => cap.admit(endpoint),
                Step::Percent(value) => {
                    percent = value;
                    readmitted = cap.set_percent(value);
                }
            }
            let n = present.len();
            let ejected = cap.ejected();
            prop_assert!(ejected <= (n * percent as usize / 100).max(usize::from(n >= 2 && percent > 0)));
            prop_assert!(n == 0 || ejected < n, "somebody is left to serve");
            for endpoint in &readmitted {
                for (other, until) in &cap.endpoints {
                    if let Some(until) = until {
                        prop_assert!((before[endpoint], endpoint) < (*until, other), "due first");
                    }
                }
            }
            if !readmitted.is_empty() {
                prop_assert_eq!(ejected, allowed(n, percent), "no more than needed");
            }
        }
    }
}
