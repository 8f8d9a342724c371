//! The breaker as request path and balancer use it, from several workers.

use std::{
    sync::{Arc, PoisonError, atomic::Ordering},
    time::{Duration, Instant},
};

use super::{
    cap::Cap,
    machine::{Machine, Phase, Rejected, Tally, Token, Try},
    outcome::Outcome,
    settings::Settings,
    slow_start,
    transition::{State, Transition, Transitions},
};
use crate::sync::{AtomicU64, Mutex, MutexGuard};

/// One machine, shared.
///
/// A call passes a closed breaker without a lock. Its outcome, and everything else, locks the machine for tens of
/// nanoseconds and never across an `.await`. A balancer that looks at many endpoints reads an image of the state
/// instead, which needs no lock and may be one call behind.
///
/// Nearly every call meets a closed breaker and succeeds. What is done for the others only is `#[cold]`, here and in the
/// machine: inlined, it would weigh on the functions that each call runs.
#[derive(Debug)]
pub struct Shared {
    /// Times in `image` count from here.
    base: Instant,
    image: AtomicU64,
    /// The machine's epoch while it is closed, otherwise [`NOT_CLOSED`].
    closed_epoch: AtomicU64,
    /// [`Machine::failures_left`]; 0 = it is not under suspicion.
    failures_left: AtomicU64,
    slow_start_ns: AtomicU64,
    /// Locked before the seat's cap, never after it.
    machine: Mutex<Machine>,
    /// Present at endpoint scope, where a trip needs the cap's consent.
    seat: Option<Seat>,
}

/// No epoch: at one transition in a nanosecond it would be reached after 584 years.
const NOT_CLOSED: u64 = u64::MAX;

/// An endpoint's place among those of its target.
#[derive(Clone, Debug)]
pub struct Seat {
    /// Who may be ejected, over all endpoints of the target.
    pub cap: Arc<Mutex<Cap>>,
    /// The endpoint's number in the cap.
    pub endpoint: u64,
}

/// What a breaker shows of itself to people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// The state with its times.
    pub phase: Phase,
    /// What became of all calls so far.
    pub tally: Tally,
}

impl Shared {
    /// A closed breaker, for a target if it has no seat.
    pub fn new(settings: Settings, seed: u64, now: Instant, seat: Option<Seat>) -> Arc<Self> {
        let machine = Machine::new(settings, seed, now);
        Arc::new(Self {
            base: now,
            image: AtomicU64::new(Image::CLOSED_EVER.0),
            closed_epoch: AtomicU64::new(machine.closed_epoch().unwrap_or(NOT_CLOSED)),
            failures_left: AtomicU64::new(0),
            slow_start_ns: AtomicU64::new(nanos(settings.slow_start)),
            machine: Mutex::new(machine),
            seat,
        })
    }

    /// Asks for admission of a call.
    pub fn acquire(self: &Arc<Self>, now: Instant) -> (Result<Pass, Rejected>, Transitions) {
        // A closed machine grants every call, and time alone brings no step: it has nothing to decide. Should it trip at
        // this very moment, the token is of the epoch before, and its outcome stale.
        let epoch = self.closed_epoch.load(Ordering::Acquire);
        if epoch != NOT_CLOSED {
            return (Ok(self.pass(Token::of_call(epoch))), Transitions::default());
        }
        self.acquire_locked(now)
    }

    /// Asks for the connection that precedes the probes, where the settings demand one: `None` if none is due now. To
    /// be called now and then for each breaker whose state is not closed. Success lets requests probe.
    pub fn acquire_connect(self: &Arc<Self>, now: Instant) -> (Option<Pass>, Transitions) {
        let mut machine = self.lock();
        let (token, transitions) = machine.try_acquire_connect(now);
        self.publish(&machine, &transitions);
        (token.map(|token| self.pass(token)), transitions)
    }

    /// Takes the steps that time alone brings, for who shows or logs states while no call comes.
    pub fn poll(&self, now: Instant) -> Transitions {
        let mut machine = self.lock();
        let transitions = machine.poll(now);
        self.publish(&machine, &transitions);
        transitions
    }

    /// Ends an ejection that the cap no longer has room for.
    pub fn readmit(&self, now: Instant) -> Transitions {
        let mut machine = self.lock();
        let transitions = machine.readmit(now);
        self.publish(&machine, &transitions);
        transitions
    }

    /// Applies other settings from the next call on; the state stays.
    pub fn set_settings(&self, settings: Settings) {
        let mut machine = self.lock();
        machine.set_settings(settings);
        self.slow_start_ns.store(nanos(settings.slow_start), Ordering::Relaxed);
        self.publish(&machine, &Transitions::default());
    }

    /// The state as of the latest call, without a lock.
    pub fn state(&self) -> State {
        self.image().state()
    }

    /// Whether a balancer should consider this endpoint, without a lock. `false` only if [`Shared::acquire`] would
    /// refuse; `true` may be out of date.
    pub fn is_available(&self, now: Instant) -> bool {
        match self.image().state() {
            State::Closed => true,
            State::Open | State::HalfOpen => self.since_base(now) >= self.image().at_ns(),
        }
    }

    /// Percent of its full share of requests that a balancer should give this endpoint, without a lock: less than 100
    /// for a time after closing, and instead of an ejection that the cap refused.
    pub fn share_percent(&self, now: Instant) -> u32 {
        let image = self.image();
        if image == Image::CLOSED_EVER || image.state() != State::Closed {
            return 100;
        }
        let length = Duration::from_nanos(self.slow_start_ns.load(Ordering::Relaxed));
        slow_start::share_percent(self.base + Duration::from_nanos(image.at_ns()), now, length)
    }

    /// How many more failures in a row would open it, without a lock; `None`: it is not under suspicion. See
    /// [`Machine::failures_left`].
    pub fn failures_left(&self) -> Option<u32> {
        // It was 32 bits long when it was stored.
        Some(self.failures_left.load(Ordering::Relaxed) as u32).filter(|left| *left > 0)
    }

    /// What there is to show, as of the latest call.
    pub fn view(&self) -> View {
        let machine = self.lock();
        View { phase: machine.phase(), tally: machine.tally() }
    }

    /// The endpoint is among those of its target from now on. A pause that has begun goes on if the cap has room.
    pub(super) fn join(&self, now: Instant) -> Transitions {
        let Some(seat) = &self.seat else { return Transitions::default() };
        let mut machine = self.lock();
        let until = match machine.phase() {
            Phase::Closed { .. } => None,
            Phase::Open { until } => Some(until),
            Phase::HalfOpen { .. } => Some(now),
        };
        let has_room = seat.lock().add(seat.endpoint, until);
        let transitions = if has_room { Transitions::default() } else { machine.readmit(now) };
        self.publish(&machine, &transitions);
        transitions
    }

    /// The endpoint is gone from its target. Returns the numbers of those that have to be readmitted.
    pub(super) fn leave(&self) -> Vec<u64> {
        self.seat.as_ref().map_or_else(Vec::new, |seat| seat.lock().remove(seat.endpoint))
    }

    #[cold]
    fn acquire_locked(self: &Arc<Self>, now: Instant) -> (Result<Pass, Rejected>, Transitions) {
        let mut machine = self.lock();
        let (token, transitions) = machine.try_acquire(now);
        self.publish(&machine, &transitions);
        (token.map(|token| self.pass(token)), transitions)
    }

    fn pass(self: &Arc<Self>, token: Token) -> Pass {
        Pass { breaker: Arc::clone(self), token: Some(token) }
    }

    fn record(&self, now: Instant, token: Token, outcome: Outcome) -> Transitions {
        let may_trip = |until| self.seat.as_ref().is_none_or(|seat| seat.lock().eject(seat.endpoint, until));
        let mut machine = self.lock();
        let transitions = machine.record(now, token, outcome, may_trip);
        self.publish(&machine, &transitions);
        transitions
    }

    #[cold]
    fn forget(&self, token: Token) {
        let mut machine = self.lock();
        machine.forget(token);
        self.publish(&machine, &Transitions::default());
    }

    /// Lets cap, epoch and image follow the machine. Each operation ends with it, before the lock is released.
    fn publish(&self, machine: &Machine, transitions: &Transitions) {
        let failures_left = machine.failures_left().map_or(0, u64::from);
        if failures_left != self.failures_left.load(Ordering::Relaxed) {
            self.failures_left.store(failures_left, Ordering::Relaxed);
        }
        // What else is shown of a closed machine changes with a step alone.
        if !transitions.is_empty() || machine.state() != State::Closed {
            self.publish_state(machine, transitions);
        }
    }

    #[cold]
    fn publish_state(&self, machine: &Machine, transitions: &Transitions) {
        let closed_epoch = machine.closed_epoch().unwrap_or(NOT_CLOSED);
        self.closed_epoch.store(closed_epoch, Ordering::Release);
        if let Some(seat) = &self.seat {
            transitions.as_slice().iter().for_each(|transition| seat.follow(transition));
        }
        let image = self.image_of(machine);
        if image != self.image() {
            self.image.store(image.0, Ordering::Release);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Machine> {
        // A panic in the machine would be a bug, and no reason to fail every later request as well.
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn image(&self) -> Image {
        Image(self.image.load(Ordering::Acquire))
    }

    fn image_of(&self, machine: &Machine) -> Image {
        if let Phase::Closed { since } = machine.phase() {
            return since
                .map_or(Image::CLOSED_EVER, |since| Image::new(State::Closed, self.since_base(since)));
        }
        let from_ns = match machine.worth_a_try() {
            Try::Now => 0,
            Try::From(from) => self.since_base(from),
            Try::Later => Image::NEVER_NS,
        };
        Image::new(machine.state(), from_ns)
    }

    fn since_base(&self, at: Instant) -> u64 {
        nanos(at.saturating_duration_since(self.base))
    }
}

impl Seat {
    fn lock(&self) -> MutexGuard<'_, Cap> {
        self.cap.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn follow(&self, transition: &Transition) {
        match (transition.to, transition.until) {
            // Consent was given when the machine tripped; here the time moves on when a probe fails.
            (State::Open, Some(until)) => {
                self.lock().eject(self.endpoint, until);
            }
            (State::Closed, _) => self.lock().admit(self.endpoint),
            _ => {}
        }
    }
}

/// Admission of one call, with exactly one outcome: dropping it unreported counts as [`Outcome::Ignored`].
#[derive(Debug)]
#[must_use = "every pass reports one outcome"]
pub struct Pass {
    breaker: Arc<Shared>,
    token: Option<Token>,
}

impl Pass {
    /// Reports how the call ended.
    pub fn report(mut self, now: Instant, outcome: Outcome) -> Transitions {
        match self.token.take() {
            Some(token) => self.breaker.record(now, token, outcome),
            None => Transitions::default(),
        }
    }

    /// Whether the outcome settles something: then it should be reported at the response headers, since a body may
    /// take longer than a probe may.
    pub fn is_probe(&self) -> bool {
        self.token.as_ref().is_some_and(Token::is_probe)
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if let Some(token) = self.token.take() {
            self.breaker.forget(token);
        }
    }
}

/// State and time of a machine in 64 bits: two for the state, the others for nanoseconds since the base, which is
/// enough for 146 years.
///
/// The time is, closed: when it closed; open or half-open: from when a call is worth a try.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Image(u64);

impl Image {
    const NEVER_NS: u64 = u64::MAX >> 2;
    /// Closed and never open before.
    const CLOSED_EVER: Self = Self(0);

    fn new(state: State, at_ns: u64) -> Self {
        let tag = match state {
            State::Closed => 1,
            State::Open => 2,
            State::HalfOpen => 3,
        };
        Self(at_ns.min(Self::NEVER_NS) << 2 | tag)
    }

    fn state(self) -> State {
        match self.0 & 3 {
            2 => State::Open,
            3 => State::HalfOpen,
            _ => State::Closed,
        }
    }

    fn at_ns(self) -> u64 {
        self.0 >> 2
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
