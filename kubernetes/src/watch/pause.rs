//! How long to wait before asking again.

use std::time::Duration;

/// The first pause is at most this,
const FIRST: Duration = Duration::from_millis(500);
/// each later one twice as long, up to this.
const LONGEST: Duration = Duration::from_secs(8);

/// Pauses that grow, with full jitter: an API server that comes back is not asked by all at once.
#[derive(Default)]
pub(super) struct Pause {
    failures: u32,
}

impl Pause {
    /// Whether nothing has failed since the last success.
    pub(super) fn is_first(&self) -> bool {
        self.failures == 0
    }

    /// How long to wait after one more failure. `random` is from 0 to 1.
    pub(super) fn next(&mut self, random: f64) -> Duration {
        let bound = FIRST.saturating_mul(2_u32.saturating_pow(self.failures)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        bound.mul_f64(random)
    }

    /// It succeeded.
    pub(super) fn end(&mut self, path: &str) {
        if self.failures > 0 {
            tracing::info!(path, "watching again");
            self.failures = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_bound_and_begin_anew_after_a_success() {
        let mut pause = Pause::default();
        let bounds: Vec<u128> = (0..7).map(|_| pause.next(1.0).as_millis()).collect();
        assert_eq!(bounds, [500, 1000, 2000, 4000, 8000, 8000, 8000]);
        assert_eq!(pause.next(0.25), LONGEST / 4);
        pause.end("/");
        assert!(pause.is_first());
        assert_eq!(pause.next(1.0), FIRST);
    }
}
