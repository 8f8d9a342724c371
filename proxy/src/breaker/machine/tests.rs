//! The rules one by one, as sentences.

use super::*;
use crate::breaker::outcome::Failure;

const FAILURE: Outcome = Outcome::Failure(Failure::Timeout);
const OVERLOAD: Outcome = Outcome::Overload { retry_after: None };

fn settings() -> Settings {
    Settings::new(&weft_api::circuit_breaker::Breaker::default(), crate::breaker::settings::Scope::Endpoint)
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// A machine with a hand on its clock.
struct Bench {
    machine: Machine,
    now: Instant,
}

impl Bench {
    fn new(settings: Settings) -> Self {
        Self::seeded(settings, 1)
    }

    fn seeded(settings: Settings, seed: u64) -> Self {
        let now = Instant::now();
        Self { machine: Machine::new(settings, seed, now), now }
    }

    fn acquire(&mut self) -> Result<Token, Rejected> {
        self.machine.try_acquire(self.now).0
    }

    fn record(&mut self, token: Token, outcome: Outcome) -> Option<Transition> {
        let mut transitions = self.machine.record(self.now, token, outcome, |_| true).into_iter();
        let transition = transitions.next();
        assert_eq!(transitions.next(), None);
        transition
    }

    fn call(&mut self, outcome: Outcome) -> Option<Transition> {
        let token = self.acquire().expect("the machine lets calls pass here");
        self.record(token, outcome)
    }

    /// Trips by failures in a row, and returns how long the machine stays open.
    fn trip(&mut self) -> Duration {
        loop {
            if let Some(transition) = self.call(FAILURE) {
                assert_eq!(transition.to, State::Open);
                return transition.until.unwrap() - self.now;
            }
        }
    }

    /// Trips and lets the pause pass.
    fn trip_and_wait(&mut self) {
        let pause = self.trip();
        self.now += pause;
    }

    fn state(&self) -> State {
        self.machine.state()
    }
}

#[test]
fn trips_exactly_on_the_nth_failure_in_a_row() {
    for n in [1, 2, 5, 1000] {
        let mut bench = Bench::new(Settings { consecutive: n, failure_percent: 0, ..settings() });
        for _ in 1..n {
            assert_eq!(bench.call(FAILURE), None);
        }
        assert_eq!(bench.call(Outcome::Success), None, "a success begins the row anew");
        for _ in 1..n {
            assert_eq!(bench.call(FAILURE), None);
        }
        let transition = bench.call(FAILURE).unwrap();
        assert_eq!((transition.from, transition.to), (State::Closed, State::Open));
        assert_eq!(transition.reason, Reason::Consecutive { failures: n });
    }
}

#[test]
fn from_its_first_failure_to_a_success_it_is_under_suspicion() {
    let mut bench = Bench::new(settings());
    let mut left = |outcome| {
        bench.call(outcome);
        bench.machine.failures_left()
    };
    assert_eq!(left(Outcome::Success), None);
    assert_eq!([FAILURE, OVERLOAD, Outcome::Ignored, FAILURE].map(&mut left), [4, 4, 4, 3].map(Some));
    assert_eq!(left(Outcome::Success), None);
    assert_eq!([FAILURE; 5].map(&mut left), [Some(4), Some(3), Some(2), Some(1), None]);
    assert_eq!(bench.state(), State::Open);
}

#[test]
fn one_more_failure_is_left_where_an_edit_asks_for_fewer_than_there_were() {
    let mut bench = Bench::new(settings());
    for _ in 0..4 {
        bench.call(FAILURE);
    }
    for (consecutive, left) in [(1, Some(1)), (4, Some(1)), (5, Some(1)), (7, Some(3)), (0, None)] {
        bench.machine.set_settings(Settings { consecutive, ..settings() });
        assert_eq!(bench.machine.failures_left(), left, "consecutive: {consecutive}");
    }
}

#[test]
fn overload_is_no_failure_in_a_row_but_one_in_the_share() {
    let mut bench = Bench::new(Settings { consecutive: 2, failure_percent: 0, ..settings() });
    for _ in 0..100 {
        assert_eq!(bench.call(OVERLOAD), None);
    }
    let mut bench = Bench::new(Settings { consecutive: 2, ..settings() });
    let transition = (0..20).find_map(|_| bench.call(OVERLOAD)).unwrap();
    assert_eq!(transition.reason, Reason::Share { failed: 20, total: 20, window: secs(10) });
}

#[test]
fn the_share_is_not_judged_on_too_few_requests() {
    let mut bench = Bench::new(Settings { consecutive: 0, ..settings() });
    for _ in 0..9 {
        assert_eq!(bench.call(FAILURE), None);
        assert_eq!(bench.call(Outcome::Success), None);
    }
    assert_eq!(bench.call(FAILURE), None, "19 requests");
    let transition = bench.call(FAILURE).unwrap();
    assert_eq!(transition.reason.to_string(), "55 % of 20 requests failed within 10 s");
}

#[test]
fn failures_that_left_the_window_no_longer_count() {
    let mut bench = Bench::new(Settings { consecutive: 0, ..settings() });
    for _ in 0..19 {
        assert_eq!(bench.call(FAILURE), None);
    }
    bench.now += secs(10);
    assert_eq!(bench.call(FAILURE), None);
}

#[test]
fn both_rules_can_be_switched_off() {
    let mut bench = Bench::new(Settings { consecutive: 0, failure_percent: 0, ..settings() });
    for _ in 0..5_000 {
        assert_eq!(bench.call(FAILURE), None);
    }
}

#[test]
fn the_pause_lies_within_its_range_and_uses_all_of_it() {
    let mut longest = Duration::ZERO;
    let mut shortest = Duration::MAX;
    for seed in 0..500 {
        let pause = Bench::seeded(settings(), seed).trip();
        assert!((secs(3)..=Duration::from_millis(4_500)).contains(&pause), "{pause:?}");
        (shortest, longest) = (shortest.min(pause), longest.max(pause));
    }
    assert!(shortest < Duration::from_millis(3_050) && longest > Duration::from_millis(4_450));
}

#[test]
fn replicas_with_different_seeds_rarely_probe_at_once() {
    let pauses: Vec<_> = (0..1000).map(|seed| Bench::seeded(settings(), seed).trip()).collect();
    let at_once =
        pauses.windows(2).filter(|pair| pair[0].abs_diff(pair[1]) < Duration::from_millis(50)).count();
    // Two points at random on 1.5 s are closer than 50 ms in 6.6 % of all cases.
    assert!(at_once < 90, "{at_once} of 999 neighbouring seeds");
}

#[test]
fn each_trip_doubles_the_pause_until_a_minute_without_one() {
    let mut bench = Bench::new(Settings { jitter_ppm: 0, ..settings() });
    for expected in [3, 6, 12, 24, 48, 60, 60] {
        let pause = bench.trip();
        assert_eq!(pause, secs(expected));
        bench.now += pause;
        assert_eq!(bench.call(Outcome::Success).unwrap().to, State::Closed);
        bench.now += secs(59);
    }
    bench.now += secs(1);
    assert_eq!(bench.trip(), secs(3));
}

#[test]
fn retry_after_extends_the_pause_up_to_the_longest() {
    for (asked, expected) in [(1, 3), (20, 20), (3_600, 60), (u64::MAX, 60)] {
        let mut bench = Bench::new(Settings { jitter_ppm: 0, min_requests: 1, ..settings() });
        let until = bench.call(Outcome::Overload { retry_after: Some(secs(asked)) }).unwrap().until;
        assert_eq!(until.unwrap() - bench.now, secs(expected));
    }
}

#[test]
fn no_token_while_open() {
    let mut bench = Bench::new(settings());
    let pause = bench.trip();
    let until = bench.now + pause;
    for _ in 0..10 {
        bench.now += pause / 11;
        assert_eq!(bench.acquire().unwrap_err(), Rejected { state: State::Open, until });
    }
    bench.now = until.checked_sub(Duration::from_nanos(1)).unwrap();
    assert!(bench.acquire().is_err());
    bench.now = until;
    assert!(bench.acquire().is_ok_and(|token| token.is_probe()));
}

#[test]
fn probes_are_bounded_and_enough_successes_close() {
    let mut bench = Bench::new(Settings { probes: 3, successes: 5, ..settings() });
    bench.trip_and_wait();
    bench.now += secs(1);
    let mut tokens: Vec<_> = (0..3).map(|_| bench.acquire().unwrap()).collect();
    let rejected = bench.acquire().unwrap_err();
    assert_eq!((rejected.state, rejected.until), (State::HalfOpen, bench.now + secs(5)));
    for _ in 0..4 {
        let settled = tokens.swap_remove(0);
        assert_eq!(bench.record(settled, Outcome::Success), None);
        tokens.push(bench.acquire().unwrap());
    }
    let last = tokens.swap_remove(0);
    let transition = bench.record(last, Outcome::Success).unwrap();
    assert_eq!(transition.reason, Reason::ProbesSucceeded { successes: 5 });
    assert_eq!(bench.state(), State::Closed);
}

#[test]
fn a_failed_probe_opens_again_for_longer() {
    for outcome in [FAILURE, OVERLOAD] {
        let mut bench = Bench::new(Settings { jitter_ppm: 0, ..settings() });
        bench.trip_and_wait();
        let transition = bench.call(outcome).unwrap();
        assert_eq!((transition.from, transition.to), (State::HalfOpen, State::Open));
        assert_eq!(transition.until, Some(bench.now + secs(6)));
    }
}

#[test]
fn calls_begun_before_a_trip_neither_close_nor_prolong_it() {
    let mut bench = Bench::new(settings());
    let early: Vec<_> = (0..20).map(|_| bench.acquire().unwrap()).collect();
    let pause = bench.trip();
    bench.now += pause;
    let probe = bench.acquire().unwrap();
    let before = bench.machine.phase();
    for (index, token) in early.into_iter().enumerate() {
        let outcome = if index % 2 == 0 { Outcome::Success } else { FAILURE };
        assert_eq!(bench.record(token, outcome), None);
    }
    assert_eq!(bench.machine.phase(), before);
    assert_eq!(bench.machine.tally().stale, 20);
    assert_eq!(bench.record(probe, Outcome::Success).unwrap().to, State::Closed);
}

#[test]
fn a_probe_without_an_answer_has_failed_and_its_late_answer_changes_nothing() {
    let mut bench = Bench::new(Settings { jitter_ppm: 0, ..settings() });
    bench.trip_and_wait();
    let hanging = bench.acquire().unwrap();
    bench.now += secs(5);
    let deadline = bench.now;
    let transition = bench.record(hanging, Outcome::Success).unwrap();
    assert_eq!((transition.reason, transition.at), (Reason::ProbeTimedOut, deadline));
    assert_eq!(transition.until, Some(deadline + secs(6)));
    assert_eq!(bench.machine.tally().stale, 1);
}

#[test]
fn a_timeout_noticed_late_is_dated_when_it_was_due() {
    let mut bench = Bench::new(Settings { jitter_ppm: 0, ..settings() });
    bench.trip_and_wait();
    let _hanging = bench.acquire().unwrap();
    let deadline = bench.now + secs(5);
    bench.now += secs(1_000);
    let (token, transitions) = bench.machine.try_acquire(bench.now);
    assert!(token.is_ok_and(|token| token.is_probe()), "the pause is over long since");
    let steps: Vec<_> = transitions.into_iter().map(|step| (step.to, step.at)).collect();
    assert_eq!(steps, [(State::Open, deadline), (State::HalfOpen, deadline + secs(6))]);
}

#[test]
fn ignored_calls_change_nothing_and_free_their_probe() {
    let mut bench = Bench::new(settings());
    for _ in 0..4 {
        bench.call(FAILURE);
    }
    for _ in 0..100 {
        assert_eq!(bench.call(Outcome::Ignored), None);
        let token = bench.acquire().unwrap();
        bench.machine.forget(token);
    }
    assert_eq!(bench.call(FAILURE).unwrap().reason, Reason::Consecutive { failures: 5 });
    bench.now += secs(60);
    for _ in 0..100 {
        assert_eq!(bench.call(Outcome::Ignored), None);
        let token = bench.acquire().unwrap();
        bench.machine.forget(token);
    }
    assert_eq!(bench.state(), State::HalfOpen);
    assert_eq!(bench.call(Outcome::Success).unwrap().to, State::Closed);
}

#[test]
fn a_refused_trip_stays_closed_and_begins_counting_anew() {
    let mut bench = Bench::new(Settings { jitter_ppm: 0, ..settings() });
    for _ in 0..4 {
        bench.call(FAILURE);
    }
    let token = bench.acquire().unwrap();
    let until = bench.now + secs(3);
    let refuse = |asked| {
        assert_eq!(asked, until);
        false
    };
    let transition = bench.machine.record(bench.now, token, FAILURE, refuse).into_iter().next().unwrap();
    assert!(transition.is_refused_trip());
    assert_eq!((transition.until, bench.state()), (Some(until), State::Closed));
    assert_eq!(bench.machine.phase(), Phase::Closed { since: Some(until) });
    for _ in 0..4 {
        assert_eq!(bench.call(FAILURE), None);
    }
    assert_eq!(bench.call(FAILURE).unwrap().until, Some(bench.now + secs(6)));
}

#[test]
fn a_connection_comes_before_the_first_probe() {
    let mut bench = Bench::new(Settings { connect_first: true, ..settings() });
    assert!(bench.machine.try_acquire_connect(bench.now).0.is_none(), "closed");
    bench.trip_and_wait();
    assert!(bench.acquire().is_err(), "no user pays for finding out");
    let connect = bench.machine.try_acquire_connect(bench.now).0.unwrap();
    assert!(bench.machine.try_acquire_connect(bench.now).0.is_none(), "one at a time");
    assert!(bench.acquire().is_err());
    bench.machine.forget(connect);
    let connect = bench.machine.try_acquire_connect(bench.now).0.expect("given up, so needed again");
    assert_eq!(bench.record(connect, Outcome::Success), None);
    assert_eq!(bench.call(Outcome::Success).unwrap().to, State::Closed);
}

#[test]
fn a_failed_connection_opens_again() {
    let mut bench = Bench::new(Settings { connect_first: true, ..settings() });
    bench.trip_and_wait();
    let connect = bench.machine.try_acquire_connect(bench.now).0.unwrap();
    let reason = Reason::ProbeFailed(Failure::Connect);
    assert_eq!(bench.record(connect, Outcome::Failure(Failure::Connect)).unwrap().reason, reason);
    assert_eq!(bench.state(), State::Open);
}

#[test]
fn settings_that_no_longer_ask_for_a_connection_let_probes_pass() {
    let mut bench = Bench::new(Settings { connect_first: true, ..settings() });
    bench.trip_and_wait();
    assert!(bench.acquire().is_err());
    bench.machine.set_settings(settings());
    assert!(bench.acquire().is_ok());
}

#[test]
fn other_settings_keep_state_and_counts() {
    let mut bench = Bench::new(settings());
    for _ in 0..4 {
        bench.call(FAILURE);
    }
    bench.machine.set_settings(Settings { consecutive: 7, ..settings() });
    assert_eq!(bench.call(FAILURE), None);
    assert_eq!(bench.call(FAILURE), None);
    let until = bench.call(FAILURE).unwrap().until;
    bench.machine.set_settings(Settings { open_base: secs(30), ..settings() });
    assert_eq!(bench.acquire().unwrap_err().until, until.unwrap());
}

#[test]
fn time_going_backwards_stands_still() {
    let mut bench = Bench::new(settings());
    bench.now += secs(100);
    let pause = bench.trip();
    bench.now = bench.now.checked_sub(secs(99)).unwrap();
    assert!(bench.acquire().is_err());
    bench.now += secs(99) + pause;
    let probe = bench.acquire().unwrap();
    bench.now = bench.now.checked_sub(secs(100)).unwrap();
    assert_eq!(bench.record(probe, Outcome::Success).unwrap().to, State::Closed);
    bench.trip();
}

#[test]
fn it_makes_no_difference_how_often_the_machine_is_polled() {
    let (mut lazy, mut eager) = (Bench::seeded(settings(), 3), Bench::seeded(settings(), 3));
    eager.now = lazy.now;
    eager.machine = Machine::new(settings(), 3, lazy.now);
    lazy.machine = Machine::new(settings(), 3, lazy.now);
    let mut random = SmallRng::seed_from_u64(11);
    let mut tokens = Vec::new();
    for _ in 0..3_000 {
        let until = lazy.now + Duration::from_millis(random.random_range(0..3_000));
        while eager.now < until {
            eager.now += Duration::from_millis(100).min(until - eager.now);
            let _ = eager.machine.poll(eager.now);
        }
        lazy.now = until;
        if random.random_ratio(1, 2) {
            let (one, other) = (lazy.acquire(), eager.acquire());
            assert_eq!(one.is_ok(), other.is_ok());
            tokens.extend(one.ok().zip(other.ok()));
        } else if !tokens.is_empty() {
            let (one, other) = tokens.swap_remove(random.random_range(0..tokens.len()));
            let outcome = if random.random_ratio(2, 3) { FAILURE } else { Outcome::Success };
            let _ = lazy.machine.record(until, one, outcome, |_| true);
            let _ = eager.machine.record(until, other, outcome, |_| true);
            assert_eq!(
                (lazy.machine.phase(), lazy.machine.tally()),
                (eager.machine.phase(), eager.machine.tally())
            );
        }
    }
    assert!(lazy.machine.tally().stale > 0 && lazy.machine.tally().rejected > 0);
}

#[test]
fn a_target_that_is_well_again_is_found_out_at_one_request_per_second() {
    for seed in 0..200 {
        let mut bench = Bench::seeded(settings(), seed);
        let mut random = SmallRng::seed_from_u64(seed);
        let mut hanging = Vec::new();
        for _ in 0..random.random_range(10..200) {
            bench.now += Duration::from_millis(random.random_range(0..2_000));
            let Ok(token) = bench.acquire() else { continue };
            if random.random_ratio(1, 4) {
                hanging.push(token);
            } else {
                bench.record(token, FAILURE);
            }
        }
        // From here on everything is answered; what hung goes on hanging. One probe may still have to time out, which
        // opens once more: `due` follows.
        let mut due = bench.now;
        loop {
            let (token, transitions) = bench.machine.try_acquire(bench.now);
            for transition in transitions {
                due = due.max(transition.until.unwrap_or(due));
            }
            match token {
                Ok(token) => {
                    bench.record(token, Outcome::Success);
                }
                Err(rejected) => due = due.max(rejected.until),
            }
            if bench.state() == State::Closed {
                break;
            }
            assert!(bench.now <= due + secs(5) + secs(1), "seed {seed}: still {:?}", bench.machine.phase());
            bench.now += secs(1);
        }
    }
}

#[test]
fn a_trip_that_is_not_refused_does_not_look_like_one() {
    let mut bench = Bench::new(settings());
    let opened = (0..5).find_map(|_| bench.call(FAILURE)).unwrap();
    bench.now = opened.until.unwrap();
    let half_open = bench.machine.poll(bench.now).into_iter().next().unwrap();
    let closed = bench.call(Outcome::Success).unwrap();
    assert_eq!([opened, half_open, closed].map(|step| step.is_refused_trip()), [false; 3]);
}

#[test]
fn reasons_are_told_in_words() {
    let words = |reason: Reason| reason.to_string();
    assert_eq!(words(Reason::Consecutive { failures: 5 }), "5 failures in a row");
    let share = Reason::Share { failed: 30, total: 48, window: secs(10) };
    assert_eq!(words(share), "62 % of 48 requests failed within 10 s");
    assert_eq!(words(Reason::ProbeFailed(Failure::Status(503))), "the probe failed: status 503");
    let code = Failure::Grpc(tonic::Code::Unavailable);
    assert_eq!(words(Reason::ProbeFailed(code)), "the probe failed: gRPC status 14 (Unavailable)");
    assert_eq!(words(Reason::ProbesSucceeded { successes: 3 }), "3 probes succeeded");
}
