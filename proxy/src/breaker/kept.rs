//! The breakers of a target's endpoints, kept while endpoints come and go.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};

use super::{
    cap::Cap,
    settings::Settings,
    shared::{Seat, Shared},
    transition::{Transition, Transitions},
};
use crate::sync::{Mutex, MutexGuard};

/// The state of an endpoint that disappeared is kept this long, so that a flap does not pardon.
pub const KEEP: Duration = Duration::from_mins(1);

/// At most so many that disappeared are kept; whoever has been gone longest is forgotten first.
pub const GONE_MAX: usize = 1024;

/// An endpoint as breakers tell it from others: who answers at the same address under another identity starts afresh.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointKey {
    /// Where it is.
    pub address: SocketAddr,
    /// The SPIFFE id that it has to present, if any.
    pub identity: Option<Arc<str>>,
}

/// All breakers of one target's endpoints. Off the request path: a request holds the breaker that it needs.
#[derive(Debug)]
pub struct Kept {
    cap: Arc<Mutex<Cap>>,
    roster: Mutex<Roster>,
}

#[derive(Debug)]
struct Roster {
    settings: Settings,
    seed: u64,
    /// The number of the next endpoint in the cap.
    next: u64,
    entries: BTreeMap<EndpointKey, Entry>,
}

#[derive(Debug)]
struct Entry {
    breaker: Arc<Shared>,
    endpoint: u64,
    gone: Option<Instant>,
}

/// What an update of the endpoints came to.
#[derive(Debug)]
pub struct Reconciled {
    /// The breakers of the endpoints, in the order asked for.
    pub breakers: Vec<Arc<Shared>>,
    /// Endpoints that serve again because too few others are left.
    pub readmitted: Vec<(EndpointKey, Transition)>,
}

impl Kept {
    /// No endpoints. At most `max_ejection_percent` of them may be ejected at once.
    pub fn new(settings: Settings, max_ejection_percent: u32, seed: u64) -> Self {
        Self {
            cap: Arc::new(Mutex::new(Cap::new(max_ejection_percent))),
            roster: Mutex::new(Roster { settings, seed, next: 0, entries: BTreeMap::new() }),
        }
    }

    /// The endpoints are these from now on: known ones with their state, new ones closed.
    pub fn reconcile(&self, now: Instant, endpoints: &[EndpointKey]) -> Reconciled {
        let mut roster = self.lock();
        roster.forget_expired(now);
        let mut readmitted = Vec::new();
        // First who joins, then who leaves: so nobody is readmitted for want of those who are about to join.
        let breakers = endpoints
            .iter()
            .map(|key| {
                let (breaker, transition) = roster.enter(key, now, &self.cap);
                readmitted.extend(transition.map(|transition| (key.clone(), transition)));
                breaker
            })
            .collect();
        let present: BTreeSet<_> = endpoints.iter().collect();
        let mut due = BTreeSet::new();
        for (_, entry) in roster.entries.iter_mut().filter(|(key, _)| !present.contains(key)) {
            if entry.gone.is_none() {
                entry.gone = Some(now);
                due.extend(entry.breaker.leave());
            }
        }
        readmitted.extend(roster.readmit(&due, now));
        roster.bound_gone();
        Reconciled { breakers, readmitted }
    }

    /// Applies another policy; states stay. Returns who serves again because fewer may be ejected.
    pub fn set_settings(
        &self,
        now: Instant,
        settings: Settings,
        max_ejection_percent: u32,
    ) -> Vec<(EndpointKey, Transition)> {
        let mut roster = self.lock();
        roster.settings = settings;
        for entry in roster.entries.values() {
            entry.breaker.set_settings(settings);
        }
        // Released before any breaker is locked: a breaker locks the cap while it is locked itself.
        let due = self.cap.lock().unwrap_or_else(PoisonError::into_inner).set_percent(max_ejection_percent);
        roster.readmit(&due.into_iter().collect(), now)
    }

    fn lock(&self) -> MutexGuard<'_, Roster> {
        // Each step leaves the entries whole, so another thread's panic spoils nothing.
        self.roster.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Roster {
    fn enter(
        &mut self,
        key: &EndpointKey,
        now: Instant,
        cap: &Arc<Mutex<Cap>>,
    ) -> (Arc<Shared>, Option<Transition>) {
        if let Some(entry) = self.entries.get_mut(key) {
            let is_back = entry.gone.take().is_some();
            let transitions = if is_back { entry.breaker.join(now) } else { Transitions::default() };
            return (Arc::clone(&entry.breaker), transitions.into_iter().next());
        }
        let endpoint = self.next;
        self.next += 1;
        let seat = Seat { cap: Arc::clone(cap), endpoint };
        // Seeded generators spread neighbouring seeds; the number keeps endpoints apart, the seed proxies.
        let seed = self.seed.wrapping_add(endpoint);
        let breaker = Shared::new(self.settings, seed, now, Some(seat));
        let transitions = breaker.join(now);
        self.entries.insert(key.clone(), Entry { breaker: Arc::clone(&breaker), endpoint, gone: None });
        (breaker, transitions.into_iter().next())
    }

    fn readmit(&self, due: &BTreeSet<u64>, now: Instant) -> Vec<(EndpointKey, Transition)> {
        self.entries
            .iter()
            .filter(|(_, entry)| due.contains(&entry.endpoint))
            .flat_map(|(key, entry)| {
                entry.breaker.readmit(now).into_iter().map(|transition| (key.clone(), transition))
            })
            .collect()
    }

    fn forget_expired(&mut self, now: Instant) {
        self.entries
            .retain(|_, entry| entry.gone.is_none_or(|gone| now.saturating_duration_since(gone) < KEEP));
    }

    fn bound_gone(&mut self) {
        let mut gone: Vec<_> =
            self.entries.iter().filter_map(|(key, entry)| Some((entry.gone?, key.clone()))).collect();
        let excess = gone.len().saturating_sub(GONE_MAX);
        gone.sort_unstable();
        for (_, key) in &gone[..excess] {
            self.entries.remove(key);
        }
    }
}

#[cfg(test)]
mod tests;
