//! Of two drawn at random, the one that costs less (power of two choices).
//!
//! The cost of an endpoint is what it has in flight, the new request included, over its weight; where latency counts, times
//! its moving average of latency (peak EWMA). One that answers slowly because it is loaded gets less. Where two have
//! nothing to do and cost about the same, weight decides: else the one that is nearer by a hair would get everything for
//! seconds.

use std::{sync::Arc, time::Instant};

use rand::Rng;

use super::endpoint::{Endpoint, Picked};

/// Costs of idle endpoints are alike if the higher is less than so many times the lower: that is noise, or the way to
/// another node.
const ALIKE: f64 = 2.0;
/// Random pairs before all endpoints are looked at.
const DRAWS: usize = 3;

/// What makes an endpoint dear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cost {
    /// What it has in flight, and how long it takes to answer.
    Latency,
    /// What it has in flight.
    Requests,
}

impl Cost {
    fn of(self, endpoint: &Endpoint, now: Instant) -> f64 {
        let cost = match self {
            Self::Latency => endpoint.load.cost(now),
            Self::Requests => f64::from(endpoint.load.in_flight() + 1),
        };
        cost / endpoint.share(now)
    }
}

/// One of `endpoints` for a try, of those that are `usable`.
pub fn draw(
    endpoints: &[Arc<Endpoint>],
    cost: Cost,
    now: Instant,
    random: &mut impl Rng,
    usable: impl Fn(&Arc<Endpoint>) -> bool,
) -> Option<Picked> {
    let usable = |endpoint: &&Arc<Endpoint>| usable(endpoint);
    for _ in 0..DRAWS {
        let pair = pair(endpoints, random).map(|drawn| drawn.filter(usable).filter(|drawn| drawn.has_room()));
        let better = match pair {
            [Some(one), Some(other)] => Some(better(one, other, cost, now, random)),
            [one, other] => one.or(other),
        };
        if let Some(picked) = better.and_then(|endpoint| endpoint.take(now)) {
            return Some(picked);
        }
    }
    // Most are out: whoever is left, those with room first, in order of cost, until one's breaker admits the call.
    // Noted down, for while they are sorted other workers change them.
    let left = endpoints.iter().filter(usable);
    let mut left: Vec<_> =
        left.map(|endpoint| (!endpoint.has_room(), cost.of(endpoint, now), endpoint)).collect();
    left.sort_by(|(a_full, a, _), (b_full, b, _)| a_full.cmp(b_full).then(a.total_cmp(b)));
    left.into_iter().find_map(|(_, _, endpoint)| endpoint.take(now))
}

/// Two different endpoints, or the one that there is.
fn pair<'a>(endpoints: &'a [Arc<Endpoint>], random: &mut impl Rng) -> [Option<&'a Arc<Endpoint>>; 2] {
    match endpoints {
        [] => [None, None],
        [only] => [Some(only), None],
        all => {
            let first = random.random_range(0..all.len());
            let second = (first + random.random_range(1..all.len())) % all.len();
            [Some(&all[first]), Some(&all[second])]
        }
    }
}

/// The one that costs less; at random, by weight, if both are idle and alike, or either is under suspicion.
fn better<'a>(
    one: &'a Arc<Endpoint>,
    other: &'a Arc<Endpoint>,
    cost: Cost,
    now: Instant,
    random: &mut impl Rng,
) -> &'a Arc<Endpoint> {
    let by_weight = |random: &mut _| {
        let (share, rest) = (one.share(now), other.share(now));
        Rng::random::<f64>(random) * (share + rest) < share
    };
    let is_one = if one.failures_left().or(other.failures_left()).is_some() {
        by_weight(random)
    } else {
        let (a, b) = (cost.of(one, now), cost.of(other, now));
        let are_idle = one.load.in_flight() == 0 && other.load.in_flight() == 0;
        let are_alike = cost == Cost::Requests || a.max(b) < a.min(b) * ALIKE;
        if are_idle && are_alike { by_weight(random) } else { a <= b }
    };
    if is_one { one } else { other }
}
