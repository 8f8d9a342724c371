//! What `weft breakers` shows of a local mesh that runs, and which code it exits with.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test that cannot go on fails")]

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, ChildStderr, ChildStdout, Command, Output, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// Whatever is waited for happens within this time, or the test fails.
const PATIENCE: Duration = Duration::from_mins(1);

/// Opens after five failures in a row, and stays so for the rest of the test.
const POLICY: &str = "\
apiVersion: policy.weft.dev/v1alpha1
kind: CircuitBreakerPolicy
metadata:
  name: api
spec:
  targetRefs: [{group: '', kind: Service, name: api}]
  endpoint: {consecutive: 0, failurePercent: 0}
  target: {consecutive: 5, failurePercent: 0, open: {base: 300s, max: 300s}}
";

/// A mesh whose application fails every request, and a caller's sidecar that leads to it.
struct Mesh {
    folder: TempDir,
    entrance: SocketAddr,
    caller: SocketAddr,
    processes: Vec<Child>,
}

/// What a program says, line by line.
struct Lines(Receiver<String>);

impl Lines {
    fn of(stream: impl Read + Send + 'static) -> Self {
        let (sender, lines) = channel();
        let reader = BufReader::new(stream);
        thread::spawn(move || reader.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self(lines)
    }

    /// Waits for a line with this in it.
    fn wait_for(&self, part: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.0.recv_timeout(left) {
                Ok(line) if line.contains(part) => return line,
                Ok(_) => {}
                Err(error) => panic!("`{part}` was never said: {error}"),
            }
        }
    }
}

fn weft() -> Command {
    let mut weft = Command::new(env!("CARGO_BIN_EXE_weft"));
    weft.stdin(Stdio::null());
    weft
}

fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// The answer to `GET /goodvibes`, if somebody is there.
fn get(address: SocketAddr) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    write!(stream, "GET /goodvibes HTTP/1.1\r\nhost: api\r\nconnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

fn files(app: SocketAddr, entrance: SocketAddr, caller: SocketAddr) -> String {
    format!(
        "{POLICY}---\napiVersion: v1\nkind: Service\nmetadata: {{name: api}}\nspec: {{ports: [{{name: http, port: 80}}]}}\n---\n\
         apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: api, labels: {{kubernetes.io/service-name: api}}}}\n\
         addressType: IPv4\nports: [{{name: http, port: {}}}]\nendpoints: [{{addresses: [127.0.0.1]}}]\n---\n\
         apiVersion: local.weft.dev/v1alpha1\nkind: Workload\nmetadata: {{name: caller}}\nspec:\n  \
         outbound: [{{listen: '{entrance}', service: api, port: 80}}]\n  admin: {caller}\n",
        app.port()
    )
}

impl Mesh {
    fn start() -> Self {
        let [app, entrance, caller, control_plane, admin] = std::array::from_fn(|_| free());
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("mesh.yaml"), files(app, entrance, caller)).unwrap();
        let api = weft()
            .args(["sample", "--with-parent", "feelgood-api", "--failure-rate", "1", "--listen"])
            .arg(app.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut run = weft()
            .args(["run", "--control-plane", &control_plane.to_string()])
            .args(["--control-plane-admin", &admin.to_string(), "-f"])
            .arg(folder.path())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let said = Lines::of(run.stderr.take().unwrap());
        let mesh = Self { folder, entrance, caller, processes: vec![api, run] };
        said.wait_for("everything is ready");
        mesh
    }

    /// Calls until the breaker refuses.
    fn trip(&self) {
        let deadline = Instant::now() + PATIENCE;
        while get(self.entrance).is_none_or(|answer| !answer.contains("breaker_open")) {
            assert!(Instant::now() < deadline, "the breaker never opened");
        }
    }

    fn breakers(&self, arguments: &[&str]) -> Output {
        weft().args(["breakers", "-f"]).arg(self.folder.path()).args(arguments).output().unwrap()
    }

    /// Lines of stdout and stderr of a `weft breakers` that watches.
    fn watch(&self) -> (Child, Lines, Lines) {
        let mut watch = weft()
            .args(["breakers", "--watch", "-f"])
            .arg(self.folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let out: ChildStdout = watch.stdout.take().unwrap();
        let err: ChildStderr = watch.stderr.take().unwrap();
        (watch, Lines::of(out), Lines::of(err))
    }
}

impl Drop for Mesh {
    fn drop(&mut self) {
        for process in &mut self.processes {
            // What ended already cannot be killed; what did not must not outlive a test that failed.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).unwrap()
}

#[test]
fn a_breaker_is_shown_when_it_opens_and_found_by_the_exit_code() {
    let mesh = Mesh::start();
    let (mut watch, changes, notes) = mesh.watch();
    notes.wait_for("watching");
    mesh.trip();
    let change = changes.wait_for("-> open");
    assert_eq!(change, "default/caller  target default/api:80  closed -> open (trips: consecutive 1)");
    kill_process(Pid::from_child(&watch), Signal::INT).unwrap();
    assert_eq!(watch.wait().unwrap().code(), Some(0));

    let table = mesh.breakers(&[]);
    assert_eq!(table.status.code(), Some(3), "{}", text(&table.stderr));
    let rows: Vec<Vec<&str>> =
        text(&table.stdout).lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[1][..6], ["default/caller", "target", "default/api:80", "-", "open", "1"], "{rows:?}");

    let json = weft().args(["breakers", "-o", "json", "--proxy", &mesh.caller.to_string()]).output().unwrap();
    assert_eq!(json.status.code(), Some(3));
    let json: Value = serde_json::from_slice(&json.stdout).unwrap();
    let first = &json["breakers"][0];
    assert_eq!(first["workload"], mesh.caller.to_string());
    assert_eq!((&first["state"], &first["scope"]), (&"open".into(), &"target".into()));
    assert_eq!((&first["trips"]["byReason"]["consecutive"], &first["limit"]), (&1.into(), &1024.into()));
    assert!(first["rejected"].as_u64().unwrap() >= 1, "{first}");

    let absent = free().to_string();
    let some = weft().args(["breakers", "--proxy", &mesh.caller.to_string(), &absent]).output().unwrap();
    assert_eq!(some.status.code(), Some(1));
    assert!(text(&some.stdout).contains("open"), "{}", text(&some.stdout));
    assert!(text(&some.stderr).contains(&absent), "{}", text(&some.stderr));
}

#[test]
fn closed_breakers_are_exit_code_0() {
    let mesh = Mesh::start();
    assert!(get(mesh.entrance).is_some());
    let output = weft().arg("breakers").current_dir(mesh.folder.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let stdout = text(&output.stdout);
    assert!(stdout.contains("closed") && stdout.contains("default/api:80"), "{stdout}");
    assert!(!stdout.contains('\u{1b}'), "colours in a pipe: {stdout:?}");
}

#[test]
fn a_command_line_that_names_nobody_is_exit_code_2() {
    let empty = TempDir::new().unwrap();
    for arguments in [&[][..], &["-o", "xml"], &["--proxy", "here"], &["-f", ".", "--proxy", "127.0.0.1:1"]] {
        let output = weft().arg("breakers").args(arguments).current_dir(empty.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output.stderr).contains("--proxy") || arguments.contains(&"xml"), "{arguments:?}");
    }
}
