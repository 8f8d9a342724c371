//! The breaker's state machine: no IO, no clock, no task.

use std::time::{Duration, Instant};

use rand::{Rng, SeedableRng, rngs::SmallRng};

use super::{
    outcome::Outcome,
    settings::{DECAY, Settings},
    transition::{Reason, State, Transition, Transitions},
    window::Window,
};

/// Admission of one call. Spent by [`Machine::record`] or [`Machine::forget`]: exactly one outcome each.
#[derive(Debug)]
#[must_use = "every token reports one outcome"]
pub struct Token {
    epoch: u64,
    role: Role,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// A call through a closed breaker.
    Call,
    /// A call that settles whether a half-open breaker closes.
    Probe(u64),
    /// A connection that has to succeed before there are probes.
    Connect(u64),
}

impl Token {
    /// What [`Machine::try_acquire`] gives while the machine is closed in this epoch.
    pub(super) fn of_call(epoch: u64) -> Self {
        Self { epoch, role: Role::Call }
    }

    /// Whether the outcome settles something: it should be reported at the response headers already, and a request
    /// that may be retried is the better one to hold it.
    pub fn is_probe(&self) -> bool {
        self.role != Role::Call
    }
}

/// No call may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the circuit breaker is {state:?}; ask again later")]
pub struct Rejected {
    /// Open or half-open.
    pub state: State,
    /// Before this time, asking again is in vain unless a probe is settled meanwhile.
    pub until: Instant,
}

/// What became of all calls so far. `ok + err + ignored + stale` is the number of outcomes that came in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Successes.
    pub ok: u64,
    /// Failures and overload.
    pub err: u64,
    /// Outcomes that say nothing.
    pub ignored: u64,
    /// Outcomes of calls that began before the latest transition: they changed nothing.
    pub stale: u64,
    /// Calls that were not let through.
    pub rejected: u64,
}

/// Where the machine stands, with its times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Calls pass.
    Closed {
        /// When it closed; later than now after a refused trip; `None` if it never opened.
        since: Option<Instant>,
    },
    /// No call passes.
    Open {
        /// The end of the pause.
        until: Instant,
    },
    /// Probes pass.
    HalfOpen {
        /// Probes that succeeded.
        successes: u32,
        /// Whether requests may probe already.
        connect: Connect,
    },
}

/// The connection that precedes the probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connect {
    /// Somebody has to make it.
    Needed,
    /// Somebody is making it.
    Running,
    /// It succeeded, or none was asked for.
    Done,
}

/// When a call is worth a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Try {
    /// It may pass now.
    Now,
    /// Not before this time.
    From(Instant),
    /// Not before something else happens.
    Later,
}

#[derive(Clone, Copy, Debug)]
struct Probe {
    id: u64,
    deadline: Instant,
}

/// Failure accrual for one endpoint or target.
///
/// Each transition begins a new epoch, and an outcome from an older one changes nothing. So a call that began before a
/// trip can neither close the breaker nor keep it open. A time before the latest one seen counts as the latest.
#[derive(Debug)]
pub struct Machine {
    settings: Settings,
    phase: Phase,
    epoch: u64,
    /// The latest time seen.
    latest: Instant,
    consecutive: u32,
    /// Successes and failures while closed.
    window: Window,
    /// Trips in a row: they lengthen the pause.
    trips: u32,
    /// Probes and connections under way, in the order in which they began. Bounded by `Settings::probes`.
    probes: Vec<Probe>,
    probes_begun: u64,
    random: SmallRng,
    tally: Tally,
}

impl Machine {
    /// A closed machine. Proxies take different seeds so that they do not probe together.
    pub fn new(settings: Settings, seed: u64, now: Instant) -> Self {
        Self {
            settings,
            phase: Phase::Closed { since: None },
            epoch: 0,
            latest: now,
            consecutive: 0,
            window: Window::new(settings.window, now),
            trips: 0,
            probes: Vec::new(),
            probes_begun: 0,
            random: SmallRng::seed_from_u64(seed),
            tally: Tally::default(),
        }
    }

    /// Asks for admission of a call.
    pub fn try_acquire(&mut self, now: Instant) -> (Result<Token, Rejected>, Transitions) {
        let transitions = self.poll(now);
        let rejected_until = match self.phase {
            Phase::Closed { .. } => return (Ok(Token::of_call(self.epoch)), transitions),
            Phase::HalfOpen { .. } if self.may_probe() => {
                let probe = self.begin_probe();
                return (Ok(self.token(Role::Probe(probe))), transitions);
            }
            Phase::Open { until } => until,
            Phase::HalfOpen { .. } => self.first_deadline().unwrap_or(self.latest),
        };
        self.tally.rejected += 1;
        (Err(Rejected { state: self.state(), until: rejected_until }), transitions)
    }

    /// Asks for the connection that precedes the probes: `None` if none is due now. Its success lets probes begin, and
    /// its failure is that of a probe.
    pub fn try_acquire_connect(&mut self, now: Instant) -> (Option<Token>, Transitions) {
        let transitions = self.poll(now);
        let is_due = self.settings.connect_first && self.has_free_slot();
        let Phase::HalfOpen { connect: connect @ Connect::Needed, .. } = &mut self.phase else {
            return (None, transitions);
        };
        if !is_due {
            return (None, transitions);
        }
        *connect = Connect::Running;
        let probe = self.begin_probe();
        (Some(self.token(Role::Connect(probe))), transitions)
    }

    /// Takes the outcome of a call. `may_trip` is asked at most once, when the rules demand that a closed machine trips,
    /// with the end of the pause; `false` refuses the trip.
    pub fn record(
        &mut self,
        now: Instant,
        token: Token,
        outcome: Outcome,
        may_trip: impl FnOnce(Instant) -> bool,
    ) -> Transitions {
        let transitions = self.poll(now);
        if token.epoch != self.epoch {
            self.tally.stale += 1;
            return transitions;
        }
        match outcome {
            Outcome::Success => self.tally.ok += 1,
            Outcome::Failure(_) | Outcome::Overload { .. } => self.tally.err += 1,
            Outcome::Ignored => {
                self.forget(token);
                return transitions;
            }
        }
        // The epoch is the token's, so time alone brought no step just now: what follows is the only one.
        let transition = match token.role {
            Role::Call => self.judge_call(outcome, may_trip),
            Role::Probe(id) | Role::Connect(id) => {
                self.probes.retain(|probe| probe.id != id);
                self.judge_probe(token.role, outcome)
            }
        };
        transition.into()
    }

    /// Takes a token back whose call has no outcome: as [`Outcome::Ignored`] at the latest time seen.
    #[expect(clippy::needless_pass_by_value, reason = "a token is spent, so that it has one outcome")]
    pub fn forget(&mut self, token: Token) {
        let Token { epoch, role } = token;
        if epoch != self.epoch {
            self.tally.stale += 1;
            return;
        }
        self.tally.ignored += 1;
        let (Role::Probe(id) | Role::Connect(id)) = role else { return };
        self.probes.retain(|probe| probe.id != id);
        if let (Role::Connect(_), Phase::HalfOpen { connect, .. }) = (role, &mut self.phase) {
            *connect = Connect::Needed;
        }
    }

    /// Takes the steps that time alone brings, each at the moment it was due: so it makes no difference how often this
    /// is called.
    pub fn poll(&mut self, now: Instant) -> Transitions {
        self.latest = self.latest.max(now);
        // A closed machine takes no step by time alone.
        if self.state() == State::Closed { Transitions::default() } else { self.steps_due() }
    }

    #[cold]
    fn steps_due(&mut self) -> Transitions {
        let mut transitions = Transitions::default();
        if let Some(deadline) = self.first_deadline()
            && deadline <= self.latest
        {
            let until = self.next_pause(deadline, None);
            transitions.push(self.open(deadline, until, Reason::ProbeTimedOut));
        }
        if let Phase::Open { until } = self.phase
            && until <= self.latest
        {
            let connect = if self.settings.connect_first { Connect::Needed } else { Connect::Done };
            transitions.push(self.enter(
                until,
                Phase::HalfOpen { successes: 0, connect },
                Reason::PauseOver,
                None,
            ));
        }
        transitions
    }

    /// Ends an ejection that the cap no longer has room for. Nothing if the machine is closed.
    pub fn readmit(&mut self, now: Instant) -> Transitions {
        self.latest = self.latest.max(now);
        let closed = Phase::Closed { since: Some(self.latest) };
        (self.state() != State::Closed)
            .then(|| self.enter(self.latest, closed, Reason::Readmitted, None))
            .into()
    }

    /// Applies other settings from the next call on. The state, the counts and a pause that has begun stay.
    pub fn set_settings(&mut self, settings: Settings) {
        self.window.set_length(settings.window);
        self.settings = settings;
    }

    /// The state, as of the latest call.
    pub fn state(&self) -> State {
        match self.phase {
            Phase::Closed { .. } => State::Closed,
            Phase::Open { .. } => State::Open,
            Phase::HalfOpen { .. } => State::HalfOpen,
        }
    }

    /// The state with its times, as of the latest call.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// How many more failures in a row would open it, as long as it is under suspicion: closed, and its last call that
    /// says anything failed. `None` also if failures in a row do not open it.
    pub fn failures_left(&self) -> Option<u32> {
        let is_suspect = self.state() == State::Closed && self.consecutive > 0;
        // At least one: after an edit there may have been more already, and an edit is no outcome.
        (is_suspect && self.settings.consecutive > 0)
            .then(|| self.settings.consecutive.saturating_sub(self.consecutive).max(1))
    }

    /// The epoch, if any call may pass as long as it lasts.
    pub(super) fn closed_epoch(&self) -> Option<u64> {
        matches!(self.phase, Phase::Closed { .. }).then_some(self.epoch)
    }

    /// What became of all calls so far.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// Whether a call is worth a try.
    pub fn worth_a_try(&self) -> Try {
        match self.phase {
            Phase::Closed { .. } => Try::Now,
            Phase::Open { .. } if self.settings.connect_first => Try::Later,
            Phase::Open { until } => Try::From(until),
            Phase::HalfOpen { .. } if self.may_probe() => Try::Now,
            // When a probe's time is up somebody has to ask, or nobody would notice.
            Phase::HalfOpen { .. } => self.first_deadline().map_or(Try::Later, Try::From),
        }
    }

    fn judge_call(&mut self, outcome: Outcome, may_trip: impl FnOnce(Instant) -> bool) -> Option<Transition> {
        let at = self.latest;
        let mut retry_after = None;
        let counts = match outcome {
            Outcome::Success => {
                self.consecutive = 0;
                [1, 0]
            }
            Outcome::Failure(_) => {
                self.consecutive = self.consecutive.saturating_add(1);
                [0, 1]
            }
            Outcome::Overload { retry_after: asked } => {
                retry_after = asked;
                [0, 1]
            }
            Outcome::Ignored => return None,
        };
        let totals = self.window.add(at, counts);
        let reason = self.reason_to_trip(totals)?;
        Some(self.trip(reason, retry_after, may_trip))
    }

    #[cold]
    fn trip(
        &mut self,
        reason: Reason,
        retry_after: Option<Duration>,
        may_trip: impl FnOnce(Instant) -> bool,
    ) -> Transition {
        let at = self.latest;
        let until = self.next_pause(at, retry_after);
        if may_trip(until) {
            return self.open(at, until, reason);
        }
        // What would have been the pause is served at the share that slow start begins with.
        self.enter(at, Phase::Closed { since: Some(until) }, reason, Some(until))
    }

    fn judge_probe(&mut self, role: Role, outcome: Outcome) -> Option<Transition> {
        let at = self.latest;
        let (reason, retry_after) = match outcome {
            Outcome::Success => return self.probe_succeeded(role),
            Outcome::Failure(failure) => (Reason::ProbeFailed(failure), None),
            Outcome::Overload { retry_after } => (Reason::ProbeOverloaded, retry_after),
            Outcome::Ignored => return None,
        };
        let until = self.next_pause(at, retry_after);
        Some(self.open(at, until, reason))
    }

    fn probe_succeeded(&mut self, role: Role) -> Option<Transition> {
        // Probes exist in half-open alone, and leaving it makes their tokens stale.
        let Phase::HalfOpen { successes, connect } = &mut self.phase else { return None };
        if let Role::Connect(_) = role {
            *connect = Connect::Done;
            return None;
        }
        *successes += 1;
        let successes = *successes;
        if successes < self.settings.successes {
            return None;
        }
        let closed = Phase::Closed { since: Some(self.latest) };
        Some(self.enter(self.latest, closed, Reason::ProbesSucceeded { successes }, None))
    }

    fn reason_to_trip(&self, [ok, failed]: [u64; 2]) -> Option<Reason> {
        let Settings { consecutive, failure_percent, min_requests, window, .. } = self.settings;
        if consecutive > 0 && self.consecutive >= consecutive {
            return Some(Reason::Consecutive { failures: self.consecutive });
        }
        let total = ok + failed;
        let judged = failure_percent > 0 && failed > 0 && total >= u64::from(min_requests);
        (judged && failed * 100 >= u64::from(failure_percent) * total).then_some(Reason::Share {
            failed,
            total,
            window,
        })
    }

    /// Counts a trip at `at` and says when the pause after it ends.
    fn next_pause(&mut self, at: Instant, retry_after: Option<Duration>) -> Instant {
        if let Phase::Closed { since: Some(since) } = self.phase
            && at.saturating_duration_since(since) >= DECAY
        {
            self.trips = 0;
        }
        self.trips = self.trips.saturating_add(1);
        let pause = self.settings.pause(self.trips);
        let most = pause.as_nanos() * u128::from(self.settings.jitter_ppm) / 1_000_000;
        let most = u64::try_from(most).unwrap_or(u64::MAX);
        let pause = pause.saturating_add(Duration::from_nanos(self.random.random_range(0..=most)));
        let asked = retry_after.unwrap_or_default().min(self.settings.open_max);
        // A pause beyond what the clock can hold is none that a policy could have asked for.
        at.checked_add(pause.max(asked)).unwrap_or(at)
    }

    fn open(&mut self, at: Instant, until: Instant, reason: Reason) -> Transition {
        self.enter(at, Phase::Open { until }, reason, Some(until))
    }

    fn enter(&mut self, at: Instant, phase: Phase, reason: Reason, until: Option<Instant>) -> Transition {
        let from = self.state();
        self.phase = phase;
        self.epoch += 1;
        self.consecutive = 0;
        self.window.clear();
        self.probes.clear();
        Transition { from, to: self.state(), reason, at, until }
    }

    fn token(&self, role: Role) -> Token {
        Token { epoch: self.epoch, role }
    }

    fn begin_probe(&mut self) -> u64 {
        self.probes_begun += 1;
        let deadline = self.latest.checked_add(self.settings.probe_timeout).unwrap_or(self.latest);
        self.probes.push(Probe { id: self.probes_begun, deadline });
        self.probes_begun
    }

    fn may_probe(&self) -> bool {
        let Phase::HalfOpen { connect, .. } = self.phase else { return false };
        // The settings may have changed while somebody still had to connect.
        let connected = connect == Connect::Done || !self.settings.connect_first;
        connected && self.has_free_slot()
    }

    fn has_free_slot(&self) -> bool {
        self.probes.len() < self.settings.probes as usize
    }

    fn first_deadline(&self) -> Option<Instant> {
        self.probes.iter().map(|probe| probe.deadline).min()
    }
}

#[cfg(test)]
mod tests;
