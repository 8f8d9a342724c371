//! Whether a failed try is followed by another one.

// How many retries there may be in relation to requests.
pub mod budget;
// The pause before one.
pub mod backoff;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use http::Method;
use rand::Rng;
use weft_api::{
    circuit_breaker::StatusRange,
    retry::{Backoff, Retry},
};

use crate::breaker::classify::Retryable;
use budget::Budget;

/// The retry policy of a route, ready for use.
#[derive(Clone, Debug)]
pub struct Rule {
    listed: Vec<StatusRange>,
    retries_max: u32,
    backoff: Backoff,
    /// Each try must have response headers within this time.
    pub per_try_timeout: Option<Duration>,
    /// So much of a request body is kept for another try.
    pub body_bytes_max: usize,
    /// Shared by all that goes to the destination.
    pub budget: Arc<Budget>,
}

/// What to do after a try has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Try again after this pause.
    After(Duration),
    /// It was worth a retry, but the budget is spent.
    OverBudget,
    /// Leave it.
    GiveUp,
}

impl Rule {
    /// From the policy, with the budget of its destination.
    pub fn new(policy: &Retry, budget: Arc<Budget>) -> Self {
        Self {
            listed: policy.http.clone(),
            retries_max: policy.attempts,
            backoff: policy.backoff,
            per_try_timeout: policy.per_try_timeout.map(weft_api::Duration::get),
            body_bytes_max: policy.max_body_bytes as usize,
            budget,
        }
    }

    /// Decides after the try with number `tries` (the first is 1) of a request with `method`, which has `left` to its
    /// deadline. A granted retry is taken out of the budget.
    pub fn decide(
        &self,
        retryable: Retryable,
        method: &Method,
        tries: u32,
        left: Option<Duration>,
        now: Instant,
        random: &mut impl Rng,
    ) -> Decision {
        if tries > self.retries_max || !retryable.permits(method.is_idempotent(), &self.listed) {
            return Decision::GiveUp;
        }
        let Some(pause) = backoff::pause(&self.backoff, tries - 1, random.random(), left) else {
            return Decision::GiveUp;
        };
        if self.budget.try_retry(now) { Decision::After(pause) } else { Decision::OverBudget }
    }
}

#[cfg(test)]
mod tests;
