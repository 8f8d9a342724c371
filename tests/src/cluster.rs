//! A real Kubernetes: API server, kubelets and pods, in namespaces of this machine that nothing leads out of; or the
//! cluster that `KUBECONFIG` names.
//!
//! It is there for people (`cargo run -p weft-tests --bin cluster -- up`) and for tests, who share one. What goes wrong
//! is an error with its reason: what a missing cluster means is for its user to say.

// What the machine must have, and who keeps the cluster there.
mod needs;
mod keeper;
// The parts, which run in namespaces: a node uses flags like the control plane's.
mod node;
mod control_plane;
mod cgroup;
// Who is who.
mod certificates;
// Processes in namespaces, and files.
mod inside;
mod folder;

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Mutex, OnceLock, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::Pid;

pub use self::keeper::{init, keep};
use self::{
    cgroup::Cgroup,
    folder::Folder,
    inside::{Inside, output, until},
    keeper::Lifeline,
    needs::pause_reference,
    node::Node,
};
use crate::{config, namespace};

/// Address of the control plane and of the first node, on the network between nodes.
const CONTROL_PLANE: &str = "10.99.0.1";
/// Address of the API server's Service: the first of its range.
const API_SERVICE: &str = "10.96.0.1";
/// Most nodes that a cluster may have: each has an address in one small network.
pub const NODES_MAX: u8 = 9;
/// How long a node may take until it is ready.
const NODE_START: Duration = Duration::from_mins(2);

/// How long controllers may take to find an API server that was away.
const CATCH_UP: Duration = Duration::from_mins(2);
/// Something that does nothing, and the controllers that look after it.
const FOLLOWED: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: followed}
spec:
  selector: {matchLabels: {app: followed}}
  template:
    metadata: {labels: {app: followed}}
    spec: {terminationGracePeriodSeconds: 0, containers: [{name: nothing, image: PAUSE}]}
---
apiVersion: v1
kind: Service
metadata: {name: followed}
spec: {selector: {app: followed}, ports: [{port: 80}]}
";

/// A cluster that runs.
pub struct Cluster {
    place: Place,
    /// Nodes are added one after the other.
    growing: Mutex<()>,
    _lifeline: Option<Lifeline>,
}

/// Where it runs.
enum Place {
    /// On this machine, in namespaces.
    Own(Folder),
    /// Somewhere, by the kubeconfig in the environment.
    Given(PathBuf),
}

impl Cluster {
    /// The cluster of all tests of this process, which is made by whoever asks first and ends with the process: one that
    /// `KUBECONFIG` names, or that is up, or a new one. `program` is the binary `cluster`.
    ///
    /// # Panics
    /// If there is none and none can be made.
    pub fn shared(program: &str) -> &'static Self {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(|| {
            let running = Self::running().and_then(|running| match running {
                Some(cluster) => Ok(cluster),
                None => Self::start(Path::new(program), 1, true),
            });
            running.unwrap_or_else(|error| panic!("there is no cluster for the tests: {error:#}"))
        })
    }

    /// The cluster that is there already.
    pub fn running() -> Result<Option<Self>> {
        if let Some(kubeconfig) = config::kubeconfig() {
            return Ok(Some(Self::at(Place::Given(kubeconfig))));
        }
        let folder = Folder::own()?;
        let is_up = folder.ready().exists() && Inside::find(&folder.run()).is_some();
        Ok(is_up.then(|| Self::at(Place::Own(folder))))
    }

    /// Makes a cluster on this machine. `program` is the binary `cluster`; `tied` lets it end with this process.
    pub fn start(program: &Path, nodes: u8, tied: bool) -> Result<Self> {
        needs::check()?;
        needs::build()?;
        let folder = Folder::own()?;
        told("images");
        needs::images(&folder)?;
        told("namespaces");
        let lifeline = keeper::start(&folder, program, tied)?;
        let cluster = Self { _lifeline: lifeline, ..Self::at(Place::Own(folder.clone())) };
        certificates::make(&folder)?;
        told("control plane");
        control_plane::start(&folder, cluster.inside()?)?;
        cluster.apply(control_plane::DNS_SERVICE)?;
        for _ in 0..nodes {
            cluster.add_node(program)?;
        }
        if !tied {
            fs::write(folder.ready(), "").with_context(|| folder.ready().display().to_string())?;
        }
        Ok(cluster)
    }

    /// Ends the cluster of this work tree and removes all of it, also what a crash has left. Returns whether one was up.
    pub fn stop() -> Result<bool> {
        keeper::stop(&Folder::own()?)
    }

    fn at(place: Place) -> Self {
        Self { place, growing: Mutex::new(()), _lifeline: None }
    }

    /// Whether it is one that was there already: it has what others put there, and its nodes are not ours.
    pub fn is_given(&self) -> bool {
        matches!(self.place, Place::Given(_))
    }

    /// Adds a node and waits until it is ready. Returns its name.
    pub fn add_node(&self, program: &Path) -> Result<String> {
        let _one_by_one = self.growing.lock().unwrap_or_else(PoisonError::into_inner);
        let (folder, inside) = (self.folder()?, self.inside()?);
        let free = (1..=NODES_MAX).map(|number| Node { number }).find(|node| node.inside(folder).is_none());
        let node = free.with_context(|| format!("there are {NODES_MAX} nodes, and no more"))?;
        let name = node.name();
        told(&format!("node {name}"));
        certificates::for_node(folder, &name)?;
        Cgroup::of(folder).make(&name)?;
        node.start(folder, inside, program, &folder.images()?)?;
        let condition = r#"jsonpath={.status.conditions[?(@.type=="Ready")].status}"#;
        until(&format!("node {name} is ready"), NODE_START, || {
            let status = self.kubectl(&["get", "node", &name, "-o", condition])?;
            Ok((status == "True").then_some(()))
        })
        .with_context(|| format!("its logs begin with {}", folder.log(&name).display()))?;
        Ok(name)
    }

    /// The names of its nodes.
    pub fn nodes(&self) -> Result<Vec<String>> {
        let names = self.kubectl(&["get", "nodes", "-o", "jsonpath={.items[*].metadata.name}"])?;
        Ok(names.split_whitespace().map(str::to_owned).collect())
    }

    /// Runs kubectl, which must succeed, and returns what it printed.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        output(self.command("kubectl")?.args(arguments))
    }

    /// Runs helm, which must succeed, and returns what it printed.
    pub fn helm(&self, arguments: &[&str]) -> Result<String> {
        output(self.command("helm")?.args(arguments))
    }

    /// Applies objects, as YAML.
    pub fn apply(&self, objects: &str) -> Result<String> {
        self.fed(&["apply", "-f", "-"], objects)
    }

    /// Runs kubectl with `input` for it to read.
    pub fn fed(&self, arguments: &[&str], input: &str) -> Result<String> {
        let mut kubectl = self.command("kubectl")?;
        kubectl.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = kubectl.spawn().context("kubectl cannot be started")?;
        let stdin = child.stdin.take();
        let written = stdin.map(|mut stdin| stdin.write_all(input.as_bytes()));
        let output = child.wait_with_output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "kubectl {}: {}", arguments.join(" "), said.trim());
        written.transpose().context("kubectl does not read what it is given")?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// A program with `kubectl` and `helm` in its path, which reaches the cluster and its pods: it runs in the network of
    /// the first node.
    pub fn command(&self, program: &str) -> Result<Command> {
        let Place::Own(folder) = &self.place else { return Ok(Command::new(program)) };
        // `nsenter` and not we looks for the program, and in the path that it is given.
        let mut command = self.inside()?.network(program);
        command.env("PATH", format!("{}:{}", folder.shims().display(), config::path()));
        command.env("KUBECONFIG", folder.kubeconfig("admin"));
        Ok(command)
    }

    /// The kubeconfig of whoever may do everything.
    pub fn kubeconfig(&self) -> PathBuf {
        match &self.place {
            Place::Own(folder) => folder.kubeconfig("admin"),
            Place::Given(path) => path.clone(),
        }
    }

    /// Calls `url` as curl does, with these arguments, from where the nodes are. It must succeed.
    pub fn curl(&self, arguments: &[&str]) -> Result<String> {
        output(self.command("curl")?.args(["--silent", "--show-error", "--fail"]).args(arguments))
    }

    /// Gives an image, as an OCI archive, to all nodes, also to those that come.
    pub fn give_image(&self, archive: &Path) -> Result<()> {
        let _one_by_one = self.growing.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = self.folder()?;
        let name = archive.file_name().with_context(|| format!("{} is no file", archive.display()))?;
        let kept = folder.given_images();
        fs::create_dir_all(&kept).with_context(|| kept.display().to_string())?;
        fs::copy(archive, kept.join(name)).with_context(|| archive.display().to_string())?;
        let nodes = (1..=NODES_MAX).filter_map(|number| Node { number }.inside(folder));
        nodes.into_iter().try_for_each(|node| node::import(node, archive))
    }

    /// A file of a node, as this machine finds it.
    pub fn node_path(&self, node: &str, path: &str) -> Result<PathBuf> {
        let inside =
            Inside::find(&self.folder()?.node(node)).with_context(|| format!("node {node} is not there"))?;
        Ok(inside.path(path).into())
    }

    /// Calls `act` in the network of a node, on a thread of its own.
    pub fn within_node<T: Send>(&self, node: &str, act: impl FnOnce() -> T + Send) -> Result<T> {
        let inside =
            Inside::find(&self.folder()?.node(node)).with_context(|| format!("node {node} is not there"))?;
        Ok(namespace::within(&network_of(inside.pid()), act))
    }

    /// Calls `act` in the network of a pod, on a thread of its own.
    pub fn within_pod<T: Send>(
        &self,
        namespace: &str,
        pod: &str,
        act: impl FnOnce() -> T + Send,
    ) -> Result<T> {
        Ok(namespace::within(&network_of(self.process_of(namespace, pod)?), act))
    }

    /// A process of a pod, numbered as this machine does: its network can be entered.
    pub fn process_of(&self, namespace: &str, pod: &str) -> Result<Pid> {
        let uid = self.kubectl(&["get", "pod", "-n", namespace, pod, "-o", "jsonpath={.metadata.uid}"])?;
        let process = Cgroup::of(self.folder()?).process_of(&uid);
        process.with_context(|| format!("no process of pod {namespace}/{pod} runs"))
    }

    /// Kills the API server.
    pub fn kill_api_server(&self) -> Result<()> {
        control_plane::kill_api_server(self.folder()?, self.inside()?)
    }

    /// Starts it again, and waits until it is ready and the controllers follow it again.
    pub fn start_api_server(&self) -> Result<()> {
        control_plane::start_api_server(self.folder()?, self.inside()?)?;
        self.controllers_follow()
    }

    /// Waits until controllers do their work: after a time without an API server each of them looks for it again when it
    /// pleases, and what is deleted and made anew by then is never missed.
    fn controllers_follow(&self) -> Result<()> {
        let of_it = |what: &str| self.kubectl(&["get", what, "-l", "app=followed", "-o", "name"]);
        let addresses = || {
            let path = "jsonpath={.items[*].endpoints[*].addresses}";
            let slices = ["get", "endpointslices", "-l", "kubernetes.io/service-name=followed", "-o", path];
            self.kubectl(&slices)
        };
        self.apply(&FOLLOWED.replace("PAUSE", &pause_reference()))?;
        until("a pod of a new Deployment is in the EndpointSlice of a new Service", CATCH_UP, || {
            Ok((!addresses()?.trim().is_empty()).then_some(()))
        })?;
        self.kubectl(&["delete", "deployment,service", "followed"])?;
        until("all of both has gone with them", CATCH_UP, || {
            let left = [of_it("replicasets")?, of_it("pods")?, addresses()?].concat();
            Ok(left.trim().is_empty().then_some(()))
        })
    }

    fn folder(&self) -> Result<&Folder> {
        match &self.place {
            Place::Own(folder) => Ok(folder),
            Place::Given(_) => bail!("the cluster is not of our own: KUBECONFIG names it"),
        }
    }

    /// The namespaces of the control plane.
    fn inside(&self) -> Result<Inside> {
        Inside::find(&self.folder()?.run()).context("the cluster has ended")
    }
}

/// The network namespace of a process.
fn network_of(process: Pid) -> PathBuf {
    format!("/proc/{}/ns/net", process.as_raw_nonzero()).into()
}

/// Looks again and again until `look` finds something, for at most `patience`. An error is not the end of it: it is told
/// if that was the last that was found.
///
/// # Panics
/// If that time is over.
pub fn eventually<T>(what: &str, patience: Duration, look: impl FnMut() -> Result<Option<T>>) -> T {
    until(what, patience, look).unwrap_or_else(|error| panic!("{error:#}"))
}

/// Tells what is made now, past the test harness, which keeps `eprintln!` to itself.
fn told(what: &str) {
    let _ = writeln!(std::io::stderr(), "cluster: {what}");
}
