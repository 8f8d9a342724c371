//! Endpoints of which one is chosen: all of a backend, or those of the own zone, or all others.

use std::{sync::Arc, time::Instant};

use rand::Rng;

use super::{
    choice::Choice,
    endpoint::{Endpoint, Picked},
    pair::{self, Cost},
    weighted,
};

/// Draws at random before all endpoints are looked at.
const DRAWS: usize = 3;
/// Points of a ring, or places of a table, that are looked at before all endpoints are: at half of them ejected, as many
/// are so in a row once in 10^19 requests.
const STEPS: usize = 64;

/// Some endpoints, and how one of them is chosen.
#[derive(Debug)]
pub struct Group {
    endpoints: Vec<Arc<Endpoint>>,
    choice: Choice,
}

impl Group {
    /// Of these endpoints, for which the choice was made.
    pub fn new(endpoints: Vec<Arc<Endpoint>>, choice: Choice) -> Self {
        Self { endpoints, choice }
    }

    /// All of them.
    pub fn as_slice(&self) -> &[Arc<Endpoint>] {
        &self.endpoints
    }

    /// One of those that are `wanted`, for a try. `hash` is that of the request; `None` = any.
    pub fn draw(
        &self,
        now: Instant,
        random: &mut impl Rng,
        hash: Option<u64>,
        wanted: impl Fn(&Arc<Endpoint>) -> bool,
    ) -> Option<Picked> {
        let all = self.endpoints.as_slice();
        let usable = |endpoint: &Arc<Endpoint>| endpoint.is_available(now) && wanted(endpoint);
        match &self.choice {
            Choice::LatencyAware => pair::draw(all, Cost::Latency, now, random, usable),
            Choice::LeastRequest => pair::draw(all, Cost::Requests, now, random, usable),
            Choice::RoundRobin(turns) => {
                // In two rounds somebody takes a turn, if it can. Whoever cannot lets it pass, so that the next one gets
                // no more than its own.
                let mut takes = 0..2 * all.len();
                let turn = takes.find_map(|_| self.try_at(turns.take()?, now, random, usable));
                turn.or_else(|| weighted::by_share(all, now, random, usable))
            }
            Choice::Random(weighted) => {
                let mut draws = 0..DRAWS;
                let drawn = draws.find_map(|_| self.try_at(weighted.draw(random)?, now, random, usable));
                drawn.or_else(|| weighted::by_share(all, now, random, usable))
            }
            Choice::RingHash(ring) => {
                self.follow(ring.walk(hash.unwrap_or_else(|| random.random())), now, usable)
            }
            Choice::Maglev(table) => {
                self.follow(table.walk(hash.unwrap_or_else(|| random.random())), now, usable)
            }
        }
    }

    /// The endpoint whose turn it is, if it takes the try; one that has not its full share yet takes only some.
    fn try_at(
        &self,
        index: usize,
        now: Instant,
        random: &mut impl Rng,
        usable: impl Fn(&Arc<Endpoint>) -> bool,
    ) -> Option<Picked> {
        let endpoint =
            self.endpoints.get(index).filter(|endpoint| usable(endpoint) && endpoint.has_room())?;
        let share = endpoint.share_percent(now);
        let is_drawn = share >= 100 || random.random_range(0..100) < share;
        if is_drawn { endpoint.take(now) } else { None }
    }

    /// The first on a walk that takes the try: where a request's own endpoint does not, the same other one does each time.
    fn follow(
        &self,
        mut walk: impl Iterator<Item = usize>,
        now: Instant,
        usable: impl Fn(&Arc<Endpoint>) -> bool,
    ) -> Option<Picked> {
        let own = walk.next()?;
        let steps = std::iter::once(own).chain(walk.take(STEPS));
        let mut met = steps.filter_map(|index| self.endpoints.get(index));
        let met =
            met.find_map(
                |endpoint| {
                    if usable(endpoint) && endpoint.has_room() { endpoint.take(now) } else { None }
                },
            );
        met.or_else(|| {
            // Few are left: those with room first, in the order that begins at the request's own.
            let (before, after) = self.endpoints.split_at(own.min(self.endpoints.len()));
            let left = || after.iter().chain(before).filter(|endpoint| usable(endpoint));
            let with_room = left().filter(|endpoint| endpoint.has_room());
            with_room.chain(left()).find_map(|endpoint| endpoint.take(now))
        })
    }
}
