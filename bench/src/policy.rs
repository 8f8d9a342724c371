//! What one request passes while all is well: limits, the breakers of target and endpoint, the retry budget. All is
//! closed, below its limit, and the call succeeds.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use weft_api::{
    circuit_breaker::{Breaker, Limits as LimitsPolicy},
    retry::Budget as BudgetPolicy,
};
use weft_proxy::{
    breaker::{
        Limits, Outcome, Scope, Settings, Shared,
        kept::{EndpointKey, Kept},
    },
    budget::Budget,
};

/// Between two requests: 100,000 a second, so that windows move on as they do under load.
const APART: Duration = Duration::from_micros(10);

/// Between a request and its response.
const LATENCY: Duration = Duration::from_millis(1);

/// The policies of one destination at their defaults, and one endpoint.
#[derive(Debug)]
pub struct Policy {
    base: Instant,
    limits: Limits,
    target: Arc<Shared>,
    endpoint: Arc<Shared>,
    budget: Budget,
}

impl Policy {
    /// Nothing has happened yet.
    pub fn new(base: Instant) -> Self {
        let settings = |scope| Settings::new(&Breaker::default(), scope);
        let keys = ["127.0.0.1:1", "127.0.0.1:2"].map(|address| EndpointKey {
            address: address.parse().expect("it is an address"),
            identity: None,
        });
        let breakers = Kept::new(settings(Scope::Endpoint), 50, 1).reconcile(base, &keys).breakers;
        Self {
            base,
            limits: Limits::new(&LimitsPolicy::default()),
            target: Shared::new(settings(Scope::Target), 1, base, None),
            endpoint: Arc::clone(&breakers[0]),
            budget: Budget::new(BudgetPolicy::default(), base),
        }
    }

    /// All stages in the order of the request path. The clock is not read: times follow from the request's `number`.
    ///
    /// # Panics
    /// If a stage refuses: then this would be another measurement.
    pub fn request(&self, number: u64) {
        let (start, end) = self.times(number);
        self.budget.count_original(start);
        let (target, opened) = self.target.acquire(start);
        assert!(opened.is_empty());
        let permit = self.limits.requests.try_acquire().expect("few requests are under way");
        let (endpoint, opened) = self.endpoint.acquire(start);
        assert!(opened.is_empty());
        let endpoint = endpoint.expect("no call has failed").report(end, Outcome::Success);
        let target = target.expect("no call has failed").report(end, Outcome::Success);
        assert!(endpoint.is_empty() && target.is_empty());
        drop(permit);
    }

    /// The limits alone.
    pub fn limits(&self, _number: u64) {
        drop(self.limits.requests.try_acquire().expect("few requests are under way"));
    }

    /// One breaker alone.
    pub fn breaker(&self, number: u64) {
        let (start, end) = self.times(number);
        let (pass, _) = self.endpoint.acquire(start);
        let _ = pass.expect("no call has failed").report(end, Outcome::Success);
    }

    /// The retry budget alone.
    pub fn budget(&self, number: u64) {
        self.budget.count_original(self.times(number).0);
    }

    /// What each of these, but the limits, does for the benchmark's sake: the times of a request.
    pub fn nothing(&self, number: u64) {
        std::hint::black_box(self.times(number));
    }

    /// Successes that target and endpoint have counted.
    pub fn successes(&self) -> [u64; 2] {
        [&self.target, &self.endpoint].map(|breaker| breaker.view().tally.ok)
    }

    fn times(&self, number: u64) -> (Instant, Instant) {
        let start = self.base + Duration::from_nanos(APART.as_nanos() as u64 * number);
        (start, start + LATENCY)
    }
}
