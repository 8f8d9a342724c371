//! Both halves of the protocol against each other, over thousands of random histories.
//!
//! A history is made by its seed alone. In half of them the stream is what gRPC promises: ordered, and lossy only in
//! that it may break. In the other half messages are also lost, repeated and reordered; what such a stream loses without
//! anyone waiting for it is settled by the next stream, so those histories end with a new one.
// A test fails by panicking.
#![allow(clippy::unwrap_used)]

mod shop;
mod world;

use world::{Network, Seen, World};

/// Histories of each network.
const HISTORIES: u64 = 6_000;
/// Random events before faults end and the two must come to agree.
const EVENTS: u32 = 200;

/// Names the seed of a history that failed.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed in the history of seed {}", self.0);
        }
    }
}

fn play(network: Network) {
    let mut seen = Seen::default();
    for seed in 0..HISTORIES {
        let seed = Seed(seed);
        let mut world = World::new(seed.0, network);
        for _ in 0..EVENTS {
            world.step();
        }
        world.settle();
        world.assert_agreement();
        seen += world.seen;
    }
    // Histories in which nothing happens prove nothing.
    let least = HISTORIES as u32;
    assert!(seen.changed > 10 * least && seen.removed > least && seen.refused > least, "{seen:?}");
    assert!(seen.certificates > least && seen.clocks_set_back > least, "{seen:?}");
}

#[test]
fn subscriber_ends_with_what_is_published_over_ordered_streams_that_break() {
    play(Network::Ordered);
}

#[test]
fn subscriber_ends_with_what_is_published_over_streams_that_lose_repeat_and_reorder() {
    play(Network::Hostile);
}
