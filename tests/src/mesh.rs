//! A mesh: its files, its control plane and its sidecars, each a process.

// What the control plane and each sidecar are told at start, by whoever starts them.
mod told;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    thread,
};

use rustix::process::{Pid, Signal};
use tempfile::TempDir;
use weft_api::names;

use self::told::Told;
use crate::{
    metrics::{Metrics, is_ready},
    patience::until,
    plan::{Layout, Plan},
    port,
    process::{self, Process},
};

/// Name of the control plane's process.
pub const CONTROL_PLANE: &str = "control-plane";
/// Name of the process that keeps the others, where there is one.
const RUN: &str = "run";

/// A mesh. Dropped, all of its processes end, and if a test fails their logs are shown.
pub struct Mesh {
    /// First, so that the processes end before their folder is removed.
    keeper: Keeper,
    folder: TempDir,
    program: String,
    layout: Layout,
    control_plane: SocketAddr,
    control_plane_admin: SocketAddr,
}

/// Who starts the processes, and keeps them.
enum Keeper {
    /// The test, each by itself; nobody starts them again.
    Test { told: Told, processes: BTreeMap<String, Process> },
    /// `weft run`.
    Run(Process),
}

impl Mesh {
    /// Starts the control plane and the sidecars one by one, and waits until all are ready.
    pub async fn start(program: &str, plan: &Plan) -> Self {
        let told = Told::new(plan);
        let mut mesh = Self::lay_out(program, plan, Keeper::Test { told, processes: BTreeMap::new() });
        mesh.restart(CONTROL_PLANE);
        mesh.until_ready(CONTROL_PLANE).await;
        for name in mesh.sidecars() {
            mesh.restart(&name);
        }
        mesh.until_all_ready().await;
        mesh
    }

    /// Lets `weft run` start everything, and waits until all are ready.
    pub async fn run(program: &str, plan: &Plan) -> Self {
        // Started in a folder that is there already, for its log.
        let folder = folder();
        let files = folder.path().join("files").display().to_string();
        let state = folder.path().join("state").display().to_string();
        let (control_plane, admin) = (port::free(), port::free());
        let arguments = [
            "run",
            "--file",
            &files,
            "--state",
            &state,
            "--control-plane",
            &control_plane.to_string(),
            "--control-plane-admin",
            &admin.to_string(),
        ];
        let layout = Layout::new(plan);
        write_files(folder.path(), &layout);
        let log = folder.path().join("run.log");
        let run = Process::start(RUN, program, &arguments, &log, &log);
        let mesh = Self {
            folder,
            program: program.to_owned(),
            layout,
            control_plane,
            control_plane_admin: admin,
            keeper: Keeper::Run(run),
        };
        mesh.until_ready(CONTROL_PLANE).await;
        mesh.until_all_ready().await;
        mesh
    }

    fn lay_out(program: &str, plan: &Plan, keeper: Keeper) -> Self {
        let mesh = Self {
            folder: folder(),
            program: program.to_owned(),
            layout: Layout::new(plan),
            control_plane: port::free(),
            control_plane_admin: port::free(),
            keeper,
        };
        write_files(mesh.folder.path(), &mesh.layout);
        mesh
    }

    /// Names of the processes of all sidecars.
    pub fn sidecars(&self) -> Vec<String> {
        self.layout.workloads.keys().map(|workload| sidecar(workload)).collect()
    }

    /// Where the caller reaches a service.
    pub fn entrance(&self, service: &str) -> SocketAddr {
        let entrance = self.layout.entrances.get(service);
        *entrance.unwrap_or_else(|| panic!("the plan has no service {service}"))
    }

    /// Where the application of `workload` reaches a service that it calls.
    pub fn exit(&self, workload: &str, service: &'static str) -> SocketAddr {
        let exit = self.layout.exits.get(&(workload.to_owned(), service));
        *exit.unwrap_or_else(|| panic!("the plan has no way from {workload} to {service}"))
    }

    /// Where peers enter a workload.
    pub fn inbound(&self, workload: &str) -> SocketAddr {
        let inbound = self.layout.workloads.get(workload).and_then(|spec| spec.inbound.first());
        let inbound = inbound.unwrap_or_else(|| panic!("the plan has no way into {workload}"));
        SocketAddr::new(inbound.address, inbound.port)
    }

    /// Where the control plane, or the sidecar of a workload, tells of itself.
    pub fn admin(&self, process: &str) -> SocketAddr {
        if process == CONTROL_PLANE {
            return self.control_plane_admin;
        }
        let of = |(workload, _): &(&String, _)| sidecar(workload) == process;
        let found = self.layout.workloads.iter().find(of);
        found.unwrap_or_else(|| panic!("the plan has no process {process}")).1.admin
    }

    /// The metrics of the control plane or a sidecar.
    pub async fn metrics(&self, process: &str) -> Metrics {
        let metrics = Metrics::of(self.admin(process)).await;
        metrics.unwrap_or_else(|error| panic!("metrics of {process}: {error:#}"))
    }

    /// The roots of the mesh, in PEM.
    pub fn roots(&self) -> String {
        self.read_state("authority/bundle.pem")
    }

    /// A file among those that the control plane keeps.
    pub fn read_state(&self, file: &str) -> String {
        let path = self.folder.path().join("state").join(file);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// The access log of a sidecar: every line so far, whole ones only.
    pub fn access_log(&self, process: &str) -> Vec<serde_json::Value> {
        let path = logs(self.folder.path()).join(format!("{process}.access.jsonl"));
        let text = fs::read_to_string(path).unwrap_or_default();
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let parse = |line| {
            serde_json::from_str(line)
                .unwrap_or_else(|error| panic!("access log of {process}: {error}: {line}"))
        };
        whole.lines().map(parse).collect()
    }

    /// What a process logged; under `weft run` what all of them did.
    pub fn log(&self, process: &str) -> String {
        match &self.keeper {
            Keeper::Run(run) => run.log(),
            Keeper::Test { processes, .. } => {
                processes.get(process).unwrap_or_else(|| panic!("there is no process {process}")).log()
            }
        }
    }

    /// Writes a file of the mesh in one step, as editors do.
    pub fn write(&self, file: &str, text: &str) {
        write(&self.folder.path().join("files"), file, text);
    }

    /// What a file of the mesh says.
    pub fn read(&self, file: &str) -> String {
        let path = self.folder.path().join("files").join(file);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Removes a file of the mesh.
    pub fn remove(&self, file: &str) {
        let path = self.folder.path().join("files").join(file);
        fs::remove_file(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    /// The number of a process, and under `weft run` of its present life.
    pub fn pid(&self, name: &str) -> Pid {
        match &self.keeper {
            Keeper::Test { processes, .. } => {
                processes.get(name).unwrap_or_else(|| panic!("there is no process {name}")).pid()
            }
            Keeper::Run(run) => {
                let log = run.log();
                let started = format!("{name} started, pid ");
                let last = log.lines().rev().find_map(|line| line.strip_prefix(&started)?.parse().ok());
                process::pid(last.unwrap_or_else(|| panic!("`weft run` did not say that it started {name}")))
            }
        }
    }

    /// Sends a signal to a process.
    pub fn signal(&self, name: &str, signal: Signal) {
        process::send(self.pid(name), signal);
    }

    /// A process that the test started.
    pub fn process(&mut self, name: &str) -> &mut Process {
        match &mut self.keeper {
            Keeper::Run(run) if name == RUN => run,
            Keeper::Test { processes, .. } => {
                processes.get_mut(name).unwrap_or_else(|| panic!("there is no process {name}"))
            }
            Keeper::Run(_) => panic!("{name} belongs to `weft run`"),
        }
    }

    /// `weft run` itself.
    pub fn keeper(&mut self) -> &mut Process {
        self.process(RUN)
    }

    /// Starts a process that has ended, or never ran.
    pub fn restart(&mut self, name: &str) {
        let Keeper::Test { told, processes } = &mut self.keeper else {
            panic!("{name} belongs to `weft run`")
        };
        let root = self.folder.path();
        let argument = if name == CONTROL_PLANE {
            told.control_plane(root, self.control_plane, self.control_plane_admin)
        } else {
            let of = |(workload, _): &(&String, _)| sidecar(workload) == name;
            let found = self.layout.workloads.iter().find(of);
            let (workload, spec) = found.unwrap_or_else(|| panic!("the plan has no process {name}"));
            told.sidecar(root, self.control_plane, workload, spec)
        };
        let argument = argument.display().to_string();
        let arguments = match name {
            CONTROL_PLANE => ["control-plane", "--config", &argument, "--with-parent"],
            _ => ["proxy", "--bootstrap", &argument, "--with-parent"],
        };
        let stdout = logs(root).join(format!("{name}.access.jsonl"));
        let log = logs(root).join(format!("{name}.log"));
        processes.insert(name.to_owned(), Process::start(name, &self.program, &arguments, &stdout, &log));
    }

    /// Waits until a process says that it is ready.
    pub async fn until_ready(&self, name: &str) {
        let admin = self.admin(name);
        until(&format!("{name} is ready"), async || is_ready(admin).await.then_some(())).await;
    }

    async fn until_all_ready(&self) {
        for name in self.sidecars() {
            self.until_ready(&name).await;
        }
    }
}

impl Drop for Mesh {
    fn drop(&mut self) {
        if !thread::panicking() {
            return;
        }
        let kept: Vec<&Process> = match &self.keeper {
            Keeper::Run(run) => vec![run],
            Keeper::Test { processes, .. } => processes.values().collect(),
        };
        for process in kept {
            eprintln!("{}", process.last_words());
        }
        let names: BTreeSet<String> = self.sidecars().into_iter().collect();
        for name in names {
            let lines = self.access_log(&name);
            let last = &lines[lines.len().saturating_sub(3)..];
            eprintln!("--- last access of {name}: {}", serde_json::Value::from(last.to_vec()));
        }
    }
}

/// Name of the process of a workload's sidecar.
pub fn sidecar(workload: &str) -> String {
    format!("{workload}-proxy")
}

/// Identity of a service account in the default namespace.
pub fn spiffe_id(account: &str) -> String {
    format!("spiffe://{}/ns/default/sa/{account}", names::DEFAULT_TRUST_DOMAIN)
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder can be made")
}

fn logs(root: &Path) -> PathBuf {
    root.join("state").join("logs")
}

fn write_files(root: &Path, layout: &Layout) {
    for folder in [root.join("files"), logs(root)] {
        fs::create_dir_all(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    }
    for (name, text) in &layout.files {
        write(&root.join("files"), name, text);
    }
}

/// Writes a file under a hidden name, and renames it: nobody reads half of it.
fn write(folder: &Path, file: &str, text: &str) {
    let hidden = folder.join(format!(".{file}"));
    let written = fs::write(&hidden, text).and_then(|()| fs::rename(&hidden, folder.join(file)));
    written.unwrap_or_else(|error| panic!("{file}: {error}"));
}
