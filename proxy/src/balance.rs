//! Which endpoint takes a try: by the algorithm that a backend's policy names, of those in the own zone as far as these
//! can take it.
//!
//! Whatever the algorithm, an endpoint that is ejected is passed over. One whose last try failed is under suspicion, and
//! load says nothing about it: one that fails fast would seem idle and get more, one that is silent busy and get nothing,
//! and its breaker would have nothing to go by. So until it answers well or is ejected, it gets the share of its weight,
//! and at any time at most as many tries wait for its answer as failures are left until it is ejected. Then not one try
//! more fails than the breaker needs.

// One of some endpoints,
mod group;
// by an algorithm that has been made ready for them:
mod choice;
mod pair;
mod turns;
mod weighted;
mod ring;
mod maglev;
// What they choose from.
mod endpoint;
mod load;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rand::Rng;

pub use choice::{Algorithm, Choices};
pub use endpoint::{Endpoint, Fresh, Picked};
pub use load::{InFlight, Load};
pub use maglev::{PLACES, PLACES_MAX, is_prime};
pub use ring::Size;

use group::Group;

/// A new endpoint has its full share after this time, if nobody says otherwise.
pub const SLOW_START: Duration = Duration::from_secs(10);
/// Turns a hash into another one that has nothing to do with it: 2^64 over the golden ratio.
const MIX: u64 = 0x9E37_79B9_7F4A_7C15;

/// How the requests to a backend are shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Balancing {
    /// How an endpoint is chosen.
    pub algorithm: Algorithm,
    /// How long it takes a new one to its full share.
    pub slow_start: Duration,
    /// Whether those of the own zone come first.
    pub zones: Option<Zones>,
}

/// Endpoints of the own zone come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Zones {
    /// They take everything while so many percent of them take requests; of less, as much less. From 1 to 100.
    pub min_healthy_percent: u32,
}

/// The endpoints of a backend that take requests.
#[derive(Debug)]
pub struct Endpoints {
    /// Those of the own zone; all of them, if that makes no difference.
    near: Group,
    others: Option<Others>,
}

/// Endpoints of other zones than the own one.
#[derive(Debug)]
struct Others {
    group: Group,
    zones: Zones,
    /// Of the own zone, how many there are, ready or not.
    near: usize,
}

/// Endpoints that take requests, by where they are.
#[derive(Debug, Default)]
pub struct Located {
    /// Those of the own zone.
    pub near: Vec<Arc<Endpoint>>,
    /// How many more there are, which are not ready.
    pub near_unready: usize,
    /// Those of other zones.
    pub others: Vec<Arc<Endpoint>>,
}

impl Default for Balancing {
    fn default() -> Self {
        Self { algorithm: Algorithm::default(), slow_start: SLOW_START, zones: None }
    }
}

impl Endpoints {
    /// Those that take requests, with what has been made for those before them.
    pub fn new(Located { near, near_unready, others }: Located, by: &Balancing, made: &mut Choices) -> Self {
        let zones = by.zones.filter(|_| !near.is_empty() && !others.is_empty());
        let member = |endpoint: &Arc<Endpoint>| (endpoint.peer.address, endpoint.weight);
        let members = |endpoints: &[_]| endpoints.iter().map(member).collect::<Vec<_>>();
        let Some(zones) = zones else {
            let all: Vec<_> = near.into_iter().chain(others).collect();
            let [choice] = made.make(by.algorithm, [members(&all)]);
            return Self { near: Group::new(all, choice), others: None };
        };
        let [choice, of_others] = made.make(by.algorithm, [members(&near), members(&others)]);
        let others = Others { group: Group::new(others, of_others), zones, near: near.len() + near_unready };
        Self { near: Group::new(near, choice), others: Some(others) }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        let others = self.others.iter().flat_map(|others| others.group.as_slice());
        self.near.as_slice().iter().chain(others)
    }

    /// An endpoint for a try, other than `avoided` if there is any other. `None` = nobody takes it. The `hash` is that of
    /// the request, where the algorithm goes by one; without, it goes to any.
    pub fn pick(
        &self,
        now: Instant,
        random: &mut impl Rng,
        hash: Option<u64>,
        avoided: &[Arc<Endpoint>],
    ) -> Option<Picked> {
        let is_avoided = |endpoint: &Arc<Endpoint>| avoided.iter().any(|other| Arc::ptr_eq(other, endpoint));
        let (first, second) = match &self.others {
            None => (&self.near, None),
            Some(others) if self.stays_near(others, now, random, hash) => (&self.near, Some(&others.group)),
            Some(others) => (&others.group, Some(&self.near)),
        };
        let unless_avoided =
            |group: &Group, random: &mut _| group.draw(now, random, hash, |endpoint| !is_avoided(endpoint));
        unless_avoided(first, random)
            .or_else(|| second.and_then(|second| unless_avoided(second, random)))
            .or_else(|| if avoided.is_empty() { None } else { first.draw(now, random, hash, |_| true) })
            .or_else(|| {
                let second = second.filter(|_| !avoided.is_empty())?;
                second.draw(now, random, hash, |_| true)
            })
    }

    /// Whether there is an endpoint, beside those that are avoided, that takes requests.
    pub fn has_other(&self, now: Instant, avoided: &[Arc<Endpoint>]) -> bool {
        let is_avoided = |endpoint: &Arc<Endpoint>| avoided.iter().any(|other| Arc::ptr_eq(other, endpoint));
        self.iter().any(|endpoint| !is_avoided(endpoint) && endpoint.is_available(now))
    }

    /// Whether a request is among those that the own zone can take. By a hash, the same ones always are.
    fn stays_near(&self, others: &Others, now: Instant, random: &mut impl Rng, hash: Option<u64>) -> bool {
        let taking = self.near.as_slice().iter().filter(|endpoint| endpoint.is_available(now)).count();
        let share = near_share(taking, others.near, others.zones);
        if share >= 1.0 {
            return true;
        }
        let bits = hash.map_or_else(|| random.random(), |hash| hash.wrapping_mul(MIX));
        // 53 bits are a number from [0, 1).
        ((bits >> 11) as f64) / ((1_u64 << 53) as f64) < share
    }
}

#[cfg(test)]
impl From<Vec<Arc<Endpoint>>> for Endpoints {
    fn from(near: Vec<Arc<Endpoint>>) -> Self {
        Self::new(Located { near, ..Located::default() }, &Balancing::default(), &mut Choices::default())
    }
}

/// The share of the requests that stay in a zone where of `all` endpoints so many are `taking` requests.
fn near_share(taking: usize, all: usize, zones: Zones) -> f64 {
    let needed = all as f64 * f64::from(zones.min_healthy_percent) / 100.0;
    if needed > 0.0 { (taking as f64 / needed).min(1.0) } else { 0.0 }
}

#[cfg(test)]
mod tests;
