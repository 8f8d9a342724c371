//! Starts the parts of the agent and ends them: the life of the process.

use std::{fs, io, net::SocketAddr, path::PathBuf, time::Duration};

use weft_kubernetes::{ApiServer, Place, RequestError};
use weft_runtime::{Admin, Readiness, Registry, Shutdown, Tasks, shutdown::Trigger};

use crate::{
    chain, cluster::Cluster, config::Settings, folders::FolderError, keeper::Keeper, metrics::Metrics,
    question::SOCKET, serve::Server,
};

/// How API servers are told who asks.
const USER_AGENT: &str = concat!("weft-cni/", env!("CARGO_PKG_VERSION"));
/// How long questions may take once no new ones are taken: as long as one to the API server.
const DRAIN: Duration = Duration::from_secs(10);

/// Why the agent does not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A socket could not be had.
    #[error("{what}: {source}")]
    Io {
        /// For what.
        what: String,
        /// Why not.
        source: io::Error,
    },
    /// The plugin cannot be put where runtimes look.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// A metric of a name that is taken.
    #[error(transparent)]
    Metrics(#[from] prometheus::Error),
    /// There is no way to the API server.
    #[error(transparent)]
    ApiServer(#[from] RequestError),
}

/// An agent that is started.
pub struct Agent {
    keeper: Keeper,
    admin: Admin,
    readiness: Readiness,
    tasks: Tasks,
    shutdown: Shutdown,
    /// Ends the answers, after the keeper.
    stop: Trigger,
}

impl Agent {
    /// Installs the plugin's program, and answers questions. Must run inside a runtime with I/O and time.
    pub async fn start(settings: &Settings, api_server: Place, shutdown: Shutdown) -> Result<Self, Error> {
        let readiness = Readiness::new();
        let hold = readiness.hold("the plugin's place in the chain of the container runtime");
        let registry = Registry::new("weft-cni");
        let metrics = Metrics::register(&registry)?;
        let api = ApiServer::at(api_server, USER_AGENT).await?;
        let cluster = Cluster::new(api, &settings.namespace, &settings.node);
        let failed = |what: PathBuf| move |source| Error::Io { what: what.display().to_string(), source };
        // In this order: what stands in the chain can be called, and is answered.
        settings.folders.install(&fs::read(&settings.program).map_err(failed(settings.program.clone()))?)?;
        let server = Server::bind(&settings.run_dir, cluster.clone(), metrics.clone());
        let server = server.map_err(failed(settings.run_dir.clone()))?;
        let (tasks, (stop, stopped)) = (Tasks::new(), Shutdown::manual());
        tasks.spawn("answers", server.run(tasks.clone(), stopped));
        let socket = settings.run_dir.join(SOCKET);
        let entry = chain::entry(&socket.to_string_lossy(), &settings.exclude_namespaces);
        let admin = Admin::start(settings.admin, registry, readiness.clone(), Vec::new());
        let admin = admin.map_err(|source| Error::Io { what: settings.admin.to_string(), source })?;
        let (folders, repair) = (settings.folders.clone(), settings.repair);
        let keeper = Keeper { folders, entry, cluster, repair, metrics, hold: Some(hold) };
        tracing::info!(socket = %socket.display(), admin = %admin.local_addr(), node = settings.node, "started");
        Ok(Self { keeper, admin, readiness, tasks, shutdown, stop })
    }

    /// Where metrics and health are shown.
    pub fn admin_addr(&self) -> SocketAddr {
        self.admin.local_addr()
    }

    /// Whether the plugin has its place.
    pub fn readiness(&self) -> &Readiness {
        &self.readiness
    }

    /// Runs until the process drains, and leaves the node as it is to be.
    pub async fn run(self) {
        let Self { keeper, admin: _admin, readiness, tasks, shutdown, stop } = self;
        let ends = async {
            keeper.run(&shutdown).await;
            readiness.drain();
            stop.drain();
            for name in tasks.join_all(DRAIN).await {
                tracing::warn!(task = name, "did not finish in time");
            }
        };
        tokio::select! {
            () = ends => {}
            // What still runs ends when its owner is dropped.
            () = shutdown.aborting() => {}
        }
    }
}
