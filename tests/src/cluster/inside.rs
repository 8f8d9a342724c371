//! Processes in namespaces of their own: how they are found from outside, entered and ended.

use std::{
    fs,
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process};

/// Where programs of administrators are, too: a user's PATH may leave that out.
pub(super) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Pause between two looks at what is waited for.
const INTERVAL: Duration = Duration::from_millis(50);

/// The first process of a process namespace, which holds all others of its kind: if it ends, so does whatever runs there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Inside(Pid);

impl Inside {
    /// Finds it by the folder that it was started for. While the shell before it still makes its file systems and its
    /// network, it is not there.
    pub(super) fn find(folder: &Path) -> Option<Self> {
        let wanted = [b"init", folder.as_os_str().as_encoded_bytes()];
        let is_it = |pid: Pid| matches!(arguments(pid).as_slice(), [_, rest @ ..] if *rest == wanted);
        processes().find(|pid| is_first(*pid) && is_it(*pid)).map(Self)
    }

    /// Whether it has become what it is to be: before that, a shell may prepare things by the same name.
    pub(super) fn has_begun(self) -> bool {
        arguments(self.0).get(1).is_some_and(|argument| argument == b"init")
    }

    pub(super) fn pid(self) -> Pid {
        self.0
    }

    /// A file as those inside see it.
    pub(super) fn path(self, path: &str) -> String {
        format!("/proc/{}/root{path}", self.0.as_raw_nonzero())
    }

    /// A program that runs inside, in all namespaces.
    pub(super) fn command(self, program: impl AsRef<Path>) -> Command {
        self.enter(&["--net", "--mount", "--pid", "--uts", "--ipc"], program.as_ref())
    }

    /// A program in the network namespace alone: it sees the machine's files.
    pub(super) fn network(self, program: impl AsRef<Path>) -> Command {
        self.enter(&["--net"], program.as_ref())
    }

    fn enter(self, namespaces: &[&str], program: &Path) -> Command {
        let mut command = Command::new("nsenter");
        command.arg("--target").arg(self.0.as_raw_nonzero().to_string());
        command.args(namespaces).arg("--").arg(program).env("PATH", PATH).stdin(Stdio::null());
        command
    }

    /// Starts a program inside that stays. What it says goes to `log`.
    pub(super) fn start(self, program: &Path, arguments: &[String], log: &Path) -> Result<()> {
        detached(self.command(program).args(arguments), log)
    }

    /// Whether a process `pid` is inside.
    pub(super) fn holds(self, pid: Pid) -> bool {
        let namespace = |pid: Pid| fs::read_link(format!("/proc/{}/ns/pid", pid.as_raw_nonzero())).ok();
        namespace(pid).is_some_and(|found| Some(found) == namespace(self.0))
    }

    /// Processes inside whose first arguments are these.
    pub(super) fn running(self, program: &Path, argument: &str) -> Vec<Pid> {
        let wanted = [program.as_os_str().as_encoded_bytes().to_vec(), argument.as_bytes().to_vec()];
        processes().filter(|pid| self.holds(*pid) && arguments(*pid).starts_with(&wanted)).collect()
    }
}

/// Starts `command` so that it goes on without us. A Ctrl-C in the terminal does not reach it.
pub(super) fn detached(command: &mut Command, log: &Path) -> Result<()> {
    let shown = format!("{command:?}");
    let append = || {
        let opened = fs::File::options().create(true).append(true).open(log);
        opened.with_context(|| log.display().to_string())
    };
    command.stdin(Stdio::null()).stdout(append()?).stderr(append()?).process_group(0);
    let mut child = command.spawn().with_context(|| shown.clone())?;
    // It is nobody's child that somebody waits for, but must not stay as a zombie if we live longer.
    thread::Builder::new().name("reaper".to_owned()).spawn(move || child.wait()).context("no thread")?;
    Ok(())
}

/// Runs a command to its end, which must be well, and returns what it printed.
pub(super) fn output(command: &mut Command) -> Result<String> {
    let shown = format!("{command:?}");
    let output = command.output().with_context(|| shown.clone())?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("{shown}: {}: {}", output.status, said.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Looks again and again until `look` finds something, for at most `patience`.
///
/// # Errors
/// If that time is over: what did not happen, and what was found last.
pub(super) fn until<T>(
    what: &str,
    patience: Duration,
    mut look: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let end = Instant::now() + patience;
    loop {
        let found = look();
        if let Ok(Some(found)) = found {
            return Ok(found);
        }
        if Instant::now() > end {
            let late = format!("in {} s it did not happen that {what}", patience.as_secs());
            return Err(match found {
                Err(error) => error.context(late),
                Ok(_) => anyhow!(late),
            });
        }
        thread::sleep(INTERVAL);
    }
}

/// Sends SIGKILL; one that has ended already is fine.
pub(super) fn kill(pid: Pid) {
    let _ = kill_process(pid, Signal::KILL);
}

/// All processes of the machine.
fn processes() -> impl Iterator<Item = Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))
}

/// What a process was started with; nothing if it has ended.
fn arguments(pid: Pid) -> Vec<Vec<u8>> {
    let line = fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).unwrap_or_default();
    let line = line.strip_suffix(&[0]).unwrap_or(&line);
    line.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect()
}

/// Whether it is number 1 in a namespace below ours (`NSpid` in proc_pid_status(5)).
fn is_first(pid: Pid) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).unwrap_or_default();
    let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap_or_default();
    let numbers: Vec<&str> = numbers.split_whitespace().collect();
    numbers.len() > 1 && numbers.last() == Some(&"1")
}
