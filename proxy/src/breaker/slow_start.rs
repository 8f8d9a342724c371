//! The share of requests that an endpoint gets after its breaker closed.

use std::time::{Duration, Instant};

/// Where slow start begins, in percent of the full share.
pub const FLOOR_PERCENT: u32 = 10;

/// Percent of its full share that an endpoint gets at `now`: [`FLOOR_PERCENT`] when it closes, growing evenly to 100
/// over `length`. Before `closed_at`, the floor: so a refused trip, which has its `closed_at` in the future, costs
/// the endpoint most of its share.
pub fn share_percent(closed_at: Instant, now: Instant, length: Duration) -> u32 {
    let Some(elapsed) = now.checked_duration_since(closed_at) else { return FLOOR_PERCENT };
    if elapsed >= length {
        return 100;
    }
    // `elapsed < length`, so the quotient is below the range it is multiplied by, and `length` is not 0.
    let grown = u128::from(100 - FLOOR_PERCENT) * elapsed.as_nanos() / length.as_nanos();
    FLOOR_PERCENT + grown as u32
}

#[cfg(test)]
mod tests;
