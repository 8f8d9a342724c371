//! One control plane and the streams of a thousand sidecars: what it costs to have them all, and how soon they know of a
//! change. The control plane is the real program over real files; of the sidecars there is what it sees of them.

// The files that it reads,
pub mod mesh;
// who asks for what stands in them,
pub mod member;
// and one sidecar that is real.
pub mod sidecar;

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio::{sync::mpsc, time::timeout};
use weft_runtime::Tasks;
use weft_tests::{census::Census, metrics, patience::until, process::Process};

use self::{
    member::Member,
    mesh::{Mesh, SHARED, Size},
    sidecar::Sidecar,
};
use crate::usage::{CpuTime, stay_on_core};

/// The core of the control plane, which has one thread, and the one of everything else.
const CONTROL_PLANE_CORE: usize = 0;
const SIDECARS_CORE: usize = 1;
/// How long anything may take here.
const PATIENCE: Duration = Duration::from_mins(1);
/// Sidecars that connect at the same time; the others wait for their turn, as handshakes wait for the processor.
const AT_ONCE: usize = 32;
/// Changes of endpoints in a second in a mesh where pods come and go.
const CHURN_PER_SECOND: u32 = 10;
/// Seed of which services change.
const SEED: u64 = 1;

/// What was measured.
#[derive(Debug)]
pub struct Report {
    /// One sidecar, before the others.
    pub sidecar: Sidecar,
    /// Memory of the control plane before anybody connected, in KiB.
    pub alone_kib: u64,
    /// The same with all streams.
    pub with_all_kib: u64,
    /// From the first connection until all had their certificates and their configuration.
    pub joined_in: Duration,
    /// Processor time of the control plane for it.
    pub joining: Duration,
    /// Of each change, from the write of the file until each of the sidecars had it: in order.
    pub known_after: Vec<Duration>,
    /// The share of one core that the control plane used while nothing happened.
    pub rest_share: f64,
    /// The same while endpoints of some service changed [`CHURN_PER_SECOND`] times a second.
    pub churn_share: f64,
}

/// Starts the programs of the folder `programs`, and measures: `changes` of endpoints that all sidecars use, then churn for `length`.
///
/// # Errors
/// If somebody does not connect, or does not hear of something.
pub async fn run(programs: &Path, size: Size, changes: u32, length: Duration) -> Result<Report> {
    let mesh = Mesh::create(size)?;
    stay_on_core(CONTROL_PLANE_CORE)?;
    let process = mesh.start(&programs.join("weft-control-plane"))?;
    stay_on_core(SIDECARS_CORE)?;
    until("the control plane is ready", async || metrics::is_ready(mesh.admin).await.then_some(())).await;
    let sidecar = Sidecar::measure(&mesh, &programs.join("weft-proxy")).await?;
    let memory = |process: &Process| Census::of(process.pid()).resident_kib;
    let alone_kib = memory(&process);

    let (news, mut heard) = mpsc::unbounded_channel();
    let tasks = Tasks::new();
    let (began, before) = (Instant::now(), CpuTime::of(process.pid())?);
    join(&mesh, &tasks, &news).await?;
    let joined_in = began.elapsed();
    let joining = (CpuTime::of(process.pid())? - before).total();

    let mut known_after = Vec::new();
    for change in 0..changes {
        while heard.try_recv().is_ok() {}
        let written = Instant::now();
        mesh.change(SHARED, change + 1)?;
        for _ in 0..size.sidecars {
            let at = timeout(PATIENCE, heard.recv()).await.context("a sidecar does not hear of a change")?;
            known_after.push(at.context("all sidecars are gone")?.saturating_duration_since(written));
        }
    }
    known_after.sort_unstable();

    let rest_share = share(&process, length, async || Ok(())).await?;
    let mut random = StdRng::seed_from_u64(SEED);
    let mut tick = tokio::time::interval(Duration::from_secs(1) / CHURN_PER_SECOND);
    let mut round = changes;
    let churn_share = share(&process, length, async || {
        round += 1;
        tick.tick().await;
        mesh.change(random.random_range(SHARED + 1..size.services), round)
    })
    .await?;
    let with_all_kib = memory(&process);
    ensure!(tasks.live() == size.sidecars, "{} of {} streams still stand", tasks.live(), size.sidecars);
    Ok(Report { sidecar, alone_kib, with_all_kib, joined_in, joining, known_after, rest_share, churn_share })
}

/// Connects all sidecars; each then tells when it hears of the endpoints of the service that all call.
async fn join(mesh: &Mesh, tasks: &Tasks, news: &mpsc::UnboundedSender<Instant>) -> Result<()> {
    for first in (0..mesh.size.sidecars).step_by(AT_ONCE) {
        let together = first..mesh.size.sidecars.min(first + AT_ONCE);
        let joining = together.map(|number| async move { Member::join(mesh, number).await });
        for member in futures_util::future::join_all(joining).await {
            let (member, news) = (member?, news.clone());
            tasks.spawn("sidecar", async move { member.listen(news).await });
        }
    }
    Ok(())
}

/// The share of one core that a process uses for `length`, while `work` is done again and again.
async fn share(
    process: &Process,
    length: Duration,
    mut work: impl AsyncFnMut() -> Result<()>,
) -> Result<f64> {
    let (began, before) = (Instant::now(), CpuTime::of(process.pid())?);
    while began.elapsed() < length {
        work().await?;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok((CpuTime::of(process.pid())? - before).total().as_secs_f64() / began.elapsed().as_secs_f64())
}
