//! Prints what a request pays for policy: `cargo run --profile dist -p weft-bench --bin policy-cost`.

use std::time::Instant;

use weft_bench::{
    measure::{Cost, measure},
    policy::Policy,
};

/// Requests of one round: a millisecond or a few, so that most rounds pass without an interruption.
const REQUESTS: u32 = 10_000;

/// A stage or all of them, done once for a request with a number.
type Stage = fn(&Policy, u64);

fn main() {
    let stages: [(&str, Stage); 4] = [
        ("all", Policy::request),
        ("limits", Policy::limits),
        ("one breaker", Policy::breaker),
        ("retry budget", Policy::budget),
    ];
    println!("{:14}{:>8}{:>12}{:>10}", "per request", "threads", "median ns", "best ns");
    for threads in [1, 2] {
        for (name, stage) in stages {
            let policy = Policy::new(Instant::now());
            let Cost { median_ns, best_ns } = measure(threads, REQUESTS, |number| stage(&policy, number));
            println!("{name:14}{threads:>8}{median_ns:>12.0}{best_ns:>10.0}");
        }
    }
}
