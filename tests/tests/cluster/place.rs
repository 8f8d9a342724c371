//! A namespace of the cluster that a test has for itself, and what is done there.

use std::{
    io::{self, BufRead, BufReader, Write},
    process::{Child, Command, Stdio},
    thread,
};

use serde_json::Value;
use weft_samples::caller::Account;
use weft_tests::{
    capture::{Capture, Captured},
    cluster::eventually,
    metrics::Metrics,
    patience::PATIENCE,
};

use crate::cluster;

/// Where programs of the mesh serve metrics: it is never redirected.
const ADMIN_PORT: u16 = 4191;

/// An API that never fails, and its Service.
const API: &str = r#"
apiVersion: v1
kind: Service
metadata: {name: api}
spec:
  selector: {app: api}
  ports: [{name: http, port: 80, targetPort: 8080}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: api}
spec:
  replicas: REPLICAS
  selector: {matchLabels: {app: api}}
  template:
    metadata: {labels: {app: api}}
    spec:
      topologySpreadConstraints:
        - {maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: ScheduleAnyway, labelSelector: {matchLabels: {app: api}}}
      containers:
        - name: api
          image: localhost/weft/samples:0.1.0
          command: [/feelgood-api, --listen, "0.0.0.0:8080", --failure-rate, "0"]
          readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}
"#;

/// A namespace. Dropped, it goes, and all that is in it.
pub(crate) struct Place {
    /// Its name.
    pub(crate) name: &'static str,
}

impl Place {
    /// Makes a namespace whose pods stay as they are.
    pub(crate) fn plain(name: &'static str) -> Self {
        // What an earlier run left behind: it ended before it could remove it.
        kubectl(&["delete", "namespace", name, "--ignore-not-found", "--timeout=120s"]);
        kubectl(&["create", "namespace", name]);
        Self { name }
    }

    /// Makes a namespace whose pods are of the mesh.
    pub(crate) fn meshed(name: &'static str) -> Self {
        let place = Self::plain(name);
        place.mesh();
        place
    }

    /// Pods that are made from now on are of the mesh.
    pub(crate) fn mesh(&self) {
        kubectl(&["label", "namespace", self.name, "weft.dev/inject=enabled"]);
    }

    /// Annotates the namespace: `key=value`.
    pub(crate) fn annotate(&self, annotation: &str) {
        kubectl(&["annotate", "namespace", self.name, annotation]);
    }

    /// Runs `kubectl` there. It must succeed.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> String {
        self.try_kubectl(arguments).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Runs `kubectl` there. What it says where it fails is the error.
    pub(crate) fn try_kubectl(&self, arguments: &[&str]) -> Result<String, String> {
        let all: Vec<&str> = ["--namespace", self.name].iter().chain(arguments).copied().collect();
        try_kubectl(&all)
    }

    /// Has an API that never fails, `api`, on so many pods.
    pub(crate) fn serve_api(&self, replicas: u32) {
        self.apply(&API.replace("REPLICAS", &replicas.to_string()));
    }

    /// Applies objects, in YAML or JSON.
    pub(crate) fn apply(&self, objects: &str) {
        self.try_apply(objects, &["apply", "-f", "-"]).unwrap_or_else(|error| panic!("{error}"));
    }

    /// Runs `kubectl` there with objects on its stdin.
    pub(crate) fn try_apply(&self, objects: &str, arguments: &[&str]) -> Result<String, String> {
        run(command("kubectl").args(["--namespace", self.name]).args(arguments), objects)
    }

    /// Waits until all pods of these workloads (`deployment/api`) are the newest, and ready.
    pub(crate) fn settled(&self, workloads: &[&str]) {
        for workload in workloads {
            let rolled = self.try_kubectl(&["rollout", "status", workload, "--timeout=120s"]);
            if let Err(error) = rolled {
                panic!("{error}\n{}", self.state());
            }
        }
    }

    /// Makes all pods of a workload anew.
    pub(crate) fn restart(&self, workload: &str) {
        self.kubectl(&["rollout", "restart", workload]);
        self.settled(&[workload]);
    }

    /// An object as JSON.
    pub(crate) fn get(&self, what: &str) -> Value {
        let text = self.kubectl(&["get", what, "-o", "json"]);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{what}: {error}: {text}"))
    }

    /// The pods with the label `app: <app>` that are not being removed.
    pub(crate) fn pods(&self, app: &str) -> Vec<Value> {
        let text = self.kubectl(&["get", "pods", "-l", &format!("app={app}"), "-o", "json"]);
        let list: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        let pods = list["items"].as_array().cloned().unwrap_or_default();
        pods.into_iter().filter(|pod| pod["metadata"]["deletionTimestamp"].is_null()).collect()
    }

    /// The only pod with this label.
    pub(crate) fn pod(&self, app: &str) -> Value {
        let mut pods = self.pods(app);
        assert_eq!(pods.len(), 1, "pods of {app}\n{}", self.state());
        pods.remove(0)
    }

    /// What its sidecar tells of itself.
    pub(crate) fn metrics(&self, app: &str) -> Metrics {
        metrics_of(&self.pod(app))
    }

    /// Runs a program in the first container of a workload. It must succeed.
    pub(crate) fn exec(&self, workload: &str, program: &[&str]) -> String {
        self.try_exec(workload, program).unwrap_or_else(|error| panic!("{error}\n{}", self.state()))
    }

    /// Runs a program in the first container of a workload.
    pub(crate) fn try_exec(&self, workload: &str, program: &[&str]) -> Result<String, String> {
        let all: Vec<&str> = ["exec", workload, "--"].iter().chain(program).copied().collect();
        self.try_kubectl(&all)
    }

    /// Has the workload call `url`, so many times a second and so many times in all, and tell how it went. Answers that
    /// hold `marked` are counted.
    pub(crate) fn call(&self, workload: &str, url: &str, rate: u32, requests: u64, marked: &str) -> Account {
        let (rate, requests) = (rate.to_string(), requests.to_string());
        let program = ["/caller", url, "--rate", &rate, "--requests", &requests, "--marked", marked];
        let told = self.exec(workload, &program);
        serde_json::from_str(&told).unwrap_or_else(|error| panic!("{error}: {told}"))
    }

    /// What a container of a workload has logged.
    pub(crate) fn logs(&self, workload: &str, container: &str) -> String {
        self.kubectl(&["logs", workload, "-c", container, "--tail=-1"])
    }

    /// Forwards a port of the cluster's machine to a port of a workload.
    pub(crate) fn forward(&self, workload: &str, port: u16) -> Forward {
        let mut forward = command("kubectl");
        forward.args(["--namespace", self.name, "port-forward", workload, &format!(":{port}")]);
        Forward::start(forward)
    }

    /// What is there, for somebody who must find out what went wrong.
    pub(crate) fn state(&self) -> String {
        let pods = self.try_kubectl(&["get", "pods", "-o", "wide"]);
        let events = self.try_kubectl(&["get", "events", "--sort-by=.lastTimestamp"]);
        [pods, events].map(|told| told.unwrap_or_else(|error| error)).join("\n")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // One that failed stays to be looked at, until the test runs again.
        if !thread::panicking() {
            let _ = try_kubectl(&["delete", "namespace", self.name, "--wait=false"]);
        }
    }
}

/// A forwarded port. Dropped, it is closed.
pub(crate) struct Forward {
    child: Child,
    address: String,
}

impl Forward {
    fn start(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().expect("kubectl can be started");
        let mut stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("kubectl's output can be read");
        // It says a word for each connection, and ends where nobody hears it.
        thread::spawn(move || io::copy(&mut stdout, &mut io::sink()));
        let address = line.strip_prefix("Forwarding from ").and_then(|rest| rest.split(' ').next());
        let address = address.unwrap_or_else(|| panic!("kubectl port-forward says: {line}")).to_owned();
        Self { child, address }
    }

    /// `GET path`.
    pub(crate) fn get(&self, path: &str) -> String {
        curl(&[&self.url(path)])
    }

    /// `POST path`.
    pub(crate) fn post(&self, path: &str) {
        curl(&["-X", "POST", &self.url(path)]);
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A program that reaches the cluster and its pods.
pub(crate) fn command(program: &str) -> Command {
    cluster().command(program).unwrap_or_else(|error| panic!("{error:#}"))
}

/// Runs `kubectl`. It must succeed.
pub(crate) fn kubectl(arguments: &[&str]) -> String {
    try_kubectl(arguments).unwrap_or_else(|error| panic!("{error}"))
}

/// Runs `kubectl`. What it says where it fails is the error.
pub(crate) fn try_kubectl(arguments: &[&str]) -> Result<String, String> {
    run(command("kubectl").args(arguments), "")
}

/// Asks over HTTP, from the first node. There must be an answer.
pub(crate) fn curl(arguments: &[&str]) -> String {
    let asked = run(command("curl").args(["-sS", "--max-time", "10"]).args(arguments), "");
    asked.unwrap_or_else(|error| panic!("{error}"))
}

/// What a program of the mesh in this pod tells of itself.
pub(crate) fn metrics_of(pod: &Value) -> Metrics {
    let ip = pod["status"]["podIP"].as_str().unwrap_or_else(|| panic!("a pod without an address: {pod}"));
    Metrics::read(curl(&[&format!("http://{ip}:{ADMIN_PORT}/metrics")]))
}

/// Whether a pod got a sidecar.
pub(crate) fn is_injected(pod: &Value) -> bool {
    let containers = pod["spec"]["initContainers"].as_array();
    containers.is_some_and(|them| them.iter().any(|it| it["name"] == "weft-proxy"))
}

/// Reads what passes through the networks of all nodes; `None` where that is not ours to read.
pub(crate) fn listen_in() -> Option<Eavesdropper> {
    if cluster().is_given() {
        crate::skipped("the network of somebody else's nodes cannot be read");
        return None;
    }
    let nodes = cluster().nodes().unwrap_or_else(|error| panic!("{error:#}"));
    let capture = |node: &String| cluster().within_node(node, Capture::start).and_then(|it| Ok(it?));
    let captures = nodes.iter().map(|node| capture(node).unwrap_or_else(|error| panic!("{node}: {error:#}")));
    Some(Eavesdropper(captures.collect()))
}

/// Somebody who reads along on every node.
pub(crate) struct Eavesdropper(Vec<Capture>);

impl Eavesdropper {
    /// Stops, and gives out what was read.
    pub(crate) fn finish(self) -> Captured {
        self.0.into_iter().map(Capture::finish).fold(Captured::default(), Captured::and)
    }
}

/// Runs a command with `input` on its stdin, and returns what it printed; its complaint, if it fails.
pub(crate) fn run(command: &mut Command, input: &str) -> Result<String, String> {
    let shown = format!("{command:?}");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("{shown}: {error}"))?;
    let stdin = child.stdin.take();
    // A program that fails early reads no further: how it ends says more than that.
    let _ = stdin.map(|mut stdin| stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().map_err(|error| format!("{shown}: {error}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(format!("{shown}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr)))
    }
}

/// Looks again and again until `look` finds something. Panics after [`PATIENCE`], naming `what` did not happen.
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    eventually(what, PATIENCE, || Ok(look()))
}
