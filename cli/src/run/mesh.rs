//! The processes of a local mesh: one control plane, and one sidecar for each workload in the files.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use anyhow::Context;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, MissedTickBehavior, interval_at},
};
use weft_api::{Object, bootstrap::Workload, names, workload::WorkloadSpec};
use weft_control_plane::{
    config::{self, Config},
    watch::{Directory, News, Problem},
};
use weft_identity::token::{LocalIssuer, Workload as Claim};
use weft_runtime::{Shutdown, Tasks, shutdown::Trigger};

use super::{
    listeners,
    plan::{Listener, Sidecar, Surroundings},
    state::{self, State},
};
use crate::child::{self, Kept, Log, Program};

/// Name of the control plane's process.
const CONTROL_PLANE: &str = "control-plane";
/// A token is good for this long; it is made anew at half of it.
const TOKEN_LIFETIME: Duration = Duration::from_hours(1);
/// A certificate is good for this long; a sidecar renews it at about half of it.
const CERTIFICATE_LIFETIME: weft_api::Duration = weft_api::Duration::from_secs(24 * 3600);
/// Processes that have not ended after this time are killed. Sidecars drain for 5 s, then the control plane ends.
const STOP: Duration = Duration::from_secs(15);
/// Events of processes that may wait.
const EVENTS: usize = 64;

/// How to run a mesh.
#[derive(Debug)]
pub(crate) struct Settings {
    /// File or folder that describes it.
    pub(crate) files: PathBuf,
    /// Where keys, tokens and logs are.
    pub(crate) state: State,
    /// Where the control plane serves xDS.
    pub(crate) control_plane: SocketAddr,
    /// Where it serves metrics and health.
    pub(crate) control_plane_admin: SocketAddr,
    /// Where logs go.
    pub(crate) logs: Logs,
}

/// Where the logs of all processes go. Access logs always go to files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Logs {
    /// To our stderr, each line behind the name of its process.
    Prefixed,
    /// To a file for each process, in the state folder.
    Files,
}

/// What happens in a mesh.
#[derive(Debug)]
pub(crate) enum Event {
    /// Something happened to a process.
    Process(String, child::Event),
    /// A sidecar takes traffic.
    Ready(Box<Sidecar>),
    /// Everything is ready, for the first time or again after a change.
    Up,
    /// Something is wrong with the files since now.
    Appeared(Problem),
    /// It is no more.
    Mended(Problem),
    /// Something could not be done; the mesh goes on.
    Failed(String),
}

/// A mesh of this machine.
pub(crate) struct Mesh {
    settings: Settings,
    source: Directory,
    issuer: LocalIssuer,
    surroundings: Surroundings,
    tasks: Tasks,
    processes: BTreeMap<String, Process>,
    waiting_for: BTreeSet<String>,
    children: mpsc::Receiver<(String, child::Event)>,
    report: child::Events,
    events: mpsc::Sender<Event>,
}

/// A process that shall run.
struct Process {
    /// Absent for the control plane.
    sidecar: Option<Sidecar>,
    trigger: Trigger,
    /// Resolves when it has ended for good.
    ended: oneshot::Receiver<()>,
}

impl Mesh {
    /// Reads the files, makes sure that the addresses are free, and writes what the control plane needs. Nothing runs yet.
    pub(crate) fn new(settings: Settings, events: mpsc::Sender<Event>) -> anyhow::Result<Self> {
        let source = Directory::open(&settings.files)?;
        let issuer = issuer(&settings.state.path("tokens.key"))?;
        let surroundings = Surroundings {
            control_plane: settings.control_plane,
            trust_bundle: settings.state.path("authority/bundle.pem"),
        };
        let (report, children) = mpsc::channel(EVENTS);
        let mesh = Self {
            settings,
            source,
            issuer,
            surroundings,
            tasks: Tasks::new(),
            processes: BTreeMap::new(),
            waiting_for: BTreeSet::new(),
            children,
            report,
            events,
        };
        listeners::check(mesh.listeners()?)?;
        mesh.write_config()?;
        Ok(mesh)
    }

    /// Runs until `shutdown` drains, then ends every process: sidecars first, so that they drain with a control plane.
    pub(crate) async fn run(mut self, shutdown: &Shutdown) -> anyhow::Result<()> {
        self.start(self.control_plane()?, None, None);
        let half = TOKEN_LIFETIME / 2;
        let mut renewal = interval_at(Instant::now() + half, half);
        renewal.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut problems = self.source.reading().check();
        loop {
            tokio::select! {
                () = shutdown.draining() => break,
                Some((name, event)) = self.children.recv() => self.observe(name, event).await,
                reading = self.source.changed() => {
                    let before = mem::replace(&mut problems, reading.check());
                    self.tell_news(News::between(&before, &problems)).await;
                    self.reconcile().await;
                }
                _ = renewal.tick() => self.renew_tokens().await,
            }
        }
        self.stop(shutdown).await;
        Ok(())
    }

    /// Takes note of what happened to a process, and passes it on.
    async fn observe(&mut self, name: String, event: child::Event) {
        let ready = matches!(event, child::Event::Ready);
        self.tell(Event::Process(name.clone(), event)).await;
        if !ready || !self.waiting_for.remove(&name) {
            return;
        }
        if name == CONTROL_PLANE {
            // Only now the roots are there that sidecars are started with.
            self.reconcile().await;
        } else if let Some(sidecar) = self.processes.get(&name).and_then(|process| process.sidecar.clone()) {
            self.tell(Event::Ready(Box::new(sidecar))).await;
        }
        if self.waiting_for.is_empty() {
            self.tell(Event::Up).await;
        }
    }

    /// Starts, stops and restarts sidecars until those run that the files ask for.
    async fn reconcile(&mut self) {
        if self.waiting_for.contains(CONTROL_PLANE) {
            return;
        }
        let wanted = match self.sidecars() {
            Ok(wanted) => wanted,
            Err(error) => return self.tell(Event::Failed(format!("{error:#}"))).await,
        };
        let wanted: BTreeMap<String, Sidecar> =
            wanted.into_iter().map(|sidecar| (sidecar.process(), sidecar)).collect();
        let leaving: Vec<String> = self
            .processes
            .iter()
            .filter(|(name, process)| process.sidecar.is_some() && !wanted.contains_key(*name))
            .map(|(name, _)| name.clone())
            .collect();
        for name in leaving {
            if let Some(process) = self.processes.remove(&name) {
                self.waiting_for.remove(&name);
                process.trigger.drain();
            }
        }
        for (name, sidecar) in wanted {
            let running = self.processes.get(&name);
            if running.is_some_and(|process| process.sidecar.as_ref() == Some(&sidecar)) {
                continue;
            }
            let program = match self.proxy(&sidecar) {
                Ok(program) => program,
                Err(error) => {
                    self.tell(Event::Failed(format!("{name}: {error:#}"))).await;
                    continue;
                }
            };
            let before = self.processes.remove(&name);
            self.start(program, Some(sidecar), before);
        }
    }

    /// Keeps `program` from now on, or once the process `before`, which has its addresses, has ended.
    fn start(&mut self, program: Program, sidecar: Option<Sidecar>, before: Option<Process>) {
        let (trigger, shutdown) = Shutdown::manual();
        let (done, ended) = oneshot::channel();
        let name = program.name.clone();
        let kept = Kept { program, shutdown, events: self.report.clone() };
        self.tasks.spawn("process", async move {
            if let Some(before) = before {
                before.trigger.drain();
                // An error means that it ended by a panic.
                let _ = before.ended.await;
            }
            kept.run().await;
            drop(done);
        });
        self.waiting_for.insert(name.clone());
        self.processes.insert(name, Process { sidecar, trigger, ended });
    }

    async fn stop(&mut self, shutdown: &Shutdown) {
        let control_plane = self.processes.remove(CONTROL_PLANE);
        let sidecars = std::mem::take(&mut self.processes);
        for process in sidecars.values() {
            process.trigger.drain();
        }
        let triggers: Vec<Trigger> =
            sidecars.values().chain(&control_plane).map(|process| process.trigger.clone()).collect();
        let in_order = async {
            for process in sidecars.into_values().chain(control_plane) {
                process.trigger.drain();
                // An error is the way in which it tells that it has ended.
                let _ = process.ended.await;
            }
        };
        let tasks = self.tasks.clone();
        let ending = async {
            let killed = tokio::time::timeout(STOP, in_order).await.is_err();
            if killed {
                triggers.iter().for_each(Trigger::abort);
            }
            tasks.join_all(STOP).await;
        };
        let aborting = async {
            shutdown.aborting().await;
            triggers.iter().for_each(Trigger::abort);
            std::future::pending::<()>().await;
        };
        let (children, events) = (&mut self.children, &self.events);
        let telling = async {
            while let Some((name, event)) = children.recv().await {
                let _ = events.send(Event::Process(name, event)).await;
            }
        };
        tokio::select! {
            () = ending => {}
            () = aborting => {}
            () = telling => {}
        }
        while let Ok((name, event)) = self.children.try_recv() {
            self.tell(Event::Process(name, event)).await;
        }
    }

    async fn tell(&self, event: Event) {
        // An error means that nobody listens, which changes nothing.
        let _ = self.events.send(event).await;
    }

    async fn tell_news(&self, news: News) {
        for problem in news.appeared {
            self.tell(Event::Appeared(problem)).await;
        }
        for problem in news.mended {
            self.tell(Event::Mended(problem)).await;
        }
    }

    async fn renew_tokens(&self) {
        for workload in self.source.reading().store().workloads.values() {
            if let Err(error) = self.write_token(workload) {
                self.tell(Event::Failed(format!("a token cannot be renewed: {error:#}"))).await;
            }
        }
    }

    /// The sidecars that the files ask for, each with a fresh token on disk.
    fn sidecars(&self) -> anyhow::Result<Vec<Sidecar>> {
        let workloads = self.source.reading().store().workloads.values();
        workloads
            .map(|workload| {
                let token = self.write_token(workload)?;
                Ok(Sidecar::new(workload, &token, &self.surroundings))
            })
            .collect()
    }

    fn write_token(&self, workload: &Object<WorkloadSpec>) -> anyhow::Result<PathBuf> {
        let metadata = &workload.metadata;
        let path = self.settings.state.workload(&metadata.namespace, &metadata.name, "token")?;
        let claim = Claim {
            namespace: metadata.namespace.clone(),
            service_account: workload.service_account().to_owned(),
            pod: metadata.name.clone(),
            // There is no pod that could come back under the same name: the workload is its own.
            pod_uid: metadata.name.clone(),
        };
        let token = self.issuer.issue(&claim, names::TOKEN_AUDIENCE, TOKEN_LIFETIME, SystemTime::now())?;
        state::write(&path, &token)?;
        Ok(path)
    }

    /// Every address of the mesh with whom it belongs to.
    fn listeners(&self) -> anyhow::Result<Vec<(String, Listener)>> {
        let own = [
            (self.settings.control_plane, "serves xDS", "--control-plane"),
            (self.settings.control_plane_admin, "metrics and health", "--control-plane-admin"),
        ];
        let own = own.map(|(address, purpose, field)| {
            let listener = Listener { address, purpose: purpose.to_owned(), field: field.to_owned() };
            ("the control plane".to_owned(), listener)
        });
        let sidecars = self.sidecars()?;
        let theirs = sidecars.iter().flat_map(|sidecar| {
            let Workload { namespace, name, .. } = &sidecar.bootstrap.workload;
            let owner = format!("Workload {namespace}/{name}");
            sidecar.listeners().into_iter().map(move |listener| (owner.clone(), listener))
        });
        Ok(own.into_iter().chain(theirs).collect())
    }

    fn write_config(&self) -> anyhow::Result<()> {
        let state = &self.settings.state;
        let public_key = state.path("tokens.pub");
        state::write(&public_key, &self.issuer.public_key_pem())?;
        let files = self.settings.files.canonicalize().context("the path of the files")?;
        let config = Config {
            listen: self.settings.control_plane,
            admin: self.settings.control_plane_admin,
            trust_domain: names::DEFAULT_TRUST_DOMAIN.to_owned(),
            source: config::Source { directory: files },
            authority: config::Authority { directory: state.path("authority") },
            authentication: config::Authentication { local_issuer: config::LocalIssuer { public_key } },
            certificate_lifetime: CERTIFICATE_LIFETIME,
        };
        state::write(&state.path("control-plane.json"), &serde_json::to_string_pretty(&config)?)?;
        Ok(())
    }

    fn control_plane(&self) -> anyhow::Result<Program> {
        let config = self.settings.state.path("control-plane.json");
        let ready = (self.settings.control_plane_admin, "/ready");
        self.program(CONTROL_PLANE, ["control-plane".into(), "--config".into(), config.into()], ready)
    }

    fn proxy(&self, sidecar: &Sidecar) -> anyhow::Result<Program> {
        let workload = &sidecar.bootstrap.workload;
        let path = self.settings.state.workload(&workload.namespace, &workload.name, "bootstrap.json")?;
        state::write(&path, &serde_json::to_string_pretty(&sidecar.bootstrap)?)?;
        let ready = (sidecar.bootstrap.admin, "/ready");
        self.program(&sidecar.process(), ["proxy".into(), "--bootstrap".into(), path.into()], ready)
    }

    fn program(
        &self,
        name: &str,
        arguments: [std::ffi::OsString; 3],
        ready: (SocketAddr, &'static str),
    ) -> anyhow::Result<Program> {
        let state = &self.settings.state;
        Ok(Program {
            name: name.to_owned(),
            executable: std::env::current_exe().context("the path of this program")?,
            arguments: arguments.into_iter().chain(["--with-parent".into()]).collect(),
            environment: Vec::new(),
            stdout: Some(state.access_log(name)),
            log: match self.settings.logs {
                Logs::Prefixed => Log::Prefixed,
                Logs::Files => Log::File(state.log(name)),
            },
            ready,
        })
    }
}

/// The key that tokens are signed with: that of the last time, or a new one.
fn issuer(path: &Path) -> anyhow::Result<LocalIssuer> {
    if let Some(pem) = state::read(path)? {
        return LocalIssuer::load(&pem)
            .with_context(|| format!("{}; remove it to have a new one made", path.display()));
    }
    let issuer = LocalIssuer::create()?;
    state::write(path, &issuer.key_pem()?)?;
    Ok(issuer)
}
