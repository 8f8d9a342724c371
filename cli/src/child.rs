//! One child process, started again whenever it ends, until it is told to stop.

use std::{
    ffi::OsString,
    fs::{File, OpenOptions},
    future::pending,
    io,
    net::SocketAddr,
    path::PathBuf,
    pin::pin,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use futures_util::{FutureExt, future::FusedFuture};
use http::StatusCode;
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::{Child, ChildStderr, Command},
    sync::mpsc,
    time::{Instant, sleep, timeout},
};
use weft_runtime::Shutdown;

use crate::wire;

/// Pause before a process that ended is started again; it doubles each time.
const BACKOFF_MIN: Duration = Duration::from_millis(100);
/// The pause never grows beyond this.
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// A process that ran for this long was well: the pause begins anew.
const STEADY: Duration = Duration::from_secs(10);
/// Pause between two questions whether a process is ready.
const READY_INTERVAL: Duration = Duration::from_millis(20);
/// Longer lines of a child's log are told in pieces.
const MAX_LINE: u64 = 16 * 1024;

/// A process to keep.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    /// What people call it.
    pub(crate) name: String,
    /// What to start: for all but tests this program itself, under another verb.
    pub(crate) executable: PathBuf,
    /// Its arguments.
    pub(crate) arguments: Vec<OsString>,
    /// Variables that are added to its environment.
    pub(crate) environment: Vec<(&'static str, String)>,
    /// File that its stdout is appended to; none: nowhere.
    pub(crate) stdout: Option<PathBuf>,
    /// Where its stderr goes.
    pub(crate) log: Log,
    /// Where it says whether it is ready, by answering `GET` of this path with 200.
    pub(crate) ready: (SocketAddr, &'static str),
}

/// Where a child's log goes.
#[derive(Clone, Debug)]
pub(crate) enum Log {
    /// To our own stderr, each line behind the name of the process.
    Prefixed,
    /// To the end of a file.
    File(PathBuf),
}

/// What happened to a kept process.
#[derive(Debug)]
pub(crate) enum Event {
    /// It was started.
    Started(u32),
    /// It says that it is ready.
    Ready,
    /// It ended by itself, or could not be started; it is started again after the given time.
    Ended(String, Duration),
    /// It ended because it was told to.
    Stopped,
}

/// Events of several processes, each with the name of its process.
pub(crate) type Events = mpsc::Sender<(String, Event)>;

/// How one life of a process ended.
enum End {
    Stopped,
    ByItself(String),
}

/// A process, whoever ends it, and whoever hears of it.
pub(crate) struct Kept {
    /// The process.
    pub(crate) program: Program,
    /// When it drains, the process gets SIGTERM and may finish; when it aborts, the process is killed.
    pub(crate) shutdown: Shutdown,
    /// Who hears of it. Nobody need listen.
    pub(crate) events: Events,
}

impl Kept {
    /// Keeps the process running until it is told to stop, and has stopped.
    pub(crate) async fn run(self) {
        let mut pause = BACKOFF_MIN;
        while !self.shutdown.is_draining() {
            let started = Instant::now();
            let end = match start(&self.program) {
                Ok(child) => self.live(child).await,
                Err(error) => End::ByItself(format!("cannot be started: {error}")),
            };
            let End::ByItself(how) = end else { break };
            if started.elapsed() >= STEADY {
                pause = BACKOFF_MIN;
            }
            self.tell(Event::Ended(how, pause)).await;
            tokio::select! {
                () = sleep(pause) => pause = (pause * 2).min(BACKOFF_MAX),
                () = self.shutdown.draining() => break,
            }
        }
        self.tell(Event::Stopped).await;
    }

    async fn tell(&self, event: Event) {
        // An error means that nobody listens.
        let _ = self.events.send((self.program.name.clone(), event)).await;
    }

    /// One life of the process, from its start to its end.
    async fn live(&self, mut child: Child) -> End {
        // Taken out, or waiting for the child would close it.
        let _lifeline = child.stdin.take();
        let log = child.stderr.take();
        if let Some(pid) = child.id() {
            self.tell(Event::Started(pid)).await;
        }
        let ready = async {
            until_ready(self.program.ready).await;
            self.tell(Event::Ready).await;
        };
        let mut copied = pin!(copy(&self.program.name, log).fuse());
        tokio::select! {
            status = child.wait() => {
                // What it said last, often why it ended, is still in the pipe.
                let _ = timeout(BACKOFF_MIN, async { while !copied.is_terminated() { copied.as_mut().await } }).await;
                return End::ByItself(told(status));
            }
            () = async { tokio::join!(copied.as_mut(), ready); pending().await } => {}
            () = self.shutdown.draining() => {}
        }
        terminate(&child);
        let ended = async {
            tokio::select! {
                _ = child.wait() => {}
                () = self.shutdown.aborting() => {
                    // An error means that it has ended already.
                    let _ = child.kill().await;
                }
            }
        };
        tokio::select! {
            () = ended => {}
            () = async { copied.await; pending().await } => {}
        }
        End::Stopped
    }
}

fn start(program: &Program) -> io::Result<Child> {
    let append = |path: &PathBuf| OpenOptions::new().create(true).append(true).open(path);
    let file = |path: &PathBuf| append(path).map(|file: File| Stdio::from(file));
    let mut command = Command::new(&program.executable);
    command
        .args(&program.arguments)
        .envs(program.environment.iter().cloned())
        // Held open for as long as the child shall live: see `lifeline`.
        .stdin(Stdio::piped())
        .stdout(program.stdout.as_ref().map_or_else(|| Ok(Stdio::null()), file)?)
        .stderr(match &program.log {
            Log::Prefixed => Stdio::piped(),
            Log::File(path) => file(path)?,
        })
        // Out of the terminal's group: Ctrl-C reaches us alone, and we end the children in order.
        .process_group(0)
        .kill_on_drop(true);
    command.spawn()
}

fn terminate(child: &Child) {
    // The child has no id once it was waited for, so this never reaches another process that got its number.
    let pid = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    if let Some(pid) = pid {
        // An error means that it has ended meanwhile.
        let _ = kill_process(pid, Signal::TERM);
    }
}

fn told(status: io::Result<ExitStatus>) -> String {
    match status {
        Ok(status) => format!("ended: {status}"),
        Err(error) => format!("was lost: {error}"),
    }
}

/// Resolves once the address answers 200.
pub(crate) async fn until_ready((address, path): (SocketAddr, &str)) {
    while !wire::get(address, path).await.is_ok_and(|(status, _)| status == StatusCode::OK) {
        sleep(READY_INTERVAL).await;
    }
}

/// Copies a child's log to our own stderr, line by line.
async fn copy(name: &str, log: Option<ChildStderr>) {
    let Some(log) = log else { return };
    let mut log = BufReader::new(log);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut log).take(MAX_LINE).read_until(b'\n', &mut line).await {
            Ok(read) if read > 0 => {
                anstream::eprintln!("{name} | {}", String::from_utf8_lossy(&line).trim_end());
            }
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests;
