//! What concerns a whole process, its signals and its panics: this program starts itself as the children it watches.
//!
//! Without the test harness, whose process must be neither signalled nor given another panic hook.
#![expect(clippy::unwrap_used, reason = "a test, though without the harness that clippy knows tests by")]

use std::{
    env,
    io::{BufRead, BufReader, Lines},
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    time::Duration,
};

use weft_runtime::{Shutdown, Tasks, logs};

/// Far longer than a test takes; what must not wait for it ends earlier.
const LONG: Duration = Duration::from_mins(10);

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["child", "drain", grace_ms] => drain(Duration::from_millis(grace_ms.parse().unwrap())),
        ["child", "panic"] => panic_in_a_task(),
        _ => {
            first_signal_drains_and_second_aborts();
            the_grace_period_aborts();
            a_panic_is_logged_as_json_under_its_task();
            println!("process: ok");
        }
    }
}

fn first_signal_drains_and_second_aborts() {
    for (first, second) in [("TERM", "INT"), ("INT", "TERM"), ("TERM", "TERM")] {
        let mut process = Process::draining_within(LONG);
        process.says("running");
        process.send(first);
        process.says("draining");
        process.send(second);
        process.says("aborting");
        assert!(process.wait().success());
    }
}

fn the_grace_period_aborts() {
    let mut process = Process::draining_within(Duration::from_millis(1));
    process.says("running");
    process.send("TERM");
    process.says("draining");
    process.says("aborting");
    assert!(process.wait().success());
}

fn a_panic_is_logged_as_json_under_its_task() {
    let child = Command::new(env::current_exe().unwrap()).args(["child", "panic"]).output().unwrap();
    let log = String::from_utf8(child.stderr).unwrap();
    assert!(child.status.success(), "{log}");
    let events: Vec<serde_json::Value> =
        log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events.len(), 2, "{log}");
    assert!(
        events.iter().all(|event| event["level"] == "ERROR" && event["panic"] == "on \"purpose\"\n"),
        "{log}"
    );
    assert!(events[0]["location"].as_str().unwrap().contains("process.rs:"), "{log}");
    assert_eq!(events[1]["task"], "broken", "{log}");
    assert_eq!(events[1]["program"], "weft-test", "{log}");
}

/// A child that says on stdout how far the shutdown has come, and ends by itself once it aborts.
fn drain(grace: Duration) {
    run(async {
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

/// A child that survives the panic of one of its tasks.
fn panic_in_a_task() {
    logs::init("weft-test", logs::Format::Json, "").unwrap();
    run(async {
        let tasks = Tasks::new();
        tasks.spawn("broken", async { panic!("on \"purpose\"\n") });
        assert!(tasks.join_all(LONG).await.is_empty());
    });
}

fn run(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future);
}

/// A child that runs [`drain`]. It does not outlive a failed test.
struct Process {
    child: Child,
    stdout: Lines<BufReader<ChildStdout>>,
}

impl Process {
    fn draining_within(grace: Duration) -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["child", "drain", &grace.as_millis().to_string()])
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
