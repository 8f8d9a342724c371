use std::time::UNIX_EPOCH;

use super::*;

/// A Lease as the API server would hold it, and two that want it.
struct Bench {
    held: Option<Held>,
    start: Instant,
}

impl Bench {
    fn new() -> Self {
        Self { held: None, start: Instant::now() }
    }

    fn at(&self, seconds: u64) -> Instant {
        self.start + Duration::from_secs(seconds)
    }

    /// Whether `election` holds the Lease after a look at this second.
    fn look(&mut self, election: &mut Election, seconds: u64) -> bool {
        let clock = UNIX_EPOCH + Duration::from_secs(seconds);
        let (Act::Create(spec) | Act::Replace(spec)) =
            election.act(self.held.clone().as_ref(), self.at(seconds), clock)
        else {
            return false;
        };
        self.held = Some(Held { version: format!("{seconds}"), spec });
        true
    }
}

#[test]
fn the_first_holds_for_as_long_as_it_renews() {
    let (mut bench, mut one, mut two) = (Bench::new(), Election::new("1".into()), Election::new("2".into()));
    assert!(bench.look(&mut one, 0));
    for second in (3..100).step_by(3) {
        assert!(!bench.look(&mut two, second), "at {second}");
        assert!(bench.look(&mut one, second), "at {second}");
    }
    let spec = &bench.held.as_ref().unwrap().spec;
    assert_eq!((spec.lease_transitions, spec.acquire_time.as_str()), (0, "1970-01-01T00:00:00.000000Z"));
    assert_eq!(spec.renew_time, "1970-01-01T00:01:39.000000Z");
}

#[test]
fn who_is_gone_is_followed_after_its_time_on_the_clock_of_the_other() {
    let (mut bench, mut one, mut two) = (Bench::new(), Election::new("1".into()), Election::new("2".into()));
    assert!(bench.look(&mut one, 0));
    // It sees the Lease for the first time, and cannot know how old it is.
    assert!(!bench.look(&mut two, 100));
    assert!(!bench.look(&mut two, 114));
    assert!(bench.look(&mut two, 115));
    assert_eq!(bench.held.as_ref().unwrap().spec.lease_transitions, 1);
    assert!(!bench.look(&mut one, 116), "it comes back, and waits");
}

#[test]
fn what_was_given_back_is_free_at_once() {
    let (mut bench, mut one, mut two) = (Bench::new(), Election::new("1".into()), Election::new("2".into()));
    assert!(bench.look(&mut one, 0));
    bench.held.as_mut().unwrap().spec.holder_identity.clear();
    assert!(bench.look(&mut two, 1));
}

#[test]
fn a_holder_stops_before_others_think_that_it_is_gone() {
    assert!(RENEWAL_WAIT + LOOK < DURATION);
}

#[test]
fn who_gives_back_names_nobody() {
    let names = Names { namespace: "mesh".into(), lease: "weft", holder: "1".into() };
    let spec = Spec { holder_identity: String::new(), lease_duration_seconds: 1, ..Spec::default() };
    let object = object(&names, &spec, Some("7"));
    assert!(object["spec"]["holderIdentity"].is_null());
    assert_eq!(object["metadata"]["resourceVersion"], "7");
}
