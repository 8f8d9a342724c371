//! The policy's defaults, by scope, and the back-off.

use weft_api::circuit_breaker::Breaker;

use super::*;

#[test]
fn defaults_differ_by_scope() {
    let endpoint = Settings::new(&Breaker::default(), Scope::Endpoint);
    assert_eq!((endpoint.consecutive, endpoint.failure_percent, endpoint.min_requests), (5, 50, 20));
    assert_eq!(endpoint.window, Duration::from_secs(10));
    assert_eq!((endpoint.open_base, endpoint.open_max), (Duration::from_secs(3), Duration::from_mins(1)));
    assert_eq!(endpoint.jitter_ppm, 500_000);
    assert_eq!((endpoint.probes, endpoint.successes), (1, 1));
    assert_eq!(endpoint.probe_timeout, Duration::from_secs(5));
    let target = Settings::new(&Breaker::default(), Scope::Target);
    assert_eq!((target.probes, target.successes), (3, 3));
}

#[test]
fn what_the_policy_says_holds_at_any_scope() {
    let mut policy = Breaker::default();
    policy.half_open.probes = Some(7);
    policy.half_open.timeout = Some(weft_api::Duration::from_millis(250));
    let settings = Settings::new(&policy, Scope::Target);
    assert_eq!((settings.probes, settings.successes), (7, 3));
    assert_eq!(settings.probe_timeout, Duration::from_millis(250));
}

#[test]
fn the_pause_doubles_up_to_the_longest() {
    let settings = Settings::new(&Breaker::default(), Scope::Endpoint);
    let seconds = |trips| settings.pause(trips).as_secs();
    assert_eq!([1, 2, 3, 4, 5, 6, 7].map(seconds), [3, 6, 12, 24, 48, 60, 60]);
    assert_eq!([31, 32, 33, 34, u32::MAX].map(seconds), [60; 5]);
}
