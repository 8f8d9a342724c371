//! Requests at a steady rate to a few endpoints with their default breakers: what one that falls silent, or fails now and
//! then, costs until its breaker knows.

use std::{cmp::Reverse, collections::BTreeMap};

use super::*;

/// Time of one try.
const TIMEOUT: Duration = Duration::from_millis(150);
/// Tries of a request.
const TRIES_MAX: usize = 3;
/// Longest pause before a retry.
const BACKOFF: Duration = Duration::from_millis(25);

/// How endpoints answer.
#[derive(Clone, Copy, Debug)]
struct World {
    breaker: Settings,
    endpoints: usize,
    per_second: u32,
    /// Usual time of an answer, from half of it to its double.
    latency: Duration,
    /// One answer of a hundred takes so much longer.
    hiccup: Duration,
    /// When the first endpoint falls silent.
    silent_from: Option<Duration>,
    /// Of a hundred answers of the first endpoint, how many are failures.
    failures_percent: u32,
}

impl World {
    /// Three endpoints that answer, and a hundred requests a second.
    fn well() -> Self {
        Self {
            breaker: settings(),
            endpoints: 3,
            per_second: 100,
            latency: Duration::from_millis(10),
            hiccup: Duration::from_millis(50),
            silent_from: None,
            failures_percent: 0,
        }
    }
}

/// The endpoints that a request has tried.
type Tried = Vec<Arc<Endpoint>>;

enum Event {
    Try(Tried),
    End(Try),
}

/// A try under way, and how it will end.
struct Try {
    tried: Tried,
    picked: Picked,
    sent: Instant,
    is_answer: bool,
    is_success: bool,
}

/// What came of it.
#[derive(Default)]
struct Report {
    /// Tries by endpoint.
    tries: Vec<u32>,
    /// Failed tries at the first endpoint.
    failed_tries: u32,
    /// Requests that failed for good.
    failed_requests: u32,
    /// When the first endpoint was ejected, after its first try without an answer began.
    ejected: Option<Duration>,
}

struct Simulation {
    world: World,
    start: Instant,
    endpoints: Endpoints,
    random: SmallRng,
    /// By time, then by number.
    events: BTreeMap<Reverse<(Instant, u64)>, Event>,
    next: u64,
    first_unanswered: Option<Instant>,
    report: Report,
}

impl Simulation {
    fn new(world: World, seed: u64) -> Self {
        let start = Instant::now();
        Self {
            world,
            start,
            endpoints: endpoints_with(world.breaker, &vec![1; world.endpoints], start),
            random: SmallRng::seed_from_u64(seed),
            events: BTreeMap::new(),
            next: 0,
            first_unanswered: None,
            report: Report { tries: vec![0; world.endpoints], ..Report::default() },
        }
    }

    fn run(mut self, duration: Duration) -> Report {
        let period = Duration::from_secs(1) / self.world.per_second;
        for number in 0..(duration.as_nanos() / period.as_nanos()) as u32 {
            self.schedule(self.start + period * number, Event::Try(Tried::new()));
        }
        while let Some((Reverse((now, _)), event)) = self.events.pop_last() {
            match event {
                Event::Try(tried) => self.begin(now, tried),
                Event::End(ended) => self.end(now, ended),
            }
        }
        self.report
    }

    fn schedule(&mut self, at: Instant, event: Event) {
        self.next += 1;
        self.events.insert(Reverse((at, self.next)), event);
    }

    fn begin(&mut self, now: Instant, mut tried: Tried) {
        let picked = self.endpoints.pick(now, &mut self.random, None, &tried).expect("never none");
        tried.push(Arc::clone(&picked.endpoint));
        let at = index(&self.endpoints, &picked);
        self.report.tries[at] += 1;
        let mut takes = self.world.latency.mul_f64(self.random.random_range(0.5..2.0));
        if self.random.random_ratio(1, 100) {
            takes += self.world.hiccup;
        }
        let silent_from = self.world.silent_from.map(|from| self.start + from);
        let is_silent = at == 0 && silent_from.is_some_and(|from| now + takes >= from);
        if is_silent {
            self.first_unanswered.get_or_insert(now);
        }
        let is_answer = !is_silent && takes < TIMEOUT;
        let fails = at == 0 && self.random.random_ratio(self.world.failures_percent, 100);
        let end = now + if is_answer { takes } else { TIMEOUT };
        let is_success = is_answer && !fails;
        self.schedule(end, Event::End(Try { tried, picked, sent: now, is_answer, is_success }));
    }

    fn end(&mut self, now: Instant, ended: Try) {
        let Try { tried, picked, sent, is_answer, is_success } = ended;
        let Picked { endpoint, pass, mut in_flight } = picked;
        let outcome = if is_success {
            endpoint.load.observe(now.saturating_duration_since(sent), now);
            Outcome::Success
        } else {
            Outcome::Failure(if is_answer { Failure::Status(500) } else { Failure::Timeout })
        };
        endpoint.accrual.report(pass, now, outcome);
        if is_answer {
            in_flight.answer(now);
        }
        drop(in_flight);
        let is_first = self.endpoints.iter().next().is_some_and(|first| Arc::ptr_eq(first, &endpoint));
        if let (true, State::Open, Some(since)) =
            (is_first, endpoint.accrual.breaker.state(), self.first_unanswered)
        {
            self.report.ejected.get_or_insert(now.saturating_duration_since(since));
        }
        if is_success {
            return;
        }
        self.report.failed_tries += u32::from(is_first);
        if tried.len() == TRIES_MAX {
            self.report.failed_requests += 1;
            return;
        }
        let pause = BACKOFF.mul_f64(self.random.random());
        self.schedule(now + pause, Event::Try(tried));
    }
}

#[test]
fn a_silent_endpoint_of_three_fails_five_tries_and_is_ejected_within_a_second() {
    let world = World { silent_from: Some(Duration::from_secs(2)), ..World::well() };
    for seed in 0..100 {
        let report = Simulation::new(world, seed).run(Duration::from_secs(5));
        assert_eq!((report.failed_tries, report.failed_requests), (5, 0), "seed {seed}");
        // Until its first try after it fell silent nobody is hurt, however long that takes.
        let after = report.ejected.expect("it is ejected");
        assert!(after <= Duration::from_secs(1), "seed {seed}: after {after:?}");
    }
}

#[test]
fn a_silent_endpoint_fails_five_tries_also_where_answers_take_long_or_requests_come_fast() {
    let silent_from = Some(Duration::from_secs(2));
    let slow = World { latency: Duration::from_millis(40), silent_from, ..World::well() };
    let fast = World { per_second: 400, latency: Duration::from_millis(2), silent_from, ..World::well() };
    let many = World { endpoints: 10, silent_from, ..World::well() };
    for world in [slow, fast, many] {
        for seed in 0..20 {
            let report = Simulation::new(world, seed).run(Duration::from_secs(6));
            let failed = (report.failed_tries, report.failed_requests);
            assert_eq!(failed, (5, 0), "{world:?}, seed {seed}");
            assert!(report.ejected.is_some(), "{world:?}, seed {seed}");
        }
    }
}

#[test]
fn who_fails_one_time_in_three_is_neither_starved_nor_sought() {
    // With few requests and with many under way: sixty at each endpoint.
    let few = World { failures_percent: 33, ..World::well() };
    let many = World { per_second: 2_000, latency: Duration::from_millis(70), ..few };
    for world in [few, many] {
        // Without suspicion, and with: but not so many in a row that it is ejected.
        for consecutive in [0, 20] {
            let breaker = Settings { consecutive, failure_percent: 0, ..world.breaker };
            let report = Simulation::new(World { breaker, ..world }, 1).run(Duration::from_secs(20));
            let total: u32 = report.tries.iter().sum();
            let share = report.tries[0] * 100 / total;
            // A third of the requests is 30 % of all tries: retries go elsewhere.
            assert!((25..=36).contains(&share), "{world:?}, {consecutive}: {share} % of {total}");
            assert_eq!(report.failed_requests, 0, "a retry goes elsewhere");
        }
    }
}
