//! A local mesh as people run it: processes that die, files that change, and the end of it all.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test that cannot go on fails")]

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tempfile::TempDir;

/// Whatever is waited for happens within this time, or the test fails.
const PATIENCE: Duration = Duration::from_mins(1);

/// A running `weft run` and its stderr, line by line.
struct Mesh {
    weft: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
    folder: TempDir,
    ambassador: SocketAddr,
    api: Child,
}

fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn wait_for<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = attempt() {
            return value;
        }
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        thread::yield_now();
    }
}

/// Status line and body of `GET path`.
fn get(address: SocketAddr, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: feelgood-api\r\nconnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

fn workload(name: &str, spec: &str) -> String {
    format!("apiVersion: local.weft.dev/v1alpha1\nkind: Workload\nmetadata:\n  name: {name}\nspec:\n{spec}")
}

fn services(inbound: SocketAddr) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata:\n  name: feelgood-api\nspec:\n  ports:\n    - name: http\n      port: 80\n---\n\
         apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n  name: feelgood-api\n  labels:\n    \
         kubernetes.io/service-name: feelgood-api\naddressType: IPv4\nports:\n  - name: http\n    port: {}\nendpoints:\n  \
         - addresses: [127.0.0.1]\n    targetRef: {{kind: Workload, name: feelgood-api}}\n",
        inbound.port()
    )
}

impl Mesh {
    /// An API that never fails, and a frontend's sidecar that leads to it.
    fn start() -> Self {
        let [api, inbound, ambassador, admin_a, admin_b, control_plane, admin] =
            std::array::from_fn(|_| free());
        let weft = env!("CARGO_BIN_EXE_weft");
        let api_process = Command::new(weft)
            .args([
                "sample",
                "--with-parent",
                "feelgood-api",
                "--failure-rate",
                "0",
                "--listen",
                &api.to_string(),
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let folder = TempDir::new().unwrap();
        let files = folder.path().join("files");
        fs::create_dir(&files).unwrap();
        let api_spec =
            format!("  inbound:\n    - port: {}\n      app: {api}\n  admin: {admin_a}\n", inbound.port());
        let frontend_spec = format!(
            "  outbound:\n    - listen: {ambassador}\n      service: feelgood-api\n      port: 80\n  admin: {admin_b}\n"
        );
        let mesh =
            [services(inbound), workload("feelgood-api", &api_spec), workload("frontend", &frontend_spec)];
        fs::write(files.join("mesh.yaml"), mesh.join("---\n")).unwrap();
        let mut weft = Command::new(weft)
            .args(["run", "-f", files.to_str().unwrap(), "--control-plane", &control_plane.to_string()])
            .args(["--control-plane-admin", &admin.to_string()])
            .args(["--state", folder.path().join("state").to_str().unwrap()])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(weft.stderr.take().unwrap());
        let (sender, lines) = channel();
        thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let mut mesh = Self { weft, lines, seen: Vec::new(), folder, ambassador, api: api_process };
        mesh.says("everything is ready");
        mesh.answers();
        mesh
    }

    /// Waits for a line with this in it, and returns the line.
    fn says(&mut self, part: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if line.contains(part) {
                        return line;
                    }
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("`{part}` was never said; said was: {:#?}", self.seen)
                }
            }
        }
    }

    /// Waits until a request through both sidecars is answered by the API.
    fn answers(&self) {
        let fine = |answer: &String| answer.starts_with("HTTP/1.1 200");
        wait_for("an answer through the mesh", || get(self.ambassador, "/goodvibes").filter(fine));
    }

    /// Id of a process, from the last line that told of its start.
    fn pid(&self, process: &str) -> Pid {
        let start = format!("{process} started, pid ");
        let pid = self.seen.iter().rev().find_map(|line| line.strip_prefix(&start)).unwrap();
        Pid::from_raw(pid.parse().unwrap()).unwrap()
    }

    fn files(&self) -> PathBuf {
        self.folder.path().join("files")
    }

    fn ends(&mut self) -> ExitStatus {
        wait_for("the end of weft", || self.weft.try_wait().unwrap())
    }
}

impl Drop for Mesh {
    fn drop(&mut self) {
        // What ended already cannot be killed; what did not must not outlive a test that failed.
        let _ = self.weft.kill();
        let _ = self.weft.wait();
        let _ = self.api.kill();
        let _ = self.api.wait();
    }
}

fn is_alive(pid: Pid) -> bool {
    test_kill_process(pid).is_ok()
}

#[test]
fn traffic_flows_while_the_control_plane_is_dead_and_it_comes_back() {
    let mut mesh = Mesh::start();
    let before = mesh.pid("control-plane");
    kill_process(before, Signal::KILL).unwrap();
    mesh.says("control-plane ended: signal: 9");
    assert!(get(mesh.ambassador, "/goodvibes").unwrap().starts_with("HTTP/1.1 200"));
    mesh.says("control-plane started");
    assert_ne!(mesh.pid("control-plane"), before);
    // It is up to date again once it refuses what is wrong now.
    fs::write(mesh.files().join("broken.yaml"), "kind: [").unwrap();
    mesh.says("broken.yaml:1");
    fs::remove_file(mesh.files().join("broken.yaml")).unwrap();
    mesh.says("mended:");
    mesh.answers();
}

#[test]
fn sidecars_come_and_go_with_their_workloads() {
    let mut mesh = Mesh::start();
    let [admin, listen] = [free(), free()];
    let worker = |admin: SocketAddr| {
        let outbound = format!("  outbound: [{{listen: \"{listen}\", service: feelgood-api, port: 80}}]\n");
        workload("worker", &format!("{outbound}  admin: {admin}\n"))
    };
    let file = mesh.files().join("more.yaml");
    fs::write(&file, worker(admin)).unwrap();
    mesh.says("worker-proxy is ready");
    assert!(get(admin, "/ready").unwrap().starts_with("HTTP/1.1 200"));
    let before = mesh.pid("worker-proxy");

    let moved = free();
    fs::write(&file, worker(moved)).unwrap();
    mesh.says("worker-proxy is ready");
    assert!(get(moved, "/ready").unwrap().starts_with("HTTP/1.1 200"));
    assert!(!is_alive(before));

    fs::remove_file(&file).unwrap();
    mesh.says("worker-proxy stopped");
    assert!(get(moved, "/ready").is_none());
    mesh.answers();
}

#[test]
fn a_signal_ends_everything_and_is_exit_code_0() {
    let mut mesh = Mesh::start();
    let children = ["control-plane", "frontend-proxy", "feelgood-api-proxy"].map(|name| mesh.pid(name));
    kill_process(Pid::from_child(&mesh.weft), Signal::TERM).unwrap();
    assert_eq!(mesh.ends().code(), Some(0));
    assert!(children.iter().all(|child| !is_alive(*child)));
}

#[test]
fn nothing_is_left_behind_when_weft_itself_is_killed() {
    let mut mesh = Mesh::start();
    let children = ["control-plane", "frontend-proxy", "feelgood-api-proxy"].map(|name| mesh.pid(name));
    mesh.weft.kill().unwrap();
    mesh.ends();
    for child in children {
        wait_for("the end of a child without a parent", || (!is_alive(child)).then_some(()));
    }
}
