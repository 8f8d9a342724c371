//! CNI mode as a node meets it: the real plugin, called the way container runtimes call it, and the real agent, with an
//! API server that knows what the test says.

// How the plugin comes into the chain and out of it, and what it answers.
mod agent;
// What becomes of a pod's connections. Needs root.
mod redirect;

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixListener,
    path::{Path, PathBuf},
    process::Stdio,
    sync::mpsc,
    thread,
};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{io::AsyncWriteExt, process::Command};
use weft_cni::{
    agent::Agent,
    config::Settings,
    folders::Folders,
    question::{Answer, Question, SOCKET},
};
use weft_runtime::{Readiness, Shutdown, Tasks, shutdown::Trigger};
use weft_tests::{
    api_server::ApiServer,
    patience::{until, within},
};

/// The list of plugins that the network of the node wrote.
const LIST: &str =
    r#"{"cniVersion": "1.0.0", "name": "pods", "plugins": [{"type": "bridge"}, {"type": "portmap"}]}"#;
const LIST_NAME: &str = "10-bridge.conflist";
const DAEMON_SET: &str = "GET /apis/apps/v1/namespaces/mesh/daemonsets/weft-cni";

/// A node with an agent.
struct Node {
    api: ApiServer,
    settings: Settings,
    running: Option<Running>,
    folder: TempDir,
}

struct Running {
    readiness: Readiness,
    trigger: Trigger,
    tasks: Tasks,
}

impl Node {
    /// A node whose agent is not started yet, with this file in the folder that runtimes read.
    async fn with(name: &str, text: &str) -> Self {
        let folder = tempfile::tempdir().expect("there is room for files");
        let [programs, lists, run_dir] = ["bin", "net.d", "run"].map(|name| folder.path().join(name));
        for folder in [&programs, &lists] {
            fs::create_dir(folder).expect("a new folder is empty");
        }
        fs::write(lists.join(name), text).expect("there is room for a file");
        let settings = Settings {
            program: env!("CARGO_BIN_EXE_weft-cni-under-test").into(),
            folders: Folders { programs, lists },
            run_dir,
            exclude_namespaces: vec!["kube-system".to_owned(), "mesh".to_owned()],
            admin: "127.0.0.1:0".parse().expect("it is an address"),
            repair: true,
            namespace: "mesh".to_owned(),
            node: "n1".to_owned(),
        };
        let api = ApiServer::start().await;
        api.answers(DAEMON_SET, 200, json!({"metadata": {"name": "weft-cni"}}));
        Self { api, settings, running: None, folder }
    }

    /// A node whose agent has put the plugin into the chain.
    async fn ready() -> Self {
        let mut own = Self::with(LIST_NAME, LIST).await;
        own.start().await;
        own.is_ready().await;
        own
    }

    async fn start(&mut self) {
        let (trigger, shutdown) = Shutdown::manual();
        let agent = Agent::start(&self.settings, self.api.place(), shutdown).await;
        let agent = agent.unwrap_or_else(|error| panic!("the agent does not start: {error}"));
        let (readiness, tasks) = (agent.readiness().clone(), Tasks::new());
        tasks.spawn("agent", agent.run());
        self.running = Some(Running { readiness, trigger, tasks });
    }

    async fn is_ready(&self) {
        let running = self.running.as_ref().expect("it was started");
        until("the agent is ready", async || running.readiness.is_ready().then_some(())).await;
    }

    /// Sends the agent a signal, and waits for its end.
    async fn stop(&mut self) {
        let Running { trigger, tasks, .. } = self.running.take().expect("it was started");
        trigger.drain();
        let late = within("the agent ends", tasks.join_all(weft_tests::patience::PATIENCE)).await;
        assert!(late.is_empty(), "the agent does not end");
    }

    /// The plugin as the agent installed it.
    fn plugin(&self) -> PathBuf {
        self.settings.folders.programs.join("weft-cni")
    }

    fn list(&self, name: &str) -> Value {
        let path = self.settings.folders.lists.join(name);
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// This node's entry of the plugin in the chain.
    fn entry(&self) -> Value {
        let list = self.list(LIST_NAME);
        let last = list["plugins"].as_array().and_then(|plugins| plugins.last());
        last.expect("there are plugins").clone()
    }

    /// Calls the plugin for a pod, as a runtime would by the chain that it finds.
    async fn call(&self, command: &str, namespace: &str, pod: &str, netns: &Path) -> Called {
        call(&self.plugin(), &self.entry(), command, namespace, pod, netns).await
    }
}

/// An agent that gives one answer, and tells what it is asked.
struct FakeAgent {
    entry: Value,
    asked: mpsc::Receiver<Question>,
    _folder: TempDir,
}

impl FakeAgent {
    fn start(answer: Answer) -> Self {
        let folder = tempfile::tempdir().expect("there is room for a socket");
        let path = folder.path().join(SOCKET);
        let listener = UnixListener::bind(&path).expect("a new folder is empty");
        let (sender, asked) = mpsc::channel();
        // It ends with the process: nobody can wake a thread that accepts.
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("the plugin connects");
                let mut line = String::new();
                BufReader::new(&stream).read_line(&mut line).expect("the plugin asks");
                let answer = serde_json::to_string(&answer).expect("it is JSON");
                writeln!(stream, "{answer}").expect("the plugin reads");
                drop(sender.send(serde_json::from_str(&line).expect("a question is JSON")));
            }
        });
        let entry = json!({"type": "weft-cni", "socket": path, "excludeNamespaces": ["kube-system"]});
        Self { entry, asked, _folder: folder }
    }

    async fn call(&self, command: &str, namespace: &str, netns: &Path) -> Called {
        let program = Path::new(env!("CARGO_BIN_EXE_weft-cni-under-test"));
        call(program, &self.entry, command, namespace, "api-0", netns).await
    }
}

/// What a call came to.
#[derive(Debug)]
struct Called {
    success: bool,
    /// Null if nothing was printed.
    printed: Value,
}

impl Called {
    /// The number of the error, and its words.
    fn error(&self) -> (u64, &str) {
        assert!(!self.success, "it succeeded: {self:?}");
        let code = self.printed["code"].as_u64().unwrap_or_else(|| panic!("no error is printed: {self:?}"));
        (code, self.printed["msg"].as_str().unwrap_or_default())
    }
}

/// What the plugins before made of a pod.
fn result() -> Value {
    json!({
        "cniVersion": "1.0.0",
        "interfaces": [{"name": "eth0", "mac": "0a:58:0a:f4:00:02", "sandbox": "/run/netns/x"}],
        "ips": [{"address": "10.244.0.2/24", "gateway": "10.244.0.1", "interface": 0}],
        "dns": {},
    })
}

/// Calls `plugin` for a pod as runtimes do (libcni): what they know in variables, its entry with what they add to it on
/// standard input.
async fn call(
    plugin: &Path,
    entry: &Value,
    command: &str,
    namespace: &str,
    pod: &str,
    netns: &Path,
) -> Called {
    let mut input = entry.clone();
    input["cniVersion"] = json!("1.0.0");
    input["name"] = json!("pods");
    input["prevResult"] = result();
    let arguments = format!(
        "IgnoreUnknown=1;K8S_POD_NAMESPACE={namespace};K8S_POD_NAME={pod};K8S_POD_INFRA_CONTAINER_ID=f00;K8S_POD_UID=uid-of-{pod}"
    );
    let mut child = Command::new(plugin)
        .env_clear()
        .envs([
            ("CNI_COMMAND", command),
            ("CNI_CONTAINERID", "f00"),
            ("CNI_IFNAME", "eth0"),
            ("CNI_PATH", "/"),
        ])
        .env("CNI_ARGS", arguments)
        .env("CNI_NETNS", netns)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}", plugin.display()));
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin.write_all(input.to_string().as_bytes()).await.expect("the plugin reads its configuration");
    drop(stdin);
    let output = within("the plugin ends", child.wait_with_output()).await.expect("it was started");
    let printed = match output.stdout.as_slice() {
        [] => Value::Null,
        text => serde_json::from_slice(text).unwrap_or_else(|error| panic!("{error}: {text:?}")),
    };
    Called { success: output.status.success(), printed }
}

/// A pod of the mesh as the API server knows it, whose `weft-init` has these flags.
fn pod_of_the_mesh(namespace: &str, name: &str, flags: &[&str]) -> Value {
    let arguments: Vec<&str> = ["init"].iter().chain(flags).copied().collect();
    json!({
        "metadata": {"namespace": namespace, "name": name, "uid": format!("uid-of-{name}")},
        "spec": {"initContainers": [{"name": "weft-init", "args": arguments}, {"name": "weft-proxy"}]},
    })
}
