//! Keeps the injector's own certificate up, together with the other replicas.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::sleep;
use weft_runtime::{Shutdown, readiness::Hold};

use super::{
    cluster::{Cluster, ClusterError, Written},
    generations::Generations,
    shown::{InvalidCertificate, Shown},
};
use crate::metrics::Metrics;

/// How often the Secret and the webhook configuration are looked at: two small reads.
pub(super) const LOOK: Duration = Duration::from_secs(15);
/// When something failed, it is tried again after this long; the pause doubles up to [`LOOK`].
const RETRY: Duration = Duration::from_secs(1);

/// Tries to write in one round: after the first, another replica has written already.
const WRITES_MAX: usize = 8;

/// What went wrong in one round.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error("a certificate cannot be made: {0}")]
    Make(#[from] rcgen::Error),
    #[error("the certificate cannot be shown: {0}")]
    Show(#[from] InvalidCertificate),
    #[error("other replicas keep writing: trying again")]
    Contended,
}

/// Makes, shares, announces and shows certificates for the DNS name `name` until the process drains. Releases `hold`
/// when API servers believe what is shown.
pub async fn keep(
    cluster: Cluster,
    name: &str,
    shown: &Shown,
    metrics: &Metrics,
    hold: Hold,
    shutdown: &Shutdown,
) {
    let mut hold = Some(hold);
    let mut pause = RETRY;
    loop {
        match round(&cluster, name, shown, metrics, SystemTime::now()).await {
            Ok(()) => {
                pause = RETRY;
                if let Some(hold) = hold.take() {
                    hold.release();
                }
            }
            Err(error) => {
                tracing::error!(%error, "the webhook's certificate cannot be kept up: trying again");
                pause = (pause * 2).min(LOOK);
            }
        }
        let wait = if pause == RETRY { LOOK } else { pause };
        tokio::select! {
            () = sleep(wait) => {}
            () = shutdown.draining() => return,
        }
    }
}

/// One look: what is kept, renewed if it is time, announced, and only then shown.
pub(super) async fn round(
    cluster: &Cluster,
    name: &str,
    shown: &Shown,
    metrics: &Metrics,
    now: SystemTime,
) -> Result<(), Failure> {
    let generations = settle(cluster, name, now).await?;
    cluster.announce(&generations.roots()).await?;
    let (certificate, key) = generations.current();
    let end = shown.show(certificate, key)?;
    metrics.not_after.set(end.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs().cast_signed());
    Ok(())
}

/// The generations that all replicas agree on.
async fn settle(cluster: &Cluster, name: &str, now: SystemTime) -> Result<Generations, Failure> {
    for _ in 0..WRITES_MAX {
        let kept = cluster.read().await?;
        let wanted = match &kept {
            None => Generations::create(name, now)?,
            Some(kept) => match kept.generations.renewed(name, now)? {
                None => return Ok(kept.generations.clone()),
                Some(renewed) => renewed,
            },
        };
        if cluster.write(&wanted, kept.as_ref()).await? == Written::Kept {
            tracing::info!(name, "made a new certificate for the webhook");
            return Ok(wanted);
        }
    }
    Err(Failure::Contended)
}
