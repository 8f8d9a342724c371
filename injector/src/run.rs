//! Starts the parts and ends them: the life of the process.

use std::{io, net::SocketAddr, time::Duration};

use weft_kubernetes::{ApiServer, RequestError};
use weft_runtime::{Admin, Readiness, Registry, Shutdown, Tasks, readiness::Hold};

use crate::{
    certificate::{self, Cluster, Shown},
    config::{self, Certificate, Config, ConfigError, Source},
    metrics::Metrics,
    serve::Server,
};

/// How long connections may take to finish once no new ones are taken.
const DRAIN: Duration = Duration::from_secs(8);

/// What the injector calls itself before API servers.
const AGENT: &str = concat!("weft-injector/", env!("CARGO_PKG_VERSION"));

/// Why the injector does not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It was told something impossible.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A socket could not be had.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A metric of a name that is taken.
    #[error(transparent)]
    Metrics(#[from] prometheus::Error),
    /// There is no way to the API server.
    #[error("certificate.source is `secret`: {0}")]
    ApiServer(#[from] RequestError),
}

/// An injector that is started.
pub struct Injector {
    server_addr: SocketAddr,
    admin: Admin,
    readiness: Readiness,
    tasks: Tasks,
    shutdown: Shutdown,
}

/// Runs until `shutdown`. Must run inside a runtime with I/O and time.
pub async fn run(config: &Config, shutdown: Shutdown) -> Result<(), Error> {
    Injector::start(config, &config::namespace(), shutdown).await?.run().await;
    Ok(())
}

impl Injector {
    /// Starts everything, for a mesh that is installed in `namespace`. Handshakes fail until there is a certificate.
    pub async fn start(config: &Config, namespace: &str, shutdown: Shutdown) -> Result<Self, Error> {
        let installation = config.installation(namespace)?;
        let readiness = Readiness::new();
        let hold = readiness.hold("a certificate that API servers believe");
        let registry = Registry::new("weft-injector");
        let metrics = Metrics::register(&registry)?;
        let (shown, tasks) = (Shown::default(), Tasks::new());
        let keep = Keep {
            shown: shown.clone(),
            metrics: metrics.clone(),
            hold,
            shutdown: shutdown.clone(),
            tasks: tasks.clone(),
        };
        keep.start(&config.certificate, namespace).await?;
        let tls = shown.server_config();
        let server =
            Server::bind(config.listen, tls, installation, metrics, shutdown.clone(), tasks.clone())?;
        let server_addr = server.local_addr()?;
        let admin = Admin::start(config.admin, registry, readiness.clone(), Vec::new())?;
        tasks.spawn("webhook", server.run());
        tracing::info!(webhook = %server_addr, admin = %admin.local_addr(), namespace, "started");
        Ok(Self { server_addr, admin, readiness, tasks, shutdown })
    }

    /// Where API servers connect.
    pub fn server_addr(&self) -> SocketAddr {
        self.server_addr
    }

    /// Where metrics and health are shown.
    pub fn admin_addr(&self) -> SocketAddr {
        self.admin.local_addr()
    }

    /// Whether API servers can be expected to believe it.
    pub fn readiness(&self) -> &Readiness {
        &self.readiness
    }

    /// Serves until the process drains, and then lets everybody finish.
    pub async fn run(self) {
        self.shutdown.draining().await;
        self.readiness.drain();
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
}

/// What keeps the certificate up.
struct Keep {
    shown: Shown,
    metrics: Metrics,
    hold: Hold,
    shutdown: Shutdown,
    tasks: Tasks,
}

impl Keep {
    async fn start(self, config: &Certificate, namespace: &str) -> Result<(), Error> {
        match config.source {
            Source::Files => {
                let directory = config.directory.clone();
                let Self { shown, metrics, hold, shutdown, tasks } = self;
                tasks.spawn("certificate", async move {
                    certificate::watch(&directory, &shown, &metrics, hold, &shutdown).await;
                });
                Ok(())
            }
            Source::Secret => self.start_own(config, namespace).await,
        }
    }

    async fn start_own(self, config: &Certificate, namespace: &str) -> Result<(), Error> {
        let api = ApiServer::at(config::api_server()?, AGENT).await?;
        let names = certificate::Names {
            namespace: namespace.to_owned(),
            secret: config.secret.clone(),
            webhook_configuration: config.webhook_configuration.clone(),
        };
        let cluster = Cluster::new(api, names);
        let name = format!("{}.{namespace}.svc", config.service);
        let Self { shown, metrics, hold, shutdown, tasks } = self;
        tasks.spawn("certificate", async move {
            certificate::keep(cluster, &name, &shown, &metrics, hold, &shutdown).await;
        });
        Ok(())
    }
}
