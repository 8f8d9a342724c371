//! Prints what a request pays for policy: `cargo run --release -p weft-bench --bin policy-cost`.
//!
//! `policy-cost STAGE REQUESTS` does one stage so many times and prints nothing: for `bench/policy-instructions`.

use std::{process::ExitCode, time::Instant};

use weft_bench::{
    measure::{Cost, measure},
    policy::Policy,
};

/// Requests of one round: a millisecond or a few, so that most rounds pass without an interruption.
const REQUESTS: u32 = 10_000;

/// A stage or all of them, done once for a request with a number.
type Stage = fn(&Policy, u64);

const STAGES: [(&str, Stage); 5] = [
    ("all", Policy::request),
    ("limits", Policy::limits),
    ("one breaker", Policy::breaker),
    ("retry budget", Policy::budget),
    ("loop alone", Policy::nothing),
];

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let done = match arguments.as_slice() {
        [] => {
            time_all();
            true
        }
        [stage, requests] => repeat(stage, requests).is_some(),
        _ => false,
    };
    if done {
        return ExitCode::SUCCESS;
    }
    eprintln!("usage: policy-cost [STAGE REQUESTS]; stages: {}", STAGES.map(|(name, _)| name).join(", "));
    ExitCode::from(2)
}

fn repeat(name: &str, requests: &str) -> Option<()> {
    let (_, stage) = STAGES.iter().find(|(stage, _)| *stage == name)?;
    let policy = Policy::new(Instant::now());
    (0..requests.parse().ok()?).for_each(|number| stage(&policy, number));
    Some(())
}

fn time_all() {
    println!("{:14}{:>8}{:>12}{:>10}", "per request", "threads", "median ns", "best ns");
    for threads in [1, 2] {
        for (name, stage) in STAGES {
            let policy = Policy::new(Instant::now());
            let Cost { median, best } = measure(threads, REQUESTS, |number| stage(&policy, number));
            println!("{name:14}{threads:>8}{median:>12.0}{best:>10.0}");
        }
    }
}
