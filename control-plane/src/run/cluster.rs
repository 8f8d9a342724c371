//! In a cluster: the API server says what people want, whose tokens are good, and who writes back into it.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::{sync::watch, time::sleep};
use weft_identity::TrustDomain;
use weft_kubernetes::ApiServer;
use weft_runtime::{Readiness, Shutdown};

use super::{ControlPlane, Error, Foundation, Process};
use crate::{
    authenticate::{Authenticator, Reviewer},
    bundles,
    config::InCluster,
    issue::{self, Issuer},
    lease,
    metrics::Metrics,
    status,
    watch::{Cluster, Source},
};

/// What the control plane calls itself before API servers.
const AGENT: &str = concat!("weft-control-plane/", env!("CARGO_PKG_VERSION"));
/// The Lease of whoever writes status.
const LEASE: &str = "weft-control-plane";
/// When the API server does not answer at the start, it is asked again after this long.
const START_PAUSE: Duration = Duration::from_secs(1);
/// After a first signal proxies are served for this long: it takes a moment until nobody new is sent here.
const LINGER: Duration = Duration::from_secs(3);

impl ControlPlane {
    /// Starts everything in a cluster. When this returns, proxies are served; `None` if `shutdown` came before that. Must
    /// run inside a runtime with I/O and time.
    pub async fn start_in_cluster(config: &InCluster, shutdown: Shutdown) -> Result<Option<Self>, Error> {
        // First, so that whoever waits is told for what.
        let process = Process::start(config.admin, shutdown.clone())?;
        let api = ApiServer::at(config.api_server.clone(), AGENT).await?;
        process
            .tasks
            .spawn("own token", be_known(api.stranger(), process.readiness.clone(), shutdown.clone()));
        let ready = async {
            let trust_domain: TrustDomain = config.trust_domain.parse()?;
            let authority = authority(&api, &config.namespace, &trust_domain).await?;
            let Process { metrics, tasks, served, .. } = &process;
            let cluster = Cluster::open(&api, &config.namespace, metrics.clone(), tasks, served).await;
            Ok::<_, Error>((trust_domain, authority, cluster))
        };
        let (trust_domain, authority, cluster) = tokio::select! {
            ready = ready => ready?,
            () = shutdown.draining() => return Ok(None),
        };
        let issuer = Arc::new(Issuer::new(authority, config.certificate_lifetime.get()));
        write_back(&process, &api, config, &issuer, &cluster);
        let foundation = Foundation {
            trust_domain,
            namespace: config.namespace.clone(),
            issuer,
            authenticator: Authenticator::Review(Reviewer::new(api)),
            source: Source::Cluster(cluster),
            linger: LINGER,
        };
        process.serve(config.listen, foundation).map(Some)
    }
}

/// The authority that all replicas share, however long it takes to get it.
async fn authority(
    api: &ApiServer,
    namespace: &str,
    trust_domain: &TrustDomain,
) -> Result<weft_identity::authority::Authority, Error> {
    loop {
        match issue::share(api, namespace, trust_domain, SystemTime::now()).await {
            Err(error) if error.is_passing() => {
                tracing::warn!(%error, "there is no certificate authority yet: trying again");
                sleep(START_PAUSE).await;
            }
            done => return Ok(done?),
        }
    }
}

/// Is not ready for as long as the API server refuses the control plane's own token: then nothing that changes is heard of, and
/// nobody can be let in.
async fn be_known(mut stranger: watch::Receiver<bool>, readiness: Readiness, shutdown: Shutdown) {
    let mut hold = None;
    loop {
        let is_stranger = *stranger.borrow_and_update();
        hold = is_stranger
            .then(|| hold.take().unwrap_or_else(|| readiness.hold("the API server to take its own token")));
        tokio::select! {
            Ok(()) = stranger.changed() => {}
            () = shutdown.draining() => return,
            // There is no way to the API server any more.
            else => return,
        }
    }
}

/// Starts what writes into the cluster.
fn write_back(process: &Process, api: &ApiServer, config: &InCluster, issuer: &Issuer, cluster: &Cluster) {
    let Process { tasks, shutdown, metrics, .. } = process;
    let (leads, leader) = watch::channel(false);
    let names =
        lease::Names { namespace: config.namespace.clone(), lease: LEASE, holder: config.pod.clone() };
    let (lease_api, lease_shutdown) = (api.clone(), shutdown.clone());
    tasks.spawn("lease", async move { lease::keep(&lease_api, &names, &leads, &lease_shutdown).await });
    tasks.spawn("leader", show(leader.clone(), metrics.clone()));
    let roots = issuer.roots_pem().to_owned();
    tasks.spawn("bundles", bundles::keep(api.clone(), roots, cluster.namespaces(), shutdown.clone()));
    let reports = cluster.reports();
    tasks.spawn("status", status::keep(api.clone(), reports, leader, metrics.clone(), shutdown.clone()));
}

/// Shows whether this replica leads, until nobody can say so any more.
async fn show(mut leader: watch::Receiver<bool>, metrics: Metrics) {
    while leader.changed().await.is_ok() {
        metrics.leads.set(i64::from(*leader.borrow_and_update()));
    }
}
