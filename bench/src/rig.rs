//! Pairs of proxies in turns: each round measures all of them, one after the other, so that whatever slows the machine
//! down for a while slows all of them down.

use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::Pid;
use weft_tests::census::Census;

use crate::{
    generator::{Generator, Pace, Report},
    stage::{Actor, Stage},
    subject::{Kind, Subject},
    usage::CpuTime,
};

/// Requests under way of callers who keep a proxy busy, over as many connections, or fewer that take several at once.
pub const BUSY_REQUESTS: usize = 64;
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
    /// At full pace with [`BUSY_REQUESTS`].
    pub busy: Load,
    /// The share of its core that the proxies used meanwhile; 1 is all of it.
    pub core_share: f64,
    /// At [`CALM_RATE`]; of pairs.
    pub calm: Load,
    /// At full pace over one connection; of pairs.
    pub single: Load,
    /// Handshakes of clients with the proxy of the service, and its time alone; of pairs with proxies.
    pub handshakes: Load,
}

/// What came of one load of requests, or of handshakes.
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
    /// How the proxy of the service agrees on keys with a client that knows them all; of pairs with proxies.
    pub key_exchange: Option<String>,
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
        let subject = actor.subject;
        let (memory, key_exchange) = if is_pair_with_proxies(actor) {
            let memory = memory(stage, actor).await.with_context(|| format!("memory of {}", subject.name))?;
            let handshakes = stage.handshakes(actor)?;
            (Some(memory), Some(stage.outside(|| handshakes.one()).context(subject.name)?))
        } else {
            (None, None)
        };
        all.push(Measured { subject, memory, key_exchange, rounds: Vec::new() });
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

fn is_pair_with_proxies(actor: &Actor) -> bool {
    actor.subject.kind == Kind::Pair && !actor.proxies.is_empty()
}

fn round(stage: &Stage, actor: &Actor, length: Duration) -> Result<Figures> {
    let mut figures = Figures::default();
    let proxies = actor.proxies.as_slice();
    let connections = BUSY_REQUESTS / actor.subject.protocol().requests_at_once();
    let mut generator = stage.generator(actor, connections)?;
    (figures.busy, figures.core_share) = load(proxies, length, requests(&mut generator, Pace::Full))?;
    if actor.subject.kind == Kind::Pair {
        let pace = Pace::Constant(CALM_RATE);
        (figures.calm, _) = load(proxies, length, requests(&mut generator, pace))?;
        let mut generator = stage.generator(actor, 1)?;
        (figures.single, _) = load(proxies, length, requests(&mut generator, Pace::Full))?;
    }
    if is_pair_with_proxies(actor) {
        let handshakes = stage.handshakes(actor)?;
        let run = |length| stage.outside(|| handshakes.run(length));
        (figures.handshakes, _) = load(&proxies[1..], length, run)?;
    }
    Ok(figures)
}

fn requests(generator: &mut Generator, pace: Pace) -> impl FnMut(Duration) -> Result<Report> {
    move |length| Ok(generator.run(pace, length)?)
}

/// What `run` comes to, and the share of a core that these proxies used.
fn load(
    proxies: &[Pid],
    length: Duration,
    mut run: impl FnMut(Duration) -> Result<Report>,
) -> Result<(Load, f64)> {
    run(WARM_UP)?;
    let before = CpuTime::of_all(proxies)?;
    let report = run(length)?;
    let used = CpuTime::of_all(proxies)? - before;
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
