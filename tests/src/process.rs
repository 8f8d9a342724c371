//! A process with its log. It ends with whoever holds it.

use std::{
    fs::{self, File, OpenOptions},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, ChildStdin, Command};

use crate::patience::within;

/// Lines of a log that are shown when a test fails.
const LAST_LINES: usize = 40;

/// A process. Dropped, it is killed.
pub struct Process {
    name: String,
    child: Child,
    /// Its end tells the process that the test is gone, however that came about.
    _lifeline: Option<ChildStdin>,
    log: PathBuf,
}

impl Process {
    /// Starts `program` with `arguments`. What it writes to stdout and stderr goes to the ends of two files.
    pub fn start(name: &str, program: &str, arguments: &[&str], stdout: &Path, log: &Path) -> Self {
        let append = |path: &Path| -> File {
            let opened = OpenOptions::new().create(true).append(true).open(path);
            opened.unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        };
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(append(stdout))
            .stderr(append(log))
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{program} cannot be started: {error}"));
        let lifeline = child.stdin.take();
        Self { name: name.to_owned(), child, _lifeline: lifeline, log: log.to_owned() }
    }

    /// Its number.
    pub fn pid(&self) -> Pid {
        let id = self.child.id().unwrap_or_else(|| panic!("{} has ended:\n{}", self.name, self.last_words()));
        pid(id)
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        send(self.pid(), signal);
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    /// Waits for its end.
    pub async fn end(&mut self) -> ExitStatus {
        let ended = within(&format!("{} ends", self.name), self.child.wait()).await;
        ended.unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    /// Everything that it logged.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The end of its log.
    pub fn last_words(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let last = &lines[lines.len().saturating_sub(LAST_LINES)..];
        format!("--- log of {}:\n{}\n", self.name, last.join("\n"))
    }
}

/// A process number from its decimal form.
pub fn pid(id: u32) -> Pid {
    let id = i32::try_from(id).ok().and_then(Pid::from_raw);
    id.expect("the number of a process is positive and fits")
}

/// Sends a signal to a process that lives.
pub fn send(to: Pid, signal: Signal) {
    kill_process(to, signal).unwrap_or_else(|error| panic!("process {}: {error}", to.as_raw_nonzero()));
}
