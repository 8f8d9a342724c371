//! Which endpoint takes a try: of two drawn at random, the one that costs less (power of two choices, peak EWMA).
//!
//! The cost of an endpoint is its moving average of latency times what it has in flight, itself included, over its
//! weight. The average follows a slower answer at once and forgets it over ten seconds, so an endpoint that stalls is
//! left alone after its first slow answers; one that answers slowly because it is loaded gets less. An answer that is
//! owed counts for as late as it is already. Where two have nothing to do and cost about the same, weight decides: else
//! the one that is nearer by a hair would get everything for seconds.
//!
//! An endpoint whose last try failed is under suspicion, and load says nothing about it: one that fails fast would seem
//! idle and get more, one that is silent busy and get nothing, and its breaker would have nothing to go by. So until it
//! answers well or is ejected, it gets the share of its weight, and at any time at most as many tries wait for its
//! answer as failures are left until it is ejected. Then not one try more fails than the breaker needs.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use rand::Rng;

use crate::{accrual::Accrual, breaker::shared::Pass, upstream::Peer};

/// Time in which an old latency loses all but 1/e of its weight.
const DECAY: Duration = Duration::from_secs(10);
/// What an endpoint that has not answered yet is thought to take: it is tried, but not by everybody at once.
const UNKNOWN: Duration = Duration::from_millis(1);
/// Costs of idle endpoints are alike if the higher is less than so many times the lower: that is noise, or the way to
/// another node.
const ALIKE: f64 = 2.0;
/// Random pairs before all endpoints are looked at.
const DRAWS: usize = 3;

/// One endpoint of a backend.
#[derive(Debug)]
pub struct Endpoint {
    /// How to reach it.
    pub peer: Arc<Peer>,
    /// Its breaker.
    pub accrual: Arc<Accrual>,
    /// Share of the requests in relation to others. At least 1.
    pub weight: u32,
    /// What it has to do.
    pub load: Arc<Load>,
}

/// The endpoints of a backend that take requests.
#[derive(Debug, Default)]
pub struct Endpoints(Vec<Arc<Endpoint>>);

/// Requests in flight and latency of one endpoint.
#[derive(Debug)]
pub struct Load {
    base: Instant,
    in_flight: AtomicU32,
    /// Of those, without response headers.
    unanswered: AtomicU32,
    /// Since when an answer is owed, if any is: the begin of the first try after the last answer. Nanoseconds since
    /// `base`, as all times here.
    owed_since_ns: AtomicU64,
    average_ns: AtomicU64,
    /// When the average was last touched.
    touched_ns: AtomicU64,
}

/// One request in flight; dropped, it is over.
#[derive(Debug)]
pub struct InFlight {
    load: Arc<Load>,
    is_answered: bool,
}

/// An endpoint that takes a try.
#[derive(Debug)]
pub struct Picked {
    /// Which.
    pub endpoint: Arc<Endpoint>,
    /// Its breaker's admission; `None` in audit mode, where a call passes that the breaker would have refused.
    pub pass: Option<Pass>,
    /// Its load, counted while this lives.
    pub in_flight: InFlight,
}

impl Load {
    /// Nothing in flight, latency unknown.
    pub fn new(now: Instant) -> Self {
        Self {
            base: now,
            in_flight: AtomicU32::new(0),
            unanswered: AtomicU32::new(0),
            owed_since_ns: AtomicU64::new(0),
            average_ns: AtomicU64::new(UNKNOWN.as_nanos() as u64),
            touched_ns: AtomicU64::new(0),
        }
    }

    /// Counts one request until the value is dropped.
    pub fn begin(self: &Arc<Self>, now: Instant) -> InFlight {
        self.in_flight.fetch_add(1, Relaxed);
        if self.unanswered.fetch_add(1, Relaxed) == 0 {
            self.owed_since_ns.store(self.nanos(now), Relaxed);
        }
        InFlight { load: Arc::clone(self), is_answered: false }
    }

    /// Requests in flight now.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Relaxed)
    }

    /// Takes one latency in. Two workers may do so at once and one observation be lost: it is an average.
    pub fn observe(&self, latency: Duration, now: Instant) {
        let latency = latency.as_nanos() as f64;
        let average = self.average();
        let average = if latency > average {
            latency
        } else {
            let elapsed = self.elapsed(now);
            let keep = (-elapsed.as_secs_f64() / DECAY.as_secs_f64()).exp();
            average.mul_add(keep, latency * (1.0 - keep))
        };
        self.average_ns.store(average as u64, Relaxed);
        self.touched_ns.store(self.nanos(now), Relaxed);
    }

    fn nanos(&self, at: Instant) -> u64 {
        // Enough for 584 years.
        at.saturating_duration_since(self.base).as_nanos() as u64
    }

    fn average(&self) -> f64 {
        self.average_ns.load(Relaxed) as f64
    }

    fn elapsed(&self, now: Instant) -> Duration {
        Duration::from_nanos(self.nanos(now).saturating_sub(self.touched_ns.load(Relaxed)))
    }

    /// For how many nanoseconds an answer has been owed.
    fn owed_ns(&self, now: Instant) -> u64 {
        if self.unanswered.load(Relaxed) == 0 {
            return 0;
        }
        self.nanos(now).saturating_sub(self.owed_since_ns.load(Relaxed))
    }

    /// What one more request costs here. Without answers the average fades, so that an endpoint is not avoided for ever
    /// because of one bad moment.
    fn cost(&self, now: Instant) -> f64 {
        let fade = (-self.elapsed(now).as_secs_f64() / DECAY.as_secs_f64()).exp();
        let average = (self.average() * fade).max(self.owed_ns(now) as f64).max(1.0);
        average * f64::from(self.in_flight() + 1)
    }
}

impl InFlight {
    /// Response headers are there, good or bad. To be called after the breaker was told of them.
    pub fn answer(&mut self, now: Instant) {
        if !std::mem::replace(&mut self.is_answered, true) {
            self.load.owed_since_ns.store(self.load.nanos(now), Relaxed);
            self.load.unanswered.fetch_sub(1, Relaxed);
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if !self.is_answered {
            self.load.unanswered.fetch_sub(1, Relaxed);
        }
        self.load.in_flight.fetch_sub(1, Relaxed);
    }
}

impl Endpoint {
    fn is_available(&self, now: Instant) -> bool {
        !self.accrual.enforces() || self.accrual.breaker.is_available(now)
    }

    /// Failures that would eject it, if it is under suspicion.
    fn failures_left(&self) -> Option<u32> {
        if self.accrual.enforces() { self.accrual.breaker.failures_left() } else { None }
    }

    /// Whether one more try may wait for its answer, so that no more fail than its breaker needs.
    fn has_room(&self) -> bool {
        self.failures_left().is_none_or(|left| self.load.unanswered.load(Relaxed) < left)
    }

    /// This one for a try, if it takes one now.
    pub fn pick(self: &Arc<Self>, now: Instant) -> Option<Picked> {
        if self.is_available(now) && self.has_room() { take(self, now) } else { None }
    }

    fn share(&self, now: Instant) -> f64 {
        f64::from(self.weight) * f64::from(self.accrual.breaker.share_percent(now)) / 100.0
    }

    fn cost(&self, now: Instant) -> f64 {
        self.load.cost(now) / self.share(now)
    }
}

impl Endpoints {
    /// Those that take requests.
    pub fn new(endpoints: Vec<Arc<Endpoint>>) -> Self {
        Self(endpoints)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.0.iter()
    }

    /// An endpoint for a try, other than `avoided` if there is any other. `None` = nobody takes it.
    pub fn pick(&self, now: Instant, random: &mut impl Rng, avoided: &[Arc<Endpoint>]) -> Option<Picked> {
        let is_avoided = |endpoint: &Arc<Endpoint>| avoided.iter().any(|other| Arc::ptr_eq(other, endpoint));
        self.draw(now, random, |endpoint| !is_avoided(endpoint))
            .or_else(|| if avoided.is_empty() { None } else { self.draw(now, random, |_| true) })
    }

    /// Whether there is an endpoint, beside those that are avoided, that takes requests.
    pub fn has_other(&self, now: Instant, avoided: &[Arc<Endpoint>]) -> bool {
        let is_avoided = |endpoint: &Arc<Endpoint>| avoided.iter().any(|other| Arc::ptr_eq(other, endpoint));
        self.0.iter().any(|endpoint| !is_avoided(endpoint) && endpoint.is_available(now))
    }

    fn draw(
        &self,
        now: Instant,
        random: &mut impl Rng,
        wanted: impl Fn(&Arc<Endpoint>) -> bool,
    ) -> Option<Picked> {
        let usable = |endpoint: &&Arc<Endpoint>| endpoint.is_available(now) && wanted(endpoint);
        for _ in 0..DRAWS {
            let pair = self.pair(random).map(|drawn| drawn.filter(usable).filter(|drawn| drawn.has_room()));
            let better = match pair {
                [Some(one), Some(other)] => Some(better(one, other, now, random)),
                [one, other] => one.or(other),
            };
            if let Some(picked) = better.and_then(|endpoint| take(endpoint, now)) {
                return Some(picked);
            }
        }
        // Most are out: whoever is left, those with room first, in order of cost, until one's breaker admits the call.
        // Noted down, for while they are sorted other workers change them.
        let mut left: Vec<_> = self
            .0
            .iter()
            .filter(usable)
            .map(|endpoint| (!endpoint.has_room(), endpoint.cost(now), endpoint))
            .collect();
        left.sort_by(|(a_full, a, _), (b_full, b, _)| a_full.cmp(b_full).then(a.total_cmp(b)));
        left.into_iter().find_map(|(_, _, endpoint)| take(endpoint, now))
    }

    /// Two different endpoints, or the one that there is.
    fn pair(&self, random: &mut impl Rng) -> [Option<&Arc<Endpoint>>; 2] {
        match self.0.as_slice() {
            [] => [None, None],
            [only] => [Some(only), None],
            all => {
                let first = random.random_range(0..all.len());
                let second = (first + random.random_range(1..all.len())) % all.len();
                [Some(&all[first]), Some(&all[second])]
            }
        }
    }
}

/// The one that costs less; at random, by weight, if both are idle and alike, or either is under suspicion.
fn better<'a>(
    one: &'a Arc<Endpoint>,
    other: &'a Arc<Endpoint>,
    now: Instant,
    random: &mut impl Rng,
) -> &'a Arc<Endpoint> {
    let by_weight = |random: &mut _| {
        let (share, rest) = (one.share(now), other.share(now));
        Rng::random::<f64>(random) * (share + rest) < share
    };
    let is_one = if one.failures_left().or(other.failures_left()).is_some() {
        by_weight(random)
    } else {
        let (cost, rest) = (one.cost(now), other.cost(now));
        let are_idle = one.load.in_flight() == 0 && other.load.in_flight() == 0;
        let are_alike = cost.max(rest) < cost.min(rest) * ALIKE;
        if are_idle && are_alike { by_weight(random) } else { cost <= rest }
    };
    if is_one { one } else { other }
}

fn take(endpoint: &Arc<Endpoint>, now: Instant) -> Option<Picked> {
    let pass = endpoint.accrual.acquire(now).ok()?;
    Some(Picked { endpoint: Arc::clone(endpoint), pass, in_flight: endpoint.load.begin(now) })
}

#[cfg(test)]
mod tests;
