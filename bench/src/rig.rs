//! Pairs of proxies in turns: each round measures all of them, one after the other, so that whatever slows the machine
//! down for a while slows all of them down.

use std::time::Duration;

use anyhow::{Context, Result};
use weft_tests::census::Census;

use crate::{
    generator::{Generator, Pace, Report},
    stage::{Actor, Stage},
    subject::{Kind, Subject},
    usage::CpuTime,
};

/// Connections of callers who keep a proxy busy.
pub const CONNECTIONS: usize = 64;
/// Requests in a second that leave a proxy idle most of the time.
pub const CALM_RATE: u32 = 1000;
/// Connections that rest.
pub const IDLE_CONNECTIONS: usize = 1000;
/// What comes before a measurement, and is not counted.
const WARM_UP: Duration = Duration::from_millis(300);
/// Before memory is looked at, so that it has come to rest: a sidecar takes a connection from hyper after two seconds, and
/// gives its memory back some seconds later.
const REST: Duration = Duration::from_secs(7);

/// One round of one subject.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// At full pace over [`CONNECTIONS`].
    pub busy: Load,
    /// The share of its core that the proxies used meanwhile; 1 is all of it.
    pub core_share: f64,
    /// At [`CALM_RATE`]; of pairs.
    pub calm: Load,
    /// At full pace over one connection; of pairs.
    pub single: Load,
}

/// What came of one load.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Load {
    /// Requests in a second.
    pub per_second: f64,
    /// Latency: median.
    pub p50_us: f64,
    /// Latency: 99 of 100 were faster.
    pub p99_us: f64,
    /// Processor time for a request in the proxies' own code.
    pub user_us: f64,
    /// The same in the kernel.
    pub system_us: f64,
}

impl Load {
    /// Processor time for a request, of all proxies on the way.
    pub fn cpu_us(&self) -> f64 {
        self.user_us + self.system_us
    }
}

/// Memory of a subject's proxies.
#[derive(Clone, Debug, PartialEq)]
pub struct Memory {
    /// Resident KiB of each, before the first request but the one that showed that it serves.
    pub idle_kib: Vec<u64>,
    /// KiB that the proxy of the caller grows by for each idle connection.
    pub kib_per_connection: f64,
}

/// A subject with everything that was measured.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Who.
    pub subject: &'static Subject,
    /// Once, at first; of pairs with proxies.
    pub memory: Option<Memory>,
    /// Each round.
    pub rounds: Vec<Figures>,
}

/// Measures all actors: memory first, then `rounds` rounds, in which each load lasts for `length`.
///
/// # Errors
/// If a request is not answered as it must be, or a proxy has ended.
pub async fn measure(stage: &Stage, rounds: usize, length: Duration) -> Result<Vec<Measured>> {
    tokio::time::sleep(REST).await;
    let mut all = Vec::new();
    for actor in &stage.actors {
        let has_memory = actor.subject.kind == Kind::Pair && !actor.proxies.is_empty();
        let memory = if has_memory {
            Some(memory(stage, actor).await.with_context(|| format!("memory of {}", actor.subject.name))?)
        } else {
            None
        };
        all.push(Measured { subject: actor.subject, memory, rounds: Vec::new() });
    }
    for number in 1..=rounds {
        eprintln!("round {number} of {rounds}");
        for (actor, measured) in stage.actors.iter().zip(&mut all) {
            let figures = round(stage, actor, length).with_context(|| actor.subject.name)?;
            measured.rounds.push(figures);
        }
    }
    Ok(all)
}

fn round(stage: &Stage, actor: &Actor, length: Duration) -> Result<Figures> {
    let mut figures = Figures::default();
    let mut generator = stage.generator(actor, CONNECTIONS)?;
    (figures.busy, figures.core_share) = load(&mut generator, actor, Pace::Full, length)?;
    if actor.subject.kind == Kind::Pair {
        (figures.calm, _) = load(&mut generator, actor, Pace::Constant(CALM_RATE), length)?;
        (figures.single, _) = load(&mut stage.generator(actor, 1)?, actor, Pace::Full, length)?;
    }
    Ok(figures)
}

/// Also returns the share of a core that the proxies used.
fn load(generator: &mut Generator, actor: &Actor, pace: Pace, length: Duration) -> Result<(Load, f64)> {
    generator.run(pace, WARM_UP)?;
    let before = CpuTime::of_all(&actor.proxies)?;
    let report = generator.run(pace, length)?;
    let used = CpuTime::of_all(&actor.proxies)? - before;
    Ok((of(&report, used), used.total().as_secs_f64() / report.took.as_secs_f64()))
}

fn of(report: &Report, used: CpuTime) -> Load {
    let requests = report.requests() as f64;
    Load {
        per_second: requests / report.took.as_secs_f64(),
        p50_us: report.quantile_us(0.5),
        p99_us: report.quantile_us(0.99),
        user_us: used.user.as_secs_f64() * 1e6 / requests,
        system_us: used.system.as_secs_f64() * 1e6 / requests,
    }
}

async fn memory(stage: &Stage, actor: &Actor) -> Result<Memory> {
    let resident = || actor.proxies.iter().map(|pid| Census::of(*pid).resident_kib).collect::<Vec<_>>();
    let idle_kib = resident();
    // What the first requests of all leave behind is no connection's.
    stage.generator(actor, 1)?.run(Pace::Full, WARM_UP)?;
    tokio::time::sleep(REST).await;
    let before = resident()[0];
    let mut generator = stage.generator(actor, IDLE_CONNECTIONS)?;
    generator.greet()?;
    tokio::time::sleep(REST).await;
    let grown = resident()[0].saturating_sub(before);
    Ok(Memory { idle_kib, kib_per_connection: grown as f64 / IDLE_CONNECTIONS as f64 })
}
