//! What must come out, computed: from the share of tries that fail, and the policies.

use std::time::Duration;

/// Standard errors that a measured share may be off. Were the share binomial and nothing wrong, more than four would
/// happen once in 15,000 runs.
pub const STANDARD_ERRORS: f64 = 4.0;

/// Share of the requests that fail when each try fails with probability `p` and `retries` may follow the first.
pub fn failing(p: f64, retries: u32) -> f64 {
    p.powi(retries.cast_signed() + 1)
}

/// Tries for each request: the mean of 1 + p + p^2 + …, one term for each try that may be needed.
pub fn tries(p: f64, retries: u32) -> f64 {
    (0..=retries).map(|retry| p.powi(retry.cast_signed())).sum()
}

/// Variance of the tries for one request: the mean of the squares, less the square of the mean.
fn tries_variance(p: f64, retries: u32) -> f64 {
    // Exactly k tries: k - 1 failures and a success, or the last try whatever comes of it.
    let squares: f64 = (1..=retries + 1)
        .map(|k| {
            let share = p.powi(k.cast_signed() - 1) * if k > retries { 1.0 } else { 1.0 - p };
            f64::from(k * k) * share
        })
        .sum();
    squares - tries(p, retries).powi(2)
}

/// How far a share that is expected to be `p` may be off when `n` requests were counted.
pub fn share_tolerance(p: f64, n: u64) -> f64 {
    STANDARD_ERRORS * (p * (1.0 - p) / n.max(1) as f64).sqrt()
}

/// How far the mean of the tries may be off when `n` requests were counted.
pub fn tries_tolerance(p: f64, retries: u32, n: u64) -> f64 {
    STANDARD_ERRORS * (tries_variance(p, retries) / n.max(1) as f64).sqrt()
}

/// The longest that a breaker goes by percentage until it trips, once every try fails.
///
/// Its window is full of a time in which each request made `tries_before` tries, of which the share `p` failed. With
/// t seconds of failure in a window of W, the share of failures reaches f when
/// `(W - t) tries_before p + t tries_after = f ((W - t) tries_before + t tries_after)`, so
/// `t = W a / (a + b)` with `a = tries_before (f - p)` and `b = tries_after (1 - f)`. The window moves by buckets, ten of
/// them, so the oldest failures count for one bucket longer.
pub fn time_to_trip(
    window: Duration,
    threshold: f64,
    p: f64,
    tries_before: f64,
    tries_after: f64,
) -> Duration {
    let a = tries_before * (threshold - p);
    let b = tries_after * (1.0 - threshold);
    window.mul_f64(a / (a + b)) + window / 10
}

/// The longest that a breaker takes to close once the service is well: it is open at most `open` for each probe, the
/// failed ones and the one that succeeds, and a second is allowed for that probe to come by.
pub fn time_to_close(open: Duration, failed_probes: u64) -> Duration {
    open * (1 + failed_probes as u32) + Duration::from_secs(1)
}

/// The most probes that fit into `time` when the breaker is open at least `open` before each.
pub fn most_probes(time: Duration, open: Duration) -> u64 {
    (time.as_secs_f64() / open.as_secs_f64()).ceil() as u64 + 1
}

#[cfg(test)]
mod tests;
