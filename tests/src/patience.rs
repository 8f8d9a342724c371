//! Waiting for what can be observed, and saying what did not come.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

/// How long anything may take before a test gives up on it: far beyond what a busy machine needs.
pub const PATIENCE: Duration = Duration::from_secs(40);
/// Pause between two looks.
const INTERVAL: Duration = Duration::from_millis(10);

/// Looks again and again until `look` finds something. Panics after [`PATIENCE`], naming `what` did not happen.
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < end, "in {} s it did not happen that {what}", PATIENCE.as_secs());
        sleep(INTERVAL).await;
    }
}

/// Waits for `future`. Panics after [`PATIENCE`], naming `what` did not happen.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let ended = timeout(PATIENCE, future).await;
    ended.unwrap_or_else(|_| panic!("in {} s it did not happen that {what}", PATIENCE.as_secs()))
}
