//! The pause before a retry: full jitter, so that callers that failed together do not come back together.

use std::time::Duration;

use weft_api::retry::Backoff;

/// Pause before the retry with number `retry`, which counts from 0: `random`, uniform over all of `u64`, is mapped
/// evenly to the times from 0 up to `min(base * 2^retry, max)`. `None` if the pause would not end before `left` is over:
/// then the retry is in vain.
pub fn pause(backoff: &Backoff, retry: u32, random: u64, left: Option<Duration>) -> Option<Duration> {
    let factor = 1_u32.checked_shl(retry).unwrap_or(u32::MAX);
    let most = backoff.base.get().saturating_mul(factor).min(backoff.max.get());
    let most_ns = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX);
    // The upper half of the product: `most_ns * random / 2^64`, below `most_ns`.
    let pause_ns = (u128::from(most_ns) * u128::from(random)) >> 64;
    let pause = Duration::from_nanos(pause_ns as u64);
    left.is_none_or(|left| pause < left).then_some(pause)
}

#[cfg(test)]
mod tests;
