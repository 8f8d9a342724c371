//! Where the story is played: the processes, and the folder of files that the mesh follows.

use std::{
    ffi::OsString,
    fmt::Write,
    io,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};
use weft_runtime::{Shutdown, Tasks, shutdown::Trigger};

use super::{
    access_log::{AccessLog, Side},
    files::{self, Addresses},
    progress::{Event, Process},
    sighting::Scene,
    story::FAILING,
};
use crate::{
    child::{self, Kept, Log, Program},
    run::{
        mesh::{self, Logs, Mesh, Settings},
        report,
        state::State,
    },
};

/// The two services answer after this time, or the demo does not start.
const PATIENCE: Duration = Duration::from_secs(20);
/// Events of processes that may wait.
const EVENTS: usize = 64;
/// The API fails the same requests each time that the story is played.
const SEED: u64 = 1;
const API: &str = "feelgood-api";
const FRONTEND: &str = "frontend";

/// The processes of the story.
pub(crate) struct Stage {
    folder: State,
    addresses: Addresses,
    control: SocketAddr,
    control_plane: SocketAddr,
    control_plane_admin: SocketAddr,
    tasks: Tasks,
    events: mpsc::Sender<Event>,
    reports: child::Events,
    api: Actor,
    frontend: Actor,
    mesh: Option<Actor>,
}

/// Something that runs until it is told to stop.
struct Actor {
    trigger: Trigger,
    ended: oneshot::Receiver<()>,
}

impl Stage {
    /// Chooses free addresses and starts the two services, without a mesh.
    pub(crate) async fn open(events: mpsc::Sender<Event>) -> anyhow::Result<Self> {
        let folder = State::open(None)?;
        let [
            api,
            control,
            frontend,
            api_inbound,
            api_admin,
            frontend_inbound,
            frontend_admin,
            ambassador,
            xds,
            admin,
        ] = free_addresses().context("free addresses")?;
        let addresses =
            Addresses { api, api_inbound, api_admin, frontend, frontend_inbound, frontend_admin, ambassador };
        let tasks = Tasks::new();
        let (reports, inbox) = mpsc::channel(EVENTS);
        let known =
            vec![(API, vec![("serves", api), ("control", control)]), (FRONTEND, vec![("serves", frontend)])];
        tasks.spawn("events of the services", tell_processes(inbox, events.clone(), known));
        let programs = (service(&folder, &addresses, control)?, page(&folder, &addresses, api)?);
        let stage = Self {
            api: Actor::of_process(&tasks, programs.0, &reports),
            frontend: Actor::of_process(&tasks, programs.1, &reports),
            mesh: None,
            folder,
            addresses,
            control,
            control_plane: xds,
            control_plane_admin: admin,
            tasks,
            events,
            reports,
        };
        let ready = async {
            child::until_ready((control, "/stats")).await;
            child::until_ready((frontend, "/healthz")).await;
        };
        let log = || format!("the two services did not get ready within {} s", PATIENCE.as_secs());
        timeout(PATIENCE, ready).await.with_context(log)?;
        Ok(stage)
    }

    /// Puts both services into a mesh: starts it, and tells the frontend that the API is where its ambassador listens,
    /// as one edits a ConfigMap.
    pub(crate) async fn enter_mesh(&mut self) -> anyhow::Result<()> {
        let files = self.files();
        std::fs::create_dir(&files).context("the folder of the mesh's files")?;
        self.write(files::MESH, &files::mesh(&self.addresses))?;
        let settings = Settings {
            files,
            state: State::open(Some(&self.folder.path("mesh")))?,
            control_plane: self.control_plane,
            control_plane_admin: self.control_plane_admin,
            logs: Logs::Files,
        };
        let (told, inbox) = mpsc::channel(EVENTS);
        let mesh = Mesh::new(settings, told).context("the mesh cannot start")?;
        let known = vec![
            ("control-plane", vec![("xds", self.control_plane), ("admin", self.control_plane_admin)]),
            (
                "feelgood-api-proxy",
                vec![("inbound", self.addresses.api_inbound), ("admin", self.addresses.api_admin)],
            ),
            (
                "frontend-proxy",
                vec![
                    ("inbound", self.addresses.frontend_inbound),
                    ("ambassador", self.addresses.ambassador),
                    ("admin", self.addresses.frontend_admin),
                ],
            ),
        ];
        self.tasks.spawn("events of the mesh", tell_mesh(inbox, self.events.clone(), known));
        self.mesh = Some(Actor::of_mesh(&self.tasks, mesh, self.events.clone()));
        let program = page(&self.folder, &self.addresses, self.addresses.ambassador)?;
        self.frontend.trigger.drain();
        // An error is the way in which it tells that it has ended.
        let _ = (&mut self.frontend.ended).await;
        self.frontend = Actor::of_process(&self.tasks, program, &self.reports);
        for ready in [
            (self.addresses.frontend, "/healthz"),
            (self.addresses.api_admin, "/ready"),
            (self.addresses.frontend_admin, "/ready"),
        ] {
            child::until_ready(ready).await;
        }
        Ok(())
    }

    /// Writes a file of the mesh's folder, as anybody would who edits it.
    pub(crate) fn write(&self, name: &str, content: &str) -> anyhow::Result<()> {
        let path = self.files().join(name);
        std::fs::write(&path, content).with_context(|| path.display().to_string())
    }

    /// Where users find the page without a mesh.
    pub(crate) fn unmeshed_page(&self) -> SocketAddr {
        self.addresses.frontend
    }

    /// Where users find the page in the mesh.
    pub(crate) fn meshed_page(&self) -> SocketAddr {
        self.addresses.frontend_inbound
    }

    /// Where the API is broken and healed.
    pub(crate) fn control(&self) -> SocketAddr {
        self.control
    }

    /// Where to look for figures.
    pub(crate) fn scene(&self) -> Scene {
        Scene {
            api: self.control,
            frontend_sidecar: self.addresses.frontend_admin,
            api_sidecar: self.addresses.api_admin,
        }
    }

    /// The access logs of both sidecars, from their beginning.
    pub(crate) fn access_logs(&self) -> [AccessLog; 2] {
        let file = |process: &str| self.folder.path("mesh/logs").join(format!("{process}.access.jsonl"));
        [
            AccessLog::new(file("frontend-proxy"), Side::Caller),
            AccessLog::new(file("feelgood-api-proxy"), Side::Callee),
        ]
    }

    /// The log file that the API writes by itself.
    pub(crate) fn api_log(&self) -> PathBuf {
        server_log(&self.folder)
    }

    /// Folder of everything that was written.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.root()
    }

    /// Leaves the folder behind.
    pub(crate) fn keep_logs(&mut self) {
        self.folder.keep();
    }

    /// What to look at while everything stays up.
    pub(crate) fn addresses(&self) -> String {
        let mut text = "Everything stays up until Ctrl-C:\n".to_owned();
        for (what, where_to) in [
            ("the page, through the mesh", format!("http://{}/", self.addresses.frontend_inbound)),
            (
                "metrics of the frontend's sidecar",
                format!("http://{}/metrics", self.addresses.frontend_admin),
            ),
            ("metrics of the API's sidecar", format!("http://{}/metrics", self.addresses.api_admin)),
            ("proxies of the control plane", format!("http://{}/proxies", self.control_plane_admin)),
            ("break the API", format!("curl -X POST http://{}/break", self.control)),
            ("heal the API", format!("curl -X POST http://{}/heal", self.control)),
            ("the mesh's files: edit them", self.files().display().to_string()),
            ("logs", self.folder.path("mesh/logs").display().to_string()),
        ] {
            writeln!(text, "  {what:<34} {where_to}").expect("a String takes everything");
        }
        text
    }

    /// Ends every process and waits for them. A second signal kills what has not ended.
    pub(crate) async fn close(self, shutdown: &Shutdown) {
        let actors: Vec<Actor> = [self.frontend].into_iter().chain(self.mesh).chain([self.api]).collect();
        let triggers: Vec<Trigger> = actors.iter().map(|actor| actor.trigger.clone()).collect();
        let ended = async {
            for actor in actors {
                actor.trigger.drain();
                // An error is the way in which it tells that it has ended.
                let _ = actor.ended.await;
            }
        };
        tokio::pin!(ended);
        tokio::select! {
            () = &mut ended => {}
            () = shutdown.aborting() => {
                triggers.iter().for_each(Trigger::abort);
                ended.await;
            }
        }
    }

    fn files(&self) -> PathBuf {
        self.folder.path("files")
    }
}

impl Actor {
    fn of_process(tasks: &Tasks, program: Program, events: &child::Events) -> Self {
        let events = events.clone();
        Self::start(tasks, "service", |shutdown| Kept { program, shutdown, events }.run())
    }

    fn of_mesh(tasks: &Tasks, mesh: Mesh, events: mpsc::Sender<Event>) -> Self {
        Self::start(tasks, "mesh", |shutdown| async move {
            if let Err(error) = mesh.run(&shutdown).await {
                // An error means that nobody watches.
                let _ = events.send(Event::Said(format!("the mesh ended: {error:#}"))).await;
            }
        })
    }

    fn start<F>(tasks: &Tasks, name: &'static str, work: impl FnOnce(Shutdown) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (trigger, shutdown) = Shutdown::manual();
        let (done, ended) = oneshot::channel();
        let work = work(shutdown);
        tasks.spawn(name, async move {
            work.await;
            drop(done);
        });
        Self { trigger, ended }
    }
}

/// Free addresses of this machine, all found at the same time so that they differ.
fn free_addresses<const COUNT: usize>() -> io::Result<[SocketAddr; COUNT]> {
    let mut listeners = Vec::with_capacity(COUNT);
    for _ in 0..COUNT {
        listeners.push(TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0))?);
    }
    let addresses: io::Result<Vec<SocketAddr>> = listeners.iter().map(TcpListener::local_addr).collect();
    addresses?.try_into().map_err(|_| io::Error::other("there is one address for each listener"))
}

fn server_log(folder: &State) -> PathBuf {
    folder.path("logs/server.log")
}

/// The API's process.
fn service(folder: &State, addresses: &Addresses, control: SocketAddr) -> io::Result<Program> {
    let arguments = [
        "--listen".into(),
        addresses.api.to_string().into(),
        "--control".into(),
        control.to_string().into(),
        "--failure-rate".into(),
        FAILING.to_string().into(),
        "--seed".into(),
        SEED.to_string().into(),
        "--log".into(),
        server_log(folder).into(),
    ];
    sample(folder, API, arguments.into(), Vec::new(), (control, "/stats"))
}

/// The frontend's process; its API is at `api`.
fn page(folder: &State, addresses: &Addresses, api: SocketAddr) -> io::Result<Program> {
    let arguments = vec!["--listen".into(), addresses.frontend.to_string().into()];
    let environment = vec![("API_ADDR", format!("http://{api}"))];
    sample(folder, FRONTEND, arguments, environment, (addresses.frontend, "/healthz"))
}

fn sample(
    folder: &State,
    name: &'static str,
    arguments: Vec<OsString>,
    environment: Vec<(&'static str, String)>,
    ready: (SocketAddr, &'static str),
) -> io::Result<Program> {
    let head: [OsString; 3] = ["sample".into(), "--with-parent".into(), name.into()];
    Ok(Program {
        name: name.to_owned(),
        executable: std::env::current_exe()?,
        arguments: head.into_iter().chain(arguments).collect(),
        environment,
        stdout: None,
        log: Log::File(folder.log(name)),
        ready,
    })
}

/// Processes by name, each with its addresses and what they are for.
type Known = Vec<(&'static str, Vec<(&'static str, SocketAddr)>)>;

/// Tells what happens to the services.
async fn tell_processes(
    mut inbox: mpsc::Receiver<(String, child::Event)>,
    events: mpsc::Sender<Event>,
    known: Known,
) {
    while let Some((name, event)) = inbox.recv().await {
        for event in told(&known, mesh::Event::Process(name, event)) {
            // An error means that nobody watches any more; whoever reports must not have to wait for that.
            let _ = events.send(event).await;
        }
    }
}

/// Tells what happens in the mesh.
async fn tell_mesh(mut inbox: mpsc::Receiver<mesh::Event>, events: mpsc::Sender<Event>, known: Known) {
    while let Some(event) = inbox.recv().await {
        for event in told(&known, event) {
            let _ = events.send(event).await;
        }
    }
}

fn told(known: &Known, event: mesh::Event) -> Vec<Event> {
    match event {
        mesh::Event::Process(name, child::Event::Started(pid)) => {
            let addresses = known.iter().find(|(process, _)| *process == name);
            let addresses = addresses.map(|(_, addresses)| addresses.clone()).unwrap_or_default();
            vec![Event::Started(Process { name, pid, addresses })]
        }
        // Where it listens was said when it started.
        mesh::Event::Ready(sidecar) => vec![Event::Said(format!("{} is ready", sidecar.process()))],
        mesh::Event::Up => Vec::new(),
        other => report::lines(&other).into_iter().map(Event::Said).collect(),
    }
}
