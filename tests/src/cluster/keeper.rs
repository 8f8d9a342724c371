//! Who holds the cluster: a process that keeps its namespaces, and removes everything that is left when it ends.
//!
//! It ends by a signal, or with whoever started it: then its standard input ends, however that came about. Should it be
//! killed itself, the kernel ends what it keeps; only control groups and files are left, which the next one removes.

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, Read, Write},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, wait};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::oneshot,
};

use super::{
    cgroup::Cgroup,
    control_plane,
    folder::Folder,
    inside::{Inside, PATH, until},
};

/// How long the one before may take to remove its cluster.
const HANDOVER: Duration = Duration::from_mins(1);
/// How long namespaces may take to be made.
const START: Duration = Duration::from_secs(30);
/// What a keeper says when there are namespaces.
const READY: &str = "ready";

/// Ties the cluster to this process.
pub(super) struct Lifeline(#[expect(dead_code, reason = "its end is what it is for")] ChildStdin);

/// Starts a keeper, which is `program` with the verb `keep`. With `tied` it ends with this process.
pub(super) fn start(folder: &Folder, program: &Path, tied: bool) -> Result<Option<Lifeline>> {
    let mut command = Command::new(program);
    command.arg("keep").arg(folder.path()).args(tied.then_some("--tied"));
    // A Ctrl-C in the terminal is not for it: it ends when we do.
    let log = folder.path().join("keeper.log");
    fs::create_dir_all(folder.path()).with_context(|| folder.path().display().to_string())?;
    let opened = File::create(&log).with_context(|| log.display().to_string())?;
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(opened).process_group(0);
    let mut child = command.spawn().context("the keeper cannot be started")?;
    let lifeline = child.stdin.take();
    let mut said = String::new();
    if let Some(stdout) = child.stdout.take() {
        BufReader::new(stdout).read_line(&mut said).context("the keeper says nothing")?;
    }
    if said.trim_end() != READY {
        let reason = fs::read_to_string(&log).unwrap_or_default();
        bail!("the keeper of the cluster ended: {}: {}", child.wait()?, reason.trim());
    }
    Ok(lifeline.filter(|_| tied).map(Lifeline))
}

/// Ends the cluster of this folder, if there is one, and removes what an earlier one left. Returns whether there was one.
pub(super) fn stop(folder: &Folder) -> Result<bool> {
    let lock = folder.lock()?;
    let alive = lock.try_lock().is_err();
    if alive {
        let path = folder.path().join("keeper");
        let pid = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let pid =
            pid.trim().parse().ok().and_then(Pid::from_raw).context("the file `keeper` has no number")?;
        kill_process(pid, Signal::TERM).context("the keeper cannot be ended")?;
        until("the keeper has ended", HANDOVER, || Ok(lock.try_lock().ok()))?;
    }
    remove(folder)?;
    Ok(alive)
}

/// The verb `keep`: what a keeper does.
pub async fn keep(folder: PathBuf, tied: bool) -> Result<()> {
    let folder = Folder::at(&folder);
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let lock = folder.lock()?;
    until("the cluster before has ended", HANDOVER, || Ok(lock.try_lock().ok()))?;
    fs::write(folder.path().join("keeper"), std::process::id().to_string())?;
    remove(&folder)?;
    folder.clear()?;
    let program = std::env::current_exe().context("this program has no name")?;
    let mut namespaces = unshare(&folder, &program)?;
    until("there are namespaces", START, || Ok(Inside::find(&folder.run())))
        .with_context(|| format!("its log is {}", folder.log("cluster").display()))?;
    writeln!(io::stdout(), "{READY}")?;

    let mut ended = signal(SignalKind::child())?;
    let end_of_owner = end_of_stdin()?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        _ = ended.recv() => {}
        _ = end_of_owner, if tied => {}
    }
    namespaces.kill().context("the namespaces cannot be ended")?;
    namespaces.wait()?;
    remove(&folder)
}

/// The verb `init`: the first process of a process namespace. It waits for those whose parents are gone.
pub async fn init() -> Result<()> {
    let mut ended = signal(SignalKind::child())?;
    loop {
        ended.recv().await;
        while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
    }
}

/// Comes when whoever holds the other end of our standard input is gone.
fn end_of_stdin() -> Result<oneshot::Receiver<()>> {
    let (at_end, end) = oneshot::channel();
    let read = move || {
        let _ = io::stdin().read_to_end(&mut Vec::new());
        let _ = at_end.send(());
    };
    thread::Builder::new().name("stdin".to_owned()).spawn(read).context("no thread")?;
    Ok(end)
}

/// The namespaces of the control plane, with a first process that ends with us.
fn unshare(folder: &Folder, program: &Path) -> Result<Child> {
    let log = folder.log("cluster");
    let open = || File::options().create(true).append(true).open(&log);
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "unshare", "--net", "--mount", "--pid", "--uts", "--ipc", "--fork"]);
    command.args(["--kill-child", "--mount-proc", "--propagation", "private"]);
    command.args(["sh", "-c", control_plane::NETWORK, "sh"]).arg(folder.run().join("etcd"));
    command.arg(program).arg("init").arg(folder.run());
    command.env("PATH", PATH).stdin(Stdio::null()).stdout(open()?).stderr(open()?).process_group(0);
    command.spawn().context("setpriv and unshare, of the package util-linux, cannot be started")
}

/// Removes what outlasts processes.
fn remove(folder: &Folder) -> Result<()> {
    Cgroup::of(folder).remove()?;
    folder.remove_run()
}
