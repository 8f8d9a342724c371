//! A mesh of pods without Kubernetes: a node with a bridge, and on it pods that are network namespaces, each with the
//! redirect that `weft-proxy init` installs and a sidecar as user 2112. Service addresses need nobody who leads there:
//! the redirect takes the connections, and the sidecar knows what is meant. Only root may make them; dropped, they are
//! gone.

// Objects, as an API server would give them.
mod objects;

use std::{
    collections::BTreeMap,
    fs::{self, File, Permissions},
    io,
    net::{IpAddr, SocketAddr, TcpListener},
    os::{fd::AsRawFd, unix::fs::PermissionsExt},
    path::Path,
    process::{Command, Output, Stdio},
    thread,
    time::{Duration, SystemTime},
};

use rustix::process::Signal;
use serde_json::json;
use tempfile::TempDir;
use tokio::{net::TcpStream, runtime::Handle};
use weft_api::{
    bootstrap::{Bootstrap, ControlPlane, Transparent, Workload},
    names,
    object::DEFAULT_NAMESPACE,
};
use weft_identity::{
    authority::Authority,
    token::{LocalIssuer, Workload as Claim},
};
use weft_proxy::redirect;

use crate::{
    census::Census,
    client::{Connection, Version, request},
    namespace::{APP, FAR, Namespace},
    patience::until,
    process::Process,
    stranger::Stranger,
};

pub use objects::{Condition, PodPlan, ServicePlan};

/// Addresses of the node on its bridge. Others on it have the same ones less their last number.
const NODE: [&str; 2] = ["10.66.0.1", "fd66::1"];
/// Name of the control plane's process, which runs on the node.
const CONTROL_PLANE: &str = "control-plane";
const CONTROL_PLANE_ADMIN: u16 = 15014;
/// File with the roots of the mesh, for sidecars.
const ROOTS: &str = "roots.pem";
/// Life of a token: longer than any test.
const TOKEN_LIFETIME: Duration = Duration::from_hours(1);

/// A family of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both.
    pub const ALL: [Family; 2] = [Family::V4, Family::V6];
}

/// A node with its pods. If a test fails, the logs of all processes are shown.
pub struct Cluster {
    /// First, so that the processes end before their namespaces and their folder are removed.
    processes: BTreeMap<String, Process>,
    node: Namespace,
    pods: BTreeMap<&'static str, Namespace>,
    services: Vec<ServicePlan>,
    plans: Vec<PodPlan>,
    conditions: BTreeMap<&'static str, Condition>,
    folder: TempDir,
    issuer: LocalIssuer,
    programs: Programs,
}

/// What runs on the node and in the pods.
pub struct Programs {
    control_plane: Program,
    sidecar: Program,
}

/// An executable that is one of several programs, or one alone.
struct Program {
    /// Held open, so that users can start it that may not look into the folders above it.
    file: File,
    subcommand: Option<&'static str>,
}

impl Programs {
    /// Both from `weft`.
    pub fn weft(path: &str) -> Self {
        let [control_plane, sidecar] =
            ["control-plane", "proxy"].map(|name| Program { file: open(path), subcommand: Some(name) });
        Self { control_plane, sidecar }
    }

    /// `weft-control-plane` and `weft-proxy`, as they stand in images, out of a folder.
    pub fn in_folder(folder: &Path) -> Self {
        let [control_plane, sidecar] = ["weft-control-plane", "weft-proxy"].map(|name| {
            let path = folder.join(name).display().to_string();
            Program { file: open(&path), subcommand: None }
        });
        Self { control_plane, sidecar }
    }
}

impl Program {
    fn path(&self) -> String {
        format!("/proc/self/fd/{}", self.file.as_raw_fd())
    }

    /// What it is given beside its own arguments. Programs alone do not watch whoever started them.
    fn arguments<'a>(&self, own: [&'a str; 2]) -> Vec<&'a str> {
        let lifeline = self.subcommand.map(|_| "--with-parent");
        self.subcommand.into_iter().chain(own).chain(lifeline).collect()
    }
}

impl Cluster {
    /// Starts everything from `weft`, and waits until all sidecars are ready.
    pub async fn start(weft: &str, pods: Vec<PodPlan>, services: Vec<ServicePlan>) -> Self {
        Self::start_from(Programs::weft(weft), pods, services).await
    }

    /// The same from other executables.
    pub async fn start_from(programs: Programs, pods: Vec<PodPlan>, services: Vec<ServicePlan>) -> Self {
        let mut cluster = Self {
            processes: BTreeMap::new(),
            node: Namespace::make("node"),
            pods: BTreeMap::new(),
            services,
            conditions: pods.iter().map(|plan| (plan.name, first(plan))).collect(),
            plans: pods,
            folder: tempfile::tempdir().expect("a temporary folder can be made"),
            issuer: LocalIssuer::create().expect("there is randomness for a key"),
            programs,
        };
        cluster.lay_cables();
        cluster.write_objects();
        cluster.start_control_plane();
        cluster.until_ready(CONTROL_PLANE, at(NODE[0], CONTROL_PLANE_ADMIN)).await;
        cluster.hand_out_roots();
        let meshed: Vec<_> =
            cluster.plans.iter().filter(|plan| plan.meshed && !plan.later).cloned().collect();
        for plan in &meshed {
            cluster.start_sidecar(plan);
        }
        for plan in &meshed {
            cluster.until_sidecar_ready(plan.name).await;
        }
        cluster
    }

    /// The node, which is also where the kubelet and the world outside are.
    pub fn node(&self) -> &Namespace {
        &self.node
    }

    /// A pod.
    pub fn pod(&self, name: &str) -> &Namespace {
        self.pods.get(name).unwrap_or_else(|| panic!("there is no pod {name}"))
    }

    /// Address of a pod.
    pub fn address(&self, pod: &str, family: Family) -> IpAddr {
        let index = self.plans.iter().position(|plan| plan.name == pod);
        objects::pod_address(index.unwrap_or_else(|| panic!("there is no pod {pod}")), family)
    }

    /// Address of a service, which leads to its pods by the same family.
    pub fn service(&self, service: &str, family: Family) -> IpAddr {
        let index = self.services.iter().position(|plan| plan.name == service);
        objects::service_address(index.unwrap_or_else(|| panic!("there is no service {service}")), family)
    }

    /// Listens in a pod on all addresses of both families, as its application.
    pub fn listen(&self, pod: &str, port: u16) -> TcpListener {
        let listener = self.pod(pod).run_as(APP, || TcpListener::bind(("::", port)));
        listener.unwrap_or_else(|error| panic!("port {port} in {pod}: {error}"))
    }

    /// Connects from a pod, as its application.
    pub fn connect(&self, pod: &str, to: SocketAddr) -> io::Result<TcpStream> {
        from(self.pod(pod), to)
    }

    /// Connects from the node, as the kubelet does.
    pub fn connect_from_node(&self, to: SocketAddr) -> io::Result<TcpStream> {
        from(&self.node, to)
    }

    /// Starts a program in a pod that goes on running. It ends with the cluster.
    pub fn spawn(&mut self, pod: &'static str, name: &str, program: &str, arguments: &[&str]) {
        let log = self.folder.path().join(format!("{name}.log"));
        let (handle, namespace) = (Handle::current(), self.pod(pod));
        let process = namespace.run(|| {
            let _runtime = handle.enter();
            Process::start(name, program, arguments, &log, &log)
        });
        self.processes.insert(name.to_owned(), process);
    }

    /// Runs a program in a pod to its end, with `input`.
    pub async fn run(&self, pod: &str, program: &str, arguments: &[&str], input: Vec<u8>) -> Output {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = self.pod(pod).run(|| command.spawn());
        let mut child = child.unwrap_or_else(|error| panic!("{program}: {error}"));
        // Two pipes that are full at once would wait for each other.
        let stdin = child.stdin.take();
        let writer = thread::spawn(move || stdin.map(|mut stdin| io::Write::write_all(&mut stdin, &input)));
        let ended = tokio::task::spawn_blocking(move || child.wait_with_output()).await;
        // Who has not read its input to the end says why in its output.
        let _ = writer.join();
        ended.expect("waiting does not panic").unwrap_or_else(|error| panic!("{program}: {error}"))
    }

    /// From now on the EndpointSlices of all services say this of a pod.
    pub fn condition(&mut self, pod: &'static str, condition: Condition) {
        self.conditions.insert(pod, condition);
        self.write_services();
    }

    /// The roots of the mesh, in PEM.
    pub fn roots(&self) -> String {
        let path = self.folder.path().join(ROOTS);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Somebody with a certificate for `id` from the authority of the mesh.
    pub fn member(&self, id: &str) -> Stranger {
        let read = |name: &str| {
            let path = self.folder.path().join("authority").join(name);
            fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        };
        let trust_domain = names::DEFAULT_TRUST_DOMAIN.parse().expect("the default is a trust domain");
        let authority = Authority::load(trust_domain, &read("ca.crt"), &read("ca.key"));
        Stranger::certified(&self.roots(), &authority.expect("the control plane wrote it"), id)
    }

    /// What the sidecar of a pod logged.
    pub fn log(&self, pod: &str) -> String {
        self.processes.get(pod).unwrap_or_else(|| panic!("{pod} has no sidecar")).log()
    }

    /// What the sidecar of a pod holds.
    pub fn census(&self, pod: &str) -> Census {
        let process = self.processes.get(pod).unwrap_or_else(|| panic!("{pod} has no sidecar"));
        Census::of(process.pid())
    }

    /// The process of a pod's sidecar.
    pub fn sidecar(&mut self, pod: &str) -> &mut Process {
        self.processes.get_mut(pod).unwrap_or_else(|| panic!("{pod} has no sidecar"))
    }

    /// Asks the sidecar of a pod to end, and waits until it has.
    pub async fn end_sidecar(&mut self, pod: &str) {
        let sidecar = self.sidecar(pod);
        sidecar.signal(Signal::TERM);
        let status = sidecar.end().await;
        assert!(status.success(), "the sidecar of {pod} ended with {status}");
    }

    /// Starts the sidecar of a pod that comes later, or again one that has ended.
    pub fn restart_sidecar(&mut self, pod: &str) {
        let plan = self.plans.iter().find(|plan| plan.name == pod).cloned();
        self.start_sidecar(&plan.unwrap_or_else(|| panic!("there is no pod {pod}")));
    }

    /// Waits until a pod's sidecar says that it is ready.
    pub async fn until_sidecar_ready(&self, pod: &str) {
        self.until_ready(pod, SocketAddr::new(self.address(pod, Family::V4), names::ADMIN_PORT)).await;
    }

    /// Writes another file of objects, or another text of one.
    pub fn write(&self, file: &str, text: &str) {
        // Under a hidden name first, so that nobody reads half of it.
        let files = self.folder.path().join("files");
        let hidden = files.join(format!(".{file}"));
        write(&hidden, text);
        fs::rename(&hidden, files.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
    }

    /// The access log of a sidecar: every line so far, whole ones only.
    pub fn access_log(&self, pod: &str) -> Vec<serde_json::Value> {
        let path = self.folder.path().join(format!("{pod}.access.jsonl"));
        let text = fs::read_to_string(path).unwrap_or_default();
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let lines = whole.lines().map(serde_json::from_str);
        lines.map(|line| line.unwrap_or_else(|error| panic!("access log of {pod}: {error}"))).collect()
    }

    /// The node's bridge, and a cable from it to each pod.
    fn lay_cables(&mut self) {
        self.node.ip("link set lo up");
        self.node.ip("link add br0 type bridge forward_delay 0");
        self.node.ip("link set br0 up");
        self.node.ip(&format!("address add {}/24 dev br0", NODE[0]));
        self.node.ip(&format!("address add {}/64 dev br0 nodad", NODE[1]));
        for address in FAR {
            self.node.ip(&format!("address add {address} dev lo"));
        }
        for (index, plan) in self.plans.iter().enumerate() {
            let pod = Namespace::make(plan.name);
            self.node.ip(&format!("link add pod{index} type veth peer name eth0 netns {}", pod.name()));
            self.node.ip(&format!("link set pod{index} master br0 up"));
            pod.ip("link set lo up");
            pod.ip("link set eth0 up");
            pod.ip(&format!("address add {}/24 dev eth0", objects::pod_address(index, Family::V4)));
            pod.ip(&format!("address add {}/64 dev eth0 nodad", objects::pod_address(index, Family::V6)));
            pod.ip(&format!("route add default via {}", NODE[0]));
            pod.ip(&format!("-6 route add default via {}", NODE[1]));
            if plan.meshed {
                let done = pod.run(|| redirect::init(&[]));
                done.unwrap_or_else(|error| panic!("weft-proxy init in {}: {error}", plan.name));
            }
            self.pods.insert(plan.name, pod);
        }
    }

    /// For all users: sidecars run as one of their own.
    fn write_objects(&self) {
        let root = self.folder.path();
        open_to_all(root);
        let files = root.join("files");
        fs::create_dir(&files).unwrap_or_else(|error| panic!("{}: {error}", files.display()));
        for (index, plan) in self.plans.iter().enumerate() {
            write(&files.join(format!("pod-{}.yaml", plan.name)), &plan.document(index));
        }
        self.write_services();
    }

    fn write_services(&self) {
        let condition = |pod: &str| self.conditions[pod];
        for (index, plan) in self.services.iter().enumerate() {
            let documents = plan.documents(index, &self.plans, condition);
            self.write(&format!("service-{}.yaml", plan.name), &documents);
        }
    }

    fn start_control_plane(&mut self) {
        let root = self.folder.path();
        let (public_key, authority) = (root.join("tokens.pub"), root.join("authority"));
        write(&public_key, &self.issuer.public_key_pem());
        fs::create_dir(&authority).unwrap_or_else(|error| panic!("{}: {error}", authority.display()));
        let config = json!({
            "listen": at(NODE[0], names::XDS_PORT),
            "admin": at(NODE[0], CONTROL_PLANE_ADMIN),
            "source": { "directory": root.join("files") },
            "authority": { "directory": authority },
            "authentication": { "localIssuer": { "publicKey": public_key } },
        });
        let path = root.join("control-plane.json");
        write(&path, &config.to_string());
        let arguments = ["--config", &path.display().to_string()];
        let process = self.process(&self.node, None, CONTROL_PLANE, &self.programs.control_plane, arguments);
        self.processes.insert(CONTROL_PLANE.to_owned(), process);
    }

    fn hand_out_roots(&self) {
        let root = self.folder.path();
        let bundle = root.join("authority").join("bundle.pem");
        let roots =
            fs::read_to_string(&bundle).unwrap_or_else(|error| panic!("{}: {error}", bundle.display()));
        write(&root.join(ROOTS), &roots);
    }

    fn start_sidecar(&mut self, plan: &PodPlan) {
        let root = self.folder.path();
        let account = plan.account();
        let claim = Claim {
            namespace: DEFAULT_NAMESPACE.to_owned(),
            service_account: account.clone(),
            pod: plan.name.to_owned(),
            pod_uid: plan.name.to_owned(),
        };
        let issued = self.issuer.issue(&claim, names::TOKEN_AUDIENCE, TOKEN_LIFETIME, SystemTime::now());
        let token = root.join(format!("{}.token", plan.name));
        write(&token, &issued.expect("the issuer's key can sign"));
        let trust_domain = names::DEFAULT_TRUST_DOMAIN;
        let (system, control_plane_account) = (names::SYSTEM_NAMESPACE, names::CONTROL_PLANE_ACCOUNT);
        let bootstrap = Bootstrap {
            workload: Workload {
                namespace: DEFAULT_NAMESPACE.to_owned(),
                name: plan.name.to_owned(),
                service_account: account,
                service: None,
                zone: None,
            },
            trust_domain: trust_domain.to_owned(),
            control_plane: ControlPlane {
                address: at(NODE[0], names::XDS_PORT).to_string(),
                identity: format!("spiffe://{trust_domain}/ns/{system}/sa/{control_plane_account}"),
                trust_bundle: root.join(ROOTS),
                token,
            },
            admin: at("0.0.0.0", names::ADMIN_PORT),
            inbound: Vec::new(),
            outbound: Vec::new(),
            transparent: Some(Transparent {
                outbound_policy: plan.outbound_policy,
                ..Transparent::default()
            }),
            workers: Some(1),
            memory_limit: None,
            mesh_http: plan.mesh_http,
            access_log: plan.access_log,
            tracing: None,
            drain: weft_api::Duration::from_secs(5),
        };
        let path = root.join(format!("{}.json", plan.name));
        write(&path, &serde_json::to_string(&bootstrap).expect("a bootstrap is JSON"));
        let (pod, uid) = (self.pod(plan.name), Some(names::PROXY_UID));
        let arguments = ["--bootstrap", &path.display().to_string()];
        let process = self.process(pod, uid, plan.name, &self.programs.sidecar, arguments);
        self.processes.insert(plan.name.to_owned(), process);
    }

    /// Starts a program under test in a namespace, as a user.
    fn process(
        &self,
        namespace: &Namespace,
        uid: Option<u32>,
        name: &str,
        program: &Program,
        arguments: [&str; 2],
    ) -> Process {
        let (path, arguments) = (program.path(), program.arguments(arguments));
        let files = ["access.jsonl", "log"].map(|end| self.folder.path().join(format!("{name}.{end}")));
        for file in &files {
            write(file, "");
        }
        let handle = Handle::current();
        let start = || {
            let _runtime = handle.enter();
            Process::start(name, &path, &arguments, &files[0], &files[1])
        };
        match uid {
            Some(uid) => namespace.run_as(uid, start),
            None => namespace.run(start),
        }
    }

    async fn until_ready(&self, name: &str, admin: SocketAddr) {
        until(&format!("{name} is ready"), async || {
            let stream = self.connect_from_node(admin).ok()?;
            let mut connection = Connection::over(stream, Version::Http1).await.ok()?;
            let answer = connection.send(request(http::Method::GET, "/ready")).await.ok()?;
            answer.status.is_success().then_some(())
        })
        .await;
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if !thread::panicking() {
            return;
        }
        for process in self.processes.values() {
            eprintln!("{}", process.last_words());
        }
        for plan in self.plans.iter().filter(|plan| plan.meshed) {
            let lines = self.access_log(plan.name);
            let last = &lines[lines.len().saturating_sub(3)..];
            eprintln!("--- last access of {}: {}", plan.name, serde_json::Value::from(last.to_vec()));
        }
    }
}

/// What is said of a pod at first.
fn first(plan: &PodPlan) -> Condition {
    if plan.later { Condition::Starting } else { Condition::Ready }
}

fn from(namespace: &Namespace, to: SocketAddr) -> io::Result<TcpStream> {
    let stream = namespace.connect(APP, to)?;
    stream.set_nonblocking(true)?;
    stream.set_nodelay(true)?;
    TcpStream::from_std(stream)
}

fn at(address: &str, port: u16) -> SocketAddr {
    SocketAddr::new(address.parse().unwrap_or_else(|error| panic!("{address}: {error}")), port)
}

fn open(path: &str) -> File {
    File::open(path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Writes a file that everybody may read and write.
fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    open_to_all(path);
}

fn open_to_all(path: &Path) {
    let opened = fs::set_permissions(path, Permissions::from_mode(0o777));
    opened.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}
