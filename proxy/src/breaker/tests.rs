//! The machine against a naive model: at any sequence of calls, outcomes and times, both say the same.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use rand::{Rng, SeedableRng, rngs::SmallRng};

use super::{
    machine::{Connect, Machine, Phase, Token},
    outcome::{Failure, Outcome},
    settings::Settings,
    transition::{Transition, Transitions},
};
use model::{Model, Stage, Ticket};

mod model;

/// One thing that happens, `step_ms` after the one before; negative: a worker whose clock is behind.
#[derive(Clone, Copy, Debug)]
struct Step {
    step_ms: i64,
    operation: Operation,
}

#[derive(Clone, Copy, Debug)]
enum Operation {
    Acquire,
    AcquireConnect,
    /// The outcome of one of the calls under way.
    Record {
        pick: usize,
        outcome: Outcome,
        may_trip: bool,
    },
    Forget {
        pick: usize,
    },
    Poll,
    Readmit,
    Configure(usize),
}

fn settings(variant: usize) -> Settings {
    let base = Settings {
        consecutive: 5,
        window: Duration::from_secs(10),
        failure_percent: 50,
        min_requests: 20,
        open_base: Duration::from_secs(3),
        open_max: Duration::from_mins(1),
        jitter_ppm: 500_000,
        probes: 1,
        successes: 1,
        probe_timeout: Duration::from_secs(5),
        slow_start: Duration::from_secs(10),
        connect_first: false,
    };
    match variant % 6 {
        0 => base,
        1 => Settings { consecutive: 0, probes: 3, successes: 3, ..base },
        2 => Settings { failure_percent: 0, consecutive: 3, connect_first: true, ..base },
        3 => Settings { window: Duration::from_millis(1234), min_requests: 4, consecutive: 0, ..base },
        4 => Settings { jitter_ppm: 0, open_base: Duration::from_millis(1), probes: 2, successes: 5, ..base },
        _ => Settings { window: Duration::from_mins(1), failure_percent: 90, min_requests: 1, ..base },
    }
}

/// Machine and model side by side.
struct Pair {
    machine: Machine,
    model: Model,
    now: Instant,
    under_way: Vec<(Token, Ticket)>,
    granted: u64,
    /// What the machine returned last.
    transitions: Transitions,
}

impl Pair {
    fn new(variant: usize, seed: u64) -> Self {
        let now = Instant::now();
        let settings = settings(variant);
        Self {
            machine: Machine::new(settings, seed, now),
            model: Model::new(settings, now),
            now,
            under_way: Vec::new(),
            granted: 0,
            transitions: Transitions::default(),
        }
    }

    fn apply(&mut self, step: Step) {
        self.transitions = Transitions::default();
        let shift = Duration::from_millis(step.step_ms.unsigned_abs());
        let at = if step.step_ms < 0 {
            self.now.checked_sub(shift).unwrap_or(self.now)
        } else {
            self.now += shift;
            self.now
        };
        match step.operation {
            Operation::Acquire => {
                let (admitted, transitions) = self.machine.try_acquire(at);
                self.follow(transitions);
                let ticket = self.model.acquire(at);
                assert_eq!(admitted.is_ok(), ticket.is_some(), "{step:?}");
                if let Err(rejected) = &admitted
                    && let Stage::Open { until } = self.model.stage
                {
                    assert_eq!(rejected.until, until);
                }
                self.keep(admitted.ok(), ticket);
            }
            Operation::AcquireConnect => {
                let (token, transitions) = self.machine.try_acquire_connect(at);
                self.follow(transitions);
                let ticket = self.model.acquire_connect(at);
                assert_eq!(token.is_some(), ticket.is_some(), "{step:?}");
                self.keep(token, ticket);
            }
            Operation::Record { pick, outcome, may_trip } => {
                let Some((token, ticket)) = self.pick(pick) else { return };
                let mut asked = 0;
                let transitions = self.machine.record(at, token, outcome, |_| {
                    asked += 1;
                    may_trip
                });
                assert!(asked <= 1);
                self.follow(transitions);
                self.model.record(at, ticket, outcome, may_trip);
            }
            Operation::Forget { pick } => {
                let Some((token, ticket)) = self.pick(pick) else { return };
                self.machine.forget(token);
                self.model.forget(ticket);
            }
            Operation::Poll => {
                let transitions = self.machine.poll(at);
                self.follow(transitions);
                self.model.pass_time(at);
            }
            Operation::Readmit => {
                let transitions = self.machine.readmit(at);
                self.follow(transitions);
                self.model.readmit(at);
            }
            Operation::Configure(variant) => {
                self.machine.set_settings(settings(variant));
                self.model.set_settings(settings(variant));
            }
        }
        self.compare(step);
    }

    fn latest(&self) -> &[Transition] {
        self.transitions.as_slice()
    }

    fn pick(&mut self, pick: usize) -> Option<(Token, Ticket)> {
        let count = self.under_way.len();
        (count > 0).then(|| self.under_way.swap_remove(pick % count))
    }

    fn keep(&mut self, token: Option<Token>, ticket: Option<Ticket>) {
        if let (Some(token), Some(ticket)) = (token, ticket) {
            assert_eq!(token.is_probe(), ticket.is_probe);
            let probes = self.model.settings.probes as usize;
            assert!(!ticket.is_probe || self.model.probes_under_way() <= probes);
            self.under_way.push((token, ticket));
            self.granted += 1;
        }
    }

    /// Hands the model the pauses that the machine drew, and keeps the transitions for comparison.
    fn follow(&mut self, transitions: Transitions) {
        self.model.transitions.clear();
        self.model.drawn = transitions.as_slice().iter().filter_map(|transition| transition.until).collect();
        self.transitions = transitions;
    }

    fn compare(&mut self, step: Step) {
        let ours = self.transitions.as_slice();
        assert_eq!(ours, std::mem::take(&mut self.model.transitions), "{step:?}");
        let stage = match self.machine.phase() {
            Phase::Closed { since } => Stage::Closed { since },
            Phase::Open { until } => Stage::Open { until },
            Phase::HalfOpen { successes, connect } => {
                Stage::HalfOpen { successes, needs_connection: connect != Connect::Done }
            }
        };
        assert_eq!(stage, self.model.stage, "{step:?}");
        assert_eq!(self.machine.failures_left(), self.model.failures_left(), "{step:?}");
        let tally = self.machine.tally();
        assert_eq!(tally, self.model.tally, "{step:?}");
        let settled = tally.ok + tally.err + tally.ignored + tally.stale;
        assert_eq!(settled + self.under_way.len() as u64, self.granted, "one outcome for each token");
    }
}

/// A random history: spells of health and of sickness, quick calls and long silences.
struct History {
    random: SmallRng,
    failures_percent: u32,
    longest_step_ms: i64,
}

impl History {
    fn new(seed: u64) -> Self {
        Self { random: SmallRng::seed_from_u64(seed), failures_percent: 5, longest_step_ms: 100 }
    }

    fn next(&mut self) -> Step {
        let outcome = self.outcome();
        let random = &mut self.random;
        let may_trip = random_true(random, 90);
        if random.random_ratio(1, 200) {
            self.failures_percent = [0, 5, 40, 60, 95][random.random_range(0..5)];
            self.longest_step_ms = [20, 100, 1_000, 5_000][random.random_range(0..4)];
        }
        let step_ms = match random.random_range(0..1000) {
            0 => 300_000,
            1..5 => 20_000,
            5..30 => -random.random_range(0..30_000),
            30..300 => 0,
            _ => random.random_range(0..self.longest_step_ms),
        };
        let pick = random.random_range(0..1 << 20);
        let operation = match random.random_range(0..1000) {
            0..450 => Operation::Acquire,
            450..480 => Operation::AcquireConnect,
            480..920 => Operation::Record { pick, outcome, may_trip },
            920..960 => Operation::Forget { pick },
            960..997 => Operation::Poll,
            997 => Operation::Readmit,
            _ => Operation::Configure(pick),
        };
        Step { step_ms, operation }
    }

    fn outcome(&mut self) -> Outcome {
        let random = &mut self.random;
        if random_true(random, 5) {
            return Outcome::Ignored;
        }
        if !random_true(random, self.failures_percent) {
            return Outcome::Success;
        }
        match random.random_range(0..6) {
            0 => Outcome::Overload { retry_after: None },
            1 => Outcome::Overload { retry_after: Some(Duration::from_secs(random.random_range(0..100))) },
            _ => Outcome::Failure(Failure::Timeout),
        }
    }
}

fn random_true(random: &mut SmallRng, percent: u32) -> bool {
    random.random_ratio(percent, 100)
}

/// How many operations the long run takes; `WEFT_BREAKER_OPERATIONS=10000000` for a night's worth.
#[expect(clippy::disallowed_methods, reason = "a test's own knob")]
fn operations() -> u64 {
    std::env::var("WEFT_BREAKER_OPERATIONS").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000_000)
}

#[test]
fn a_million_operations_agree_with_the_model() {
    const HISTORY: u64 = 100_000;
    let mut seen = std::collections::HashMap::new();
    for seed in 0..operations().div_ceil(HISTORY) {
        let mut pair = Pair::new(seed as usize, seed);
        let mut history = History::new(seed);
        for _ in 0..HISTORY {
            pair.apply(history.next());
            for transition in pair.latest() {
                *seen.entry((transition.from, transition.to, transition.reason.label())).or_insert(0) += 1;
            }
            while pair.under_way.len() > 300 {
                pair.apply(Step { step_ms: 0, operation: Operation::Forget { pick: 0 } });
            }
        }
    }
    // A run that never gets anywhere would agree as well.
    assert_eq!(seen.len(), 11, "{seen:#?}");
    assert!(seen.values().all(|count| *count >= 10), "{seen:#?}");
}

fn any_outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        3 => Just(Outcome::Success),
        5 => Just(Outcome::Failure(Failure::Status(500))),
        1 => Just(Outcome::Ignored),
        2 => proptest::option::of(0..100_u64)
            .prop_map(|secs| Outcome::Overload { retry_after: secs.map(Duration::from_secs) }),
    ]
}

fn any_step() -> impl Strategy<Value = Step> {
    let step_ms = prop_oneof![4 => Just(0), 8 => 0..2_000_i64, 2 => 2_000..80_000_i64, 1 => -5_000..0_i64];
    let pick = 0..64_usize;
    let operation = prop_oneof![
        8 => Just(Operation::Acquire),
        1 => Just(Operation::AcquireConnect),
        8 => (pick.clone(), any_outcome(), proptest::bool::weighted(0.9))
            .prop_map(|(pick, outcome, may_trip)| Operation::Record { pick, outcome, may_trip }),
        1 => pick.clone().prop_map(|pick| Operation::Forget { pick }),
        1 => Just(Operation::Poll),
        1 => Just(Operation::Readmit),
        1 => pick.prop_map(Operation::Configure),
    ];
    (step_ms, operation).prop_map(|(step_ms, operation)| Step { step_ms, operation })
}

proptest! {
    /// As the long run, but whatever fails shrinks to a few steps.
    #[test]
    fn short_histories_agree_with_the_model(
        variant in 0..6_usize,
        seed in any::<u64>(),
        steps in proptest::collection::vec(any_step(), 0..120),
    ) {
        let mut pair = Pair::new(variant, seed);
        for step in steps {
            pair.apply(step);
        }
    }
}
