//! Starts the verbs and hands each what the others made: the life of the process.

mod cluster;

use std::{
    fs, io,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use tokio::{sync::watch, time::sleep};
use weft_api::names;
use weft_identity::{
    SpiffeId, TrustDomain,
    bundle::{InvalidBundle, TrustBundle},
    renewal::renew_in,
    spiffe::{InvalidSpiffeId, InvalidTrustDomain},
    tls::{ClientCertificate, Credentials},
    token::{InvalidPublicKey, LocalAuthenticator},
};
use weft_kubernetes::RequestError;
use weft_runtime::{
    Admin, Readiness, Registry, Shutdown, Tasks, admin::Route, readiness::Hold, shutdown::Trigger,
};

use crate::{
    authenticate::Authenticator,
    compile::Compiler,
    config::{Config, InCluster},
    issue::{self, AuthorityError, Issuer, OwnIdentityError, SecretError},
    metrics::Metrics,
    push::{AcceptError, Roster, Server, Shared},
    snapshot::{Snapshot, milliseconds},
    watch::{Directory, News, OpenError, Problem, Source},
};

/// How long connections may take to finish once the process drains.
const DRAIN: Duration = Duration::from_secs(5);
/// When the own certificate could not be renewed, it is tried again after this long.
const RENEWAL_PAUSE: Duration = Duration::from_mins(1);
/// Name of the control plane for clients on its machine that check DNS names and no SPIFFE ids. In a cluster they know it
/// by its Service.
const LOCAL_HOST: &str = "localhost";

/// Why the control plane does not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The trust domain.
    #[error(transparent)]
    TrustDomain(#[from] InvalidTrustDomain),
    /// The certificate authority.
    #[error("certificate authority: {0}")]
    Authority(#[from] AuthorityError),
    /// The certificate authority of a cluster.
    #[error("certificate authority: {0}")]
    Secret(#[from] SecretError),
    /// There is no way to the API server.
    #[error(transparent)]
    ApiServer(#[from] RequestError),
    /// The roots that it hands out.
    #[error("certificate authority: {0}")]
    Bundle(#[from] InvalidBundle),
    /// Its own name.
    #[error(transparent)]
    Name(#[from] InvalidSpiffeId),
    /// Its own certificate.
    #[error("the control plane's own certificate: {0}")]
    OwnIdentity(#[from] OwnIdentityError),
    /// The file with the issuer's public key.
    #[error("authentication.localIssuer.publicKey: {path}: {source}", path = path.display())]
    PublicKeyFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The issuer's public key.
    #[error("authentication.localIssuer.publicKey: {path}: {source}", path = path.display())]
    PublicKey {
        /// The file.
        path: PathBuf,
        /// Why.
        source: InvalidPublicKey,
    },
    /// The objects.
    #[error("source.directory: {0}")]
    Source(#[from] OpenError),
    /// The xDS server.
    #[error("listen: {0}")]
    Listen(#[from] AcceptError),
    /// The admin endpoint, or a socket of which the address cannot be told.
    #[error("admin: {0}")]
    Admin(#[from] io::Error),
    /// A metric of a name that is taken.
    #[error(transparent)]
    Metrics(#[from] prometheus::Error),
}

/// A control plane that is started.
pub struct ControlPlane {
    compiler: Compiler,
    source: Source,
    problems: Problems,
    snapshots: watch::Sender<Arc<Snapshot>>,
    metrics: Metrics,
    server_addr: SocketAddr,
    admin: Admin,
    readiness: Readiness,
    tasks: Tasks,
    shutdown: Shutdown,
    /// Ends what is served.
    serving: Trigger,
    linger: Duration,
}

/// What there is before proxies are served: what tells others how far the process has come.
struct Process {
    hold: Hold,
    metrics: Metrics,
    problems: Problems,
    roster: Roster,
    admin: Admin,
    readiness: Readiness,
    tasks: Tasks,
    shutdown: Shutdown,
    /// Ends what is served, and what is needed for that: a moment later.
    serving: Trigger,
    served: Shutdown,
}

/// What is one thing on a machine, and another in a cluster.
struct Foundation {
    trust_domain: TrustDomain,
    /// Namespace of the control plane.
    namespace: String,
    issuer: Arc<Issuer>,
    authenticator: Authenticator,
    source: Source,
    /// How long proxies are served after the first signal.
    linger: Duration,
}

/// The problems as `/problems` shows them.
type Problems = Arc<Mutex<Vec<Problem>>>;

/// Runs until `shutdown`. Must run inside a runtime with I/O and time.
pub async fn run(config: Config, shutdown: Shutdown) -> Result<(), Error> {
    ControlPlane::start(&config, shutdown)?.run().await;
    Ok(())
}

/// Runs in a cluster until `shutdown`. Must run inside a runtime with I/O and time.
pub async fn run_in_cluster(config: InCluster, shutdown: Shutdown) -> Result<(), Error> {
    if let Some(started) = ControlPlane::start_in_cluster(&config, shutdown).await? {
        started.run().await;
    }
    Ok(())
}

impl Process {
    fn start(admin: SocketAddr, shutdown: Shutdown) -> Result<Self, Error> {
        let readiness = Readiness::new();
        let hold = readiness.hold("the first configuration");
        let registry = Registry::new("weft-control-plane");
        let metrics = Metrics::register(&registry)?;
        let (roster, problems) = (Roster::default(), Problems::default());
        let admin = Admin::start(admin, registry, readiness.clone(), routes(&problems, &roster))?;
        let (serving, served) = Shutdown::manual();
        let tasks = Tasks::new();
        Ok(Self { hold, metrics, problems, roster, admin, readiness, tasks, shutdown, serving, served })
    }

    /// Serves proxies on `listen`.
    fn serve(self, listen: SocketAddr, foundation: Foundation) -> Result<ControlPlane, Error> {
        let Self { hold, metrics, problems, roster, admin, readiness, tasks, shutdown, serving, served } =
            self;
        let Foundation { trust_domain, namespace, issuer, authenticator, source, linger } = foundation;
        let own = Own::new(&issuer, trust_domain.clone(), &namespace)?;
        let remaining = own.renew(&issuer, &metrics)?;
        let secret = issuer.session_secret().map_err(OwnIdentityError::from)?;
        let now = milliseconds(SystemTime::now());
        let compiler = Compiler::new(trust_domain, issuer.roots_pem(), secret.as_ref(), now);
        let (snapshots, receiver) = watch::channel(compiler.snapshot().clone());
        let tls = own.credentials.server_config(ClientCertificate::Optional, &[names::ALPN_XDS]);
        let shared = Shared {
            snapshots: receiver,
            issuer: issuer.clone(),
            authenticator,
            roster,
            metrics: metrics.clone(),
            shutdown: served,
        };
        let server = Server::bind(listen, tls, Arc::new(shared), tasks.clone())?;
        let server_addr = server.local_addr()?;
        let mut started = ControlPlane {
            compiler,
            source,
            problems,
            snapshots,
            metrics: metrics.clone(),
            server_addr,
            admin,
            readiness,
            tasks,
            shutdown,
            serving,
            linger,
        };
        // Compiled before anybody is let in: nobody is told that a resource does not exist because we were early.
        started.publish();
        started.tasks.spawn(
            "own certificate",
            keep_renewed(own, issuer, metrics, remaining, started.shutdown.clone()),
        );
        started.tasks.spawn("xds server", server.run());
        tracing::info!(xds = %server_addr, admin = %started.admin.local_addr(), "serving proxies");
        hold.release();
        Ok(started)
    }
}

impl ControlPlane {
    /// Starts everything on this machine. When this returns, proxies are served. Must run inside a runtime with I/O and
    /// time.
    pub fn start(config: &Config, shutdown: Shutdown) -> Result<Self, Error> {
        let process = Process::start(config.admin, shutdown)?;
        let trust_domain: TrustDomain = config.trust_domain.parse()?;
        let authority =
            issue::load_or_create(&config.authority.directory, trust_domain.clone(), SystemTime::now())?;
        let foundation = Foundation {
            trust_domain,
            namespace: names::SYSTEM_NAMESPACE.to_owned(),
            issuer: Arc::new(Issuer::new(authority, config.certificate_lifetime.get())),
            authenticator: authenticator(config)?,
            source: Source::Directory(Directory::open(&config.source.directory)?),
            linger: Duration::ZERO,
        };
        process.serve(config.listen, foundation)
    }

    /// Where proxies connect.
    pub fn server_addr(&self) -> SocketAddr {
        self.server_addr
    }

    /// Where metrics, health, problems and proxies are shown.
    pub fn admin_addr(&self) -> SocketAddr {
        self.admin.local_addr()
    }

    /// Publishes every change until the process drains, and then lets everybody finish.
    pub async fn run(mut self) {
        loop {
            tokio::select! {
                () = self.source.changed() => self.publish(),
                () = self.shutdown.draining() => break,
            }
        }
        self.readiness.drain();
        self.linger().await;
        self.serving.drain();
        tokio::select! {
            late = self.tasks.join_all(DRAIN) => {
                for name in late {
                    tracing::warn!(task = name, "did not finish in time");
                }
            }
            // What still runs ends when its owner is dropped.
            () = self.shutdown.aborting() => {}
        }
    }

    /// Goes on for a moment, for those who have not heard yet that it ends.
    async fn linger(&mut self) {
        let over = Instant::now() + self.linger;
        loop {
            tokio::select! {
                () = sleep(over.saturating_duration_since(Instant::now())) => return,
                () = self.shutdown.aborting() => return,
                () = self.source.changed() => self.publish(),
            }
        }
    }

    fn publish(&mut self) {
        let compiled = self.compiler.compile(self.source.store(), milliseconds(SystemTime::now()));
        self.source.tell(&compiled.findings, &compiled.attached);
        let found = self.source.problems(&compiled.findings);
        self.metrics.problems.set(found.len().cast_signed() as i64);
        // Nothing that can panic runs under the lock.
        let mut problems = self.problems.lock().unwrap_or_else(PoisonError::into_inner);
        News::between(&problems, &found).log();
        *problems = found;
        drop(problems);
        let generation = compiled.snapshot.generation();
        self.metrics.encoded.inc_by(compiled.encoded as u64);
        self.metrics.generation.set(generation.cast_signed());
        let changed = self.snapshots.send_if_modified(|snapshot| {
            let changed = !Arc::ptr_eq(snapshot, &compiled.snapshot);
            *snapshot = compiled.snapshot;
            changed
        });
        if changed {
            tracing::info!(generation, encoded = compiled.encoded, "published a new configuration");
        }
    }
}

/// Who the control plane is.
struct Own {
    id: SpiffeId,
    /// Its names for clients that check DNS names and no SPIFFE ids.
    hosts: Vec<String>,
    credentials: Arc<Credentials>,
}

impl Own {
    fn new(issuer: &Issuer, trust_domain: TrustDomain, namespace: &str) -> Result<Self, Error> {
        let id = SpiffeId::workload(&trust_domain, namespace, names::CONTROL_PLANE_ACCOUNT)?;
        let service = format!("{}.{namespace}", names::CONTROL_PLANE_ACCOUNT);
        let of_service = ["", ".svc", ".svc.cluster.local"].map(|end| format!("{service}{end}"));
        let hosts = [LOCAL_HOST.to_owned()].into_iter().chain(of_service).collect();
        let roots = TrustBundle::from_pem(issuer.roots_pem())?;
        Ok(Self { id, hosts, credentials: Credentials::new(trust_domain, roots) })
    }

    /// Takes a new certificate, and says how long it is good for.
    fn renew(&self, issuer: &Issuer, metrics: &Metrics) -> Result<Duration, OwnIdentityError> {
        let now = SystemTime::now();
        let identity = issuer.own_identity(&self.id, now)?;
        let end = identity.validity().not_after;
        let seconds = end.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        metrics.own_not_after.set(seconds.cast_signed());
        let hosts: Vec<&str> = self.hosts.iter().map(String::as_str).collect();
        self.credentials.set_host(issuer.own_host_identity(&hosts, now)?);
        self.credentials.set_identity(identity);
        Ok(end.duration_since(now).unwrap_or_default())
    }
}

/// Renews the control plane's certificate at half its life. It is alone, so there is nobody to keep apart from.
async fn keep_renewed(
    own: Own,
    issuer: Arc<Issuer>,
    metrics: Metrics,
    mut remaining: Duration,
    shutdown: Shutdown,
) {
    loop {
        tokio::select! {
            () = sleep(renew_in(remaining, 0.5)) => {}
            () = shutdown.draining() => return,
        }
        match own.renew(&issuer, &metrics) {
            Ok(next) => remaining = next,
            Err(error) => {
                tracing::error!(%error, "the control plane's certificate cannot be renewed: trying again");
                remaining = RENEWAL_PAUSE * 2;
            }
        }
    }
}

fn authenticator(config: &Config) -> Result<Authenticator, Error> {
    let path = &config.authentication.local_issuer.public_key;
    let text =
        fs::read_to_string(path).map_err(|source| Error::PublicKeyFile { path: path.clone(), source })?;
    let local = LocalAuthenticator::from_public_key_pem(&text, names::TOKEN_AUDIENCE)
        .map_err(|source| Error::PublicKey { path: path.clone(), source })?;
    Ok(Authenticator::Local(local))
}

fn routes(problems: &Problems, roster: &Roster) -> Vec<Route> {
    let (problems, roster) = (problems.clone(), roster.clone());
    vec![
        (
            "/problems",
            "application/json",
            Arc::new(move || {
                let problems = problems.lock().unwrap_or_else(PoisonError::into_inner);
                // A path that is no text is the only thing here that JSON does not hold.
                serde_json::to_string_pretty(&*problems).unwrap_or_else(|error| error.to_string())
            }),
        ),
        ("/proxies", "application/json", Arc::new(move || roster.to_json(Instant::now()))),
    ]
}
