//! What the application calls: destinations that are asked for when it first connects there, and given up when it has not
//! for a while.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use dashmap::{DashMap, Entry};
use tokio::sync::Notify;

/// What has not been asked for in so long, and has no connection, is given up (docs/xds.md).
const IDLE: Duration = Duration::from_mins(10);
/// How often that is looked for.
pub const SWEEP: Duration = Duration::from_secs(30);
/// Destinations at once. Beyond them whichever was not asked for the longest makes place.
const DESTINATIONS_MAX: usize = 4096;

/// The destinations that are wanted, by name of their listener. Any number of workers ask; the session of the
/// configuration stream follows.
#[derive(Debug, Default)]
pub struct Demands {
    wanted: DashMap<Arc<str>, Wanted>,
    changed: Notify,
}

#[derive(Debug)]
struct Wanted {
    /// Since when an answer may be expected.
    since: Instant,
    /// When it was last asked for, as far as is known.
    asked: Instant,
}

/// A destination that is wanted for as long as this name is held: its count of owners says so.
#[derive(Clone, Debug)]
pub struct Demand {
    /// The name of the listener.
    pub name: Arc<str>,
    /// Since when an answer may be expected.
    pub since: Instant,
}

impl Demands {
    /// Wants `name` from now on. `None` = as many others as there may be are in use.
    pub fn ask(&self, name: &str, now: Instant) -> Option<Demand> {
        if let Some(mut wanted) = self.wanted.get_mut(name) {
            wanted.asked = now;
            return Some(Demand { name: Arc::clone(wanted.key()), since: wanted.since });
        }
        if self.wanted.len() >= DESTINATIONS_MAX && !self.make_place() {
            return None;
        }
        let entry = self.wanted.entry(name.into());
        let is_new = matches!(entry, Entry::Vacant(_));
        let wanted = entry.or_insert(Wanted { since: now, asked: now });
        let demand = Demand { name: Arc::clone(wanted.key()), since: wanted.since };
        drop(wanted);
        if is_new {
            self.changed.notify_one();
        }
        Some(demand)
    }

    /// Gives up what nobody holds and was not asked for lately.
    pub fn sweep(&self, now: Instant) {
        self.wanted.retain(|name, wanted| {
            if Arc::strong_count(name) > 1 {
                wanted.asked = now;
            }
            now.saturating_duration_since(wanted.asked) < IDLE
        });
    }

    /// All that are wanted.
    pub fn names(&self) -> Vec<String> {
        self.wanted.iter().map(|wanted| wanted.key().to_string()).collect()
    }

    /// Waits until something new is wanted, also if that was before the call. For one waiter.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Gives up the one that nobody holds and that was not asked for the longest.
    fn make_place(&self) -> bool {
        let unheld = self.wanted.iter().filter(|wanted| Arc::strong_count(wanted.key()) == 1);
        // The name is copied, since a second owner would make it look held.
        let oldest = unheld.min_by_key(|wanted| wanted.asked).map(|wanted| wanted.key().to_string());
        oldest.is_some_and(|name| self.wanted.remove(name.as_str()).is_some())
    }
}

#[cfg(test)]
mod tests;
