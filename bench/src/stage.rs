//! Everything that is measured, at work: each subject has two pods of its own, which are network namespaces on one
//! bridge, and what stands before their applications runs as a sidecar does, behind the same redirect. All wait while
//! one of them is measured.

use std::{
    fs::{self, File, Permissions},
    io,
    net::{IpAddr, SocketAddr, TcpStream},
    os::{fd::AsRawFd, unix::fs::PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail, ensure};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, setrlimit};
use rustls_pki_types::ServerName;
use tempfile::TempDir;
use weft_api::{bootstrap::AccessLog, names, object::DEFAULT_NAMESPACE};
use weft_proxy::redirect;
use weft_tests::{
    namespace::APP,
    pods::{Cluster, Family, PodPlan, Programs, ServicePlan},
    process::Process,
};

use crate::{
    backend::Backend,
    generator::{Generator, Pace},
    handshakes::Handshakes,
    peers::{self, Config},
    subject::{SUBJECTS, Side, Subject},
    usage::stay_on_core,
};

/// Descriptors that the generator and the backends need, and that each proxy is given.
const DESCRIPTORS: u64 = 16 * 1024;

/// Port of all services.
const PORT: u16 = 8080;
/// The core of all proxies, and the one of generator and backends.
const PROXY_CORE: usize = 0;
const LOAD_CORE: usize = 1;

/// How long proxies may take until they serve, and the pause between two looks.
const PATIENCE: Duration = Duration::from_secs(10);
const INTERVAL: Duration = Duration::from_millis(50);
/// A run at one request a second that makes one.
const ONCE: Duration = Duration::from_millis(1);

/// Where programs are.
#[derive(Debug)]
pub struct Places {
    /// Folder of `weft-proxy` and `weft-control-plane`.
    pub weft: PathBuf,
    /// Envoy.
    pub envoy: PathBuf,
}

/// The pods, and all processes in them. Dropped, they are gone.
pub struct Stage {
    /// Who can be measured.
    pub actors: Vec<Actor>,
    /// Who cannot, and why.
    pub missing: Vec<(&'static Subject, String)>,
    /// Before the cluster, so that they end before their pods do.
    peers: Vec<Process>,
    backends: Vec<Backend>,
    cluster: Cluster,
    folder: TempDir,
}

/// A subject whose proxies run.
pub struct Actor {
    /// Who it is.
    pub subject: &'static Subject,
    /// Its proxies, that of the caller first.
    pub proxies: Vec<Pid>,
    /// Whom its caller connects to.
    target: SocketAddr,
}

impl Stage {
    /// Starts everything that `wanted` names, or that there is if it names nobody.
    ///
    /// # Errors
    /// If a program of Weft is missing, or somebody does not serve.
    pub async fn start(places: &Places, wanted: &[String]) -> Result<Self> {
        let is_wanted =
            |subject: &&Subject| wanted.is_empty() || wanted.iter().any(|name| name == subject.name);
        let (subjects, missing): (Vec<_>, Vec<_>) =
            SUBJECTS.iter().filter(is_wanted).partition(|subject| is_there(subject, places));
        let folder = tempfile::tempdir()?;
        fs::set_permissions(folder.path(), Permissions::from_mode(0o777))?;
        peers::write_certificates(folder.path())?;
        // What is started from here to the end of this function stays on that core.
        stay_on_core(PROXY_CORE)?;
        let mut stage = Self {
            actors: Vec::new(),
            missing: missing.into_iter().map(|subject| (subject, why_missing(subject, places))).collect(),
            peers: Vec::new(),
            backends: Vec::new(),
            cluster: cluster(&places.weft, &subjects).await?,
            folder,
        };
        for subject in &subjects {
            let actor = stage.enter(subject, places)?;
            stage.actors.push(actor);
        }
        stay_on_core(LOAD_CORE)?;
        for subject in subjects {
            stage.backends.push(Backend::start(stage.cluster.listen(subject.pods[1], PORT))?);
        }
        for actor in &stage.actors {
            stage.until_it_serves(actor).await?;
        }
        Ok(stage)
    }

    /// A generator with so many connections from a subject's caller to its service.
    ///
    /// # Errors
    /// If one is refused.
    pub fn generator(&self, actor: &Actor, connections: usize) -> Result<Generator> {
        let connect = || (0..connections).map(|_| TcpStream::connect(actor.target)).collect();
        let streams: io::Result<Vec<_>> = self.cluster.pod(actor.subject.pods[0]).run_as(APP, connect);
        let streams = streams.with_context(|| format!("{} at {}", actor.subject.name, actor.target))?;
        Ok(Generator::new(streams, actor.subject.protocol(), "service")?)
    }

    /// Clients of a pair's service, from outside of all pods, who are believed as its caller is.
    ///
    /// # Errors
    /// If nothing with TLS stands before the service.
    pub fn handshakes(&self, actor: &Actor) -> Result<Handshakes> {
        let pod = actor.subject.pods[1];
        let address = self.cluster.address(pod, Family::V4);
        let (config, name) = match actor.subject.sides[1] {
            Side::Bare => bail!("{pod} has no proxy"),
            Side::Weft(_) => {
                let id = |account: &str| {
                    format!("spiffe://{}/ns/{DEFAULT_NAMESPACE}/sa/{account}", names::DEFAULT_TRUST_DOMAIN)
                };
                let config = self.cluster.member(&id("client")).config(&id(&PodPlan::bare(pod).account()))?;
                (config, ServerName::IpAddress(address.into()))
            }
            Side::Peer(_) => {
                let (config, name) = peers::client(self.folder.path())?;
                (Arc::new(config), name)
            }
        };
        Ok(Handshakes { config, name, server: (address, PORT).into() })
    }

    /// Calls `act` on a thread outside of all pods.
    pub fn outside<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        self.cluster.node().run_as(APP, act)
    }

    /// Asks all of Weft's sidecars to end, and waits until they have.
    pub async fn end_sidecars(&mut self) {
        for actor in &self.actors {
            for (pod, side) in actor.subject.pods.into_iter().zip(&actor.subject.sides) {
                if matches!(side, Side::Weft(_)) {
                    self.cluster.end_sidecar(pod).await;
                }
            }
        }
    }

    async fn until_it_serves(&self, actor: &Actor) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        loop {
            let request = self.generator(actor, 1).and_then(|mut one| Ok(one.run(Pace::Constant(1), ONCE)?));
            match request {
                Ok(_) => return Ok(()),
                Err(_) if Instant::now() < end => tokio::time::sleep(INTERVAL).await,
                Err(error) => return Err(error.context(format!("{} does not serve", actor.subject.name))),
            }
        }
    }

    /// Finds or starts the proxies of a subject.
    fn enter(&mut self, subject: &'static Subject, places: &Places) -> Result<Actor> {
        let server = self.cluster.address(subject.pods[1], Family::V4);
        let mut proxies = Vec::new();
        for (pod, side) in subject.pods.into_iter().zip(&subject.sides) {
            match side {
                Side::Bare => {}
                Side::Weft(_) => proxies.push(self.cluster.sidecar(pod).pid()),
                Side::Peer(config) => proxies.push(self.start_peer(pod, config, server, places)?),
            }
        }
        let target = match subject.sides[0] {
            Side::Bare => server,
            Side::Weft(_) | Side::Peer(_) => self.cluster.service(subject.pods[1], Family::V4),
        };
        Ok(Actor { subject, proxies, target: (target, PORT).into() })
    }

    /// As a sidecar is: behind the redirect, as its user.
    fn start_peer(&mut self, pod: &str, config: &Config, server: IpAddr, places: &Places) -> Result<Pid> {
        let namespace = self.cluster.pod(pod);
        let redirected = namespace.run(|| redirect::init(&[]).map_err(|error| error.to_string()));
        redirected.map_err(|error| anyhow!("the redirect in {pod}: {error}"))?;
        let program = config.program.find(&places.envoy).context("its program was there before")?;
        // Held open, since the user may not look into the folders above it.
        let program = File::open(&program).with_context(|| program.display().to_string())?;
        let path = self.folder.path().join(format!("{pod}.{}", config.program.file_end()));
        fs::write(&path, config.text(pod, self.folder.path(), server))?;
        let (path, log) = (path.display().to_string(), self.folder.path().join(format!("{pod}.log")));
        fs::write(&log, "")?;
        fs::set_permissions(&log, Permissions::from_mode(0o666))?;
        let (program, handle) =
            (format!("/proc/self/fd/{}", program.as_raw_fd()), tokio::runtime::Handle::current());
        let process = namespace.run_as(names::PROXY_UID, || {
            let _runtime = handle.enter();
            Process::start(pod, &program, &config.program.arguments(&path), &log, &log)
        });
        let pid = process.pid();
        self.peers.push(process);
        Ok(pid)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.peers.iter().for_each(|peer| eprintln!("{}", peer.last_words()));
        }
    }
}

/// Lets this process, and those that it starts, have as many descriptors as all of it needs.
///
/// # Errors
/// Those of the system.
pub fn allow_descriptors() -> io::Result<()> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let current = Some(maximum.map_or(DESCRIPTORS, |most| most.min(DESCRIPTORS)));
    Ok(setrlimit(Resource::Nofile, Rlimit { current, maximum })?)
}

fn is_there(subject: &Subject, places: &Places) -> bool {
    subject.program().is_none_or(|program| program.find(&places.envoy).is_some())
}

fn why_missing(subject: &Subject, places: &Places) -> String {
    let envoy = places.envoy.display();
    let program = subject.program().map_or_else(String::new, |program| format!("{program:?}"));
    format!("{program} is not installed (Envoy is looked for at {envoy}): run bench/peers/install")
}

/// The pods with Weft's control plane and sidecars. Those of peers are bare at first.
async fn cluster(weft: &Path, subjects: &[&'static Subject]) -> Result<Cluster> {
    for path in ["weft-control-plane", "weft-proxy"].map(|name| weft.join(name)) {
        ensure!(path.exists(), "{} is not there: build it with the same profile", path.display());
    }
    let programs = Programs::in_folder(weft);
    let pods = subjects.iter().flat_map(|subject| subject.pods.into_iter().zip(&subject.sides));
    let pods = pods.map(|(name, side)| match side {
        Side::Weft(mesh_http) => PodPlan::meshed(name).access_log(AccessLog::default()).mesh_http(*mesh_http),
        Side::Bare | Side::Peer(_) => PodPlan::bare(name),
    });
    let services = subjects.iter().map(|subject| {
        let name = subject.pods[1];
        ServicePlan { name, pods: vec![name], ports: vec![(PORT, "")] }
    });
    Ok(Cluster::start_from(programs, pods.collect(), services.collect()).await)
}
