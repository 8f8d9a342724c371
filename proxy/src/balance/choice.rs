//! An algorithm made ready for certain endpoints, once for all snapshots in which they stay the same.

use std::{net::SocketAddr, sync::Arc};

use super::{
    maglev::Maglev,
    ring::{Ring, Size},
    turns::Turns,
    weighted::Weighted,
};

/// How an endpoint is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Algorithm {
    /// Of two at random, the one that will answer sooner.
    #[default]
    LatencyAware,
    /// Of two at random, the one with less in flight.
    LeastRequest,
    /// One after the other.
    RoundRobin,
    /// Any.
    Random,
    /// By a hash, on a ring of this size.
    RingHash(Size),
    /// By a hash, in a table of so many places.
    Maglev(u64),
}

/// The same with what it needs to know of its endpoints, by their index.
#[derive(Clone, Debug)]
pub enum Choice {
    LatencyAware,
    LeastRequest,
    RoundRobin(Arc<Turns>),
    Random(Arc<Weighted>),
    RingHash(Arc<Ring>),
    Maglev(Arc<Maglev>),
}

/// What has been made so far for the endpoints of one backend.
#[derive(Debug, Default)]
pub struct Choices(Vec<Made>);

#[derive(Clone, Debug)]
struct Made {
    algorithm: Algorithm,
    /// Address and weight of each.
    endpoints: Vec<(SocketAddr, u32)>,
    choice: Choice,
}

impl Choices {
    /// Those for these groups of endpoints. What none of them uses any more is forgotten.
    pub fn make<const GROUPS: usize>(
        &mut self,
        algorithm: Algorithm,
        groups: [Vec<(SocketAddr, u32)>; GROUPS],
    ) -> [Choice; GROUPS] {
        let made = groups.map(|endpoints| self.find(algorithm, endpoints));
        self.0 = made.to_vec();
        made.map(|made| made.choice)
    }

    fn find(&self, algorithm: Algorithm, endpoints: Vec<(SocketAddr, u32)>) -> Made {
        let is_same = |made: &&Made| made.algorithm == algorithm && made.endpoints == endpoints;
        if let Some(made) = self.0.iter().find(is_same) {
            return made.clone();
        }
        let weights = || endpoints.iter().map(|(_, weight)| *weight).collect::<Vec<_>>();
        let choice = match algorithm {
            Algorithm::LatencyAware => Choice::LatencyAware,
            Algorithm::LeastRequest => Choice::LeastRequest,
            Algorithm::RoundRobin => Choice::RoundRobin(Arc::new(Turns::new(&weights(), self.turn()))),
            Algorithm::Random => Choice::Random(Arc::new(Weighted::new(&weights()))),
            Algorithm::RingHash(size) => Choice::RingHash(Arc::new(Ring::new(&endpoints, size))),
            Algorithm::Maglev(places) => Choice::Maglev(Arc::new(Maglev::new(&endpoints, places))),
        };
        Made { algorithm, endpoints, choice }
    }

    /// Where turns go on: with every change at the beginning again, the first endpoint would have more than the last one.
    fn turn(&self) -> u64 {
        let turns = self.0.iter().filter_map(|made| match &made.choice {
            Choice::RoundRobin(turns) => Some(turns.number()),
            _ => None,
        });
        turns.max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
