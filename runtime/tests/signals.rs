//! Real signals: this program starts itself as a child and sends it SIGTERM and SIGINT.
//!
//! Without the test harness, whose process must not be the one that is signalled.
#![expect(clippy::unwrap_used, reason = "a test, though without the harness that clippy knows tests by")]

use std::{
    env,
    io::{BufRead, BufReader, Lines},
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    time::Duration,
};

use weft_runtime::{Shutdown, Tasks};

/// Far longer than a test takes; what must not wait for it ends earlier.
const LONG: Duration = Duration::from_mins(10);

fn main() {
    if let Some(grace) = env::args().nth(1).and_then(|arg| arg.strip_prefix("grace-ms=")?.parse().ok()) {
        return child(Duration::from_millis(grace));
    }
    first_signal_drains_and_second_aborts();
    the_grace_period_aborts();
    println!("signals: ok");
}

/// Says on stdout how far the shutdown has come; exits by itself once it aborts.
fn child(grace: Duration) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (shutdown, watcher) = Shutdown::from_signals();
        let tasks = Tasks::new();
        tasks.spawn("signals", watcher.abort_after(grace));
        // The watcher takes the signals over when it first runs.
        tokio::task::yield_now().await;
        println!("running");
        shutdown.draining().await;
        println!("draining");
        shutdown.aborting().await;
        println!("aborting");
        assert!(tasks.join_all(LONG).await.is_empty());
    });
}

fn first_signal_drains_and_second_aborts() {
    for (first, second) in [("TERM", "INT"), ("INT", "TERM"), ("TERM", "TERM")] {
        let mut process = Process::start(LONG);
        process.says("running");
        process.send(first);
        process.says("draining");
        process.send(second);
        process.says("aborting");
        assert!(process.wait().success());
    }
}

fn the_grace_period_aborts() {
    let mut process = Process::start(Duration::from_millis(1));
    process.says("running");
    process.send("TERM");
    process.says("draining");
    process.says("aborting");
    assert!(process.wait().success());
}

/// A child of this program; it does not outlive a failed test.
struct Process {
    child: Child,
    stdout: Lines<BufReader<ChildStdout>>,
}

impl Process {
    fn start(grace: Duration) -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .arg(format!("grace-ms={}", grace.as_millis()))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, stdout }
    }

    fn says(&mut self, expected: &str) {
        assert_eq!(self.stdout.next().unwrap().unwrap(), expected);
    }

    fn send(&self, signal: &str) {
        let id = self.child.id().to_string();
        // The shell's own `kill`: every system that has a shell has it.
        let sent = Command::new("sh").args(["-c", "kill -s \"$1\" \"$2\"", "sh", signal, &id]).status();
        assert!(sent.unwrap().success());
    }

    fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Fails if it has ended, which is what the tests are for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
