//! Rounds of a measurement, and what they come to: the median says what is usual, the best what the machine can do when
//! nothing else runs on it.

use std::{sync::Barrier, thread, time::Instant};

/// Rounds of one measurement: odd, so that there is a median among them.
pub const ROUNDS: usize = 301;

/// What a request costs, in the unit of the rounds that it comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cost {
    /// In the middle of all rounds.
    pub median: f64,
    /// In the best round.
    pub best: f64,
}

impl Cost {
    /// From the cost in each round; `None` without rounds.
    pub fn of(mut rounds: Vec<f64>) -> Option<Self> {
        rounds.sort_unstable_by(f64::total_cmp);
        Some(Self { median: *rounds.get(rounds.len() / 2)?, best: *rounds.first()? })
    }
}

/// Lets `threads` do `request` at once, `requests` times each, in [`ROUNDS`] rounds. The first round warms up and is not
/// counted. `request` is told its number, which goes on over all rounds. The cost is in nanoseconds.
///
/// A round lasts until its slowest thread is done, and that thread's time is the round's.
pub fn measure(threads: usize, requests: u32, request: impl Fn(u64) + Sync) -> Cost {
    let rounds = (0..=ROUNDS as u64).map(|round| {
        let first = round * u64::from(requests);
        round_ns(threads, first..first + u64::from(requests), &request) / f64::from(requests)
    });
    Cost::of(rounds.skip(1).collect()).expect("there is at least one round")
}

fn round_ns(threads: usize, requests: std::ops::Range<u64>, request: &(impl Fn(u64) + Sync)) -> f64 {
    let start = &Barrier::new(threads);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                let requests = requests.clone();
                scope.spawn(move || {
                    start.wait();
                    let started = Instant::now();
                    requests.for_each(request);
                    started.elapsed().as_nanos() as f64
                })
            })
            .collect();
        workers
            .into_iter()
            .map(|worker| worker.join().expect("a request of a benchmark does not panic"))
            .fold(0.0, f64::max)
    })
}

#[cfg(test)]
mod tests;
