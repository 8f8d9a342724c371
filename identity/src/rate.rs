//! How often a workload may ask for a certificate.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

/// Certificates that one workload may ask for within [`WINDOW`]. An honest one asks twice a day; one that
/// crashes and restarts in a loop, with Kubernetes' growing pauses, a few times.
pub const REQUESTS_MAX: usize = 10;
/// How far back requests count.
pub const WINDOW: Duration = Duration::from_mins(1);

/// Remembers who asked when, for at most as many workloads as it was made for.
#[derive(Debug)]
pub struct RequestLimit {
    workloads_max: usize,
    /// Moments of the requests that were let through, the oldest first; at most [`REQUESTS_MAX`] each.
    taken: HashMap<String, VecDeque<Instant>>,
    swept: Option<Instant>,
}

/// The workload must wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many certificate requests; the next one is read in {} s", .retry_after.as_secs().saturating_add(1))]
pub struct TooManyRequests {
    /// How long.
    pub retry_after: Duration,
}

impl RequestLimit {
    /// How often the memory is searched for workloads that have been silent, when it is full.
    const SWEEP_EVERY: Duration = Duration::from_secs(1);

    /// Remembers up to `workloads_max` workloads that asked within the last [`WINDOW`]; beyond them a new one
    /// waits.
    pub fn new(workloads_max: usize) -> Self {
        Self { workloads_max, taken: HashMap::new(), swept: None }
    }

    /// Counts a request of `workload` at `now`, unless it is one too many. One that is refused does not
    /// count.
    pub fn take(&mut self, workload: &str, now: Instant) -> Result<(), TooManyRequests> {
        if let Some(taken) = self.taken.get_mut(workload) {
            while taken.front().is_some_and(|&first| is_over(first, now)) {
                taken.pop_front();
            }
            if let (Some(&first), true) = (taken.front(), taken.len() >= REQUESTS_MAX) {
                return Err(TooManyRequests {
                    retry_after: WINDOW.saturating_sub(now.saturating_duration_since(first)),
                });
            }
            taken.push_back(now);
            return Ok(());
        }
        if self.taken.len() >= self.workloads_max {
            self.sweep(now)?;
        }
        self.taken.insert(workload.to_owned(), VecDeque::from([now]));
        Ok(())
    }

    /// Makes room, or says when it tries again.
    fn sweep(&mut self, now: Instant) -> Result<(), TooManyRequests> {
        let since = self.swept.map(|at| now.saturating_duration_since(at));
        if let Some(wait) =
            since.and_then(|since| Self::SWEEP_EVERY.checked_sub(since)).filter(|w| !w.is_zero())
        {
            return Err(TooManyRequests { retry_after: wait });
        }
        self.swept = Some(now);
        self.taken.retain(|_, taken| taken.back().is_some_and(|&last| !is_over(last, now)));
        if self.taken.len() < self.workloads_max {
            Ok(())
        } else {
            Err(TooManyRequests { retry_after: Self::SWEEP_EVERY })
        }
    }
}

fn is_over(moment: Instant, now: Instant) -> bool {
    now.saturating_duration_since(moment) >= WINDOW
}

#[cfg(test)]
mod tests;
