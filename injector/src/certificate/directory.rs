//! A certificate in files that somebody else writes, as cert-manager does through a mounted Secret.

use std::{
    io,
    path::{Path, PathBuf},
    time::{Duration, UNIX_EPOCH},
};

use tokio::{fs, time::sleep};
use weft_runtime::{Shutdown, readiness::Hold};
use zeroize::Zeroizing;

use super::shown::{InvalidCertificate, Shown};
use crate::metrics::Metrics;

/// How often the files are looked at; the kubelet brings a changed Secret within a minute or two.
const LOOK: Duration = Duration::from_secs(5);

/// Why there is nothing to show.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{path}: {source}", path = path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Invalid(#[from] InvalidCertificate),
}

/// Certificate chain and key, PEM.
type Pair = (String, Zeroizing<String>);

/// Shows `tls.crt` and `tls.key` of `directory`, and what they become, until the process drains. Releases `hold` once
/// there is something to show. What cannot be shown leaves what was there before.
pub async fn watch(directory: &Path, shown: &Shown, metrics: &Metrics, hold: Hold, shutdown: &Shutdown) {
    let mut hold = Some(hold);
    let mut known: Option<Pair> = None;
    loop {
        match look(directory, known.as_ref(), shown, metrics).await {
            Ok(None) => {}
            Ok(Some(pair)) => {
                known = Some(pair);
                tracing::info!(directory = %directory.display(), "took a new certificate");
                if let Some(hold) = hold.take() {
                    hold.release();
                }
            }
            Err(error) => tracing::error!(%error, "the webhook's certificate cannot be taken: trying again"),
        }
        tokio::select! {
            () = sleep(LOOK) => {}
            () = shutdown.draining() => return,
        }
    }
}

/// What is shown now, if it is not what was known.
async fn look(
    directory: &Path,
    known: Option<&Pair>,
    shown: &Shown,
    metrics: &Metrics,
) -> Result<Option<Pair>, Failure> {
    let pair =
        (read(directory.join("tls.crt")).await?, Zeroizing::new(read(directory.join("tls.key")).await?));
    if known == Some(&pair) {
        return Ok(None);
    }
    let end = shown.show(&pair.0, &pair.1)?;
    metrics.not_after.set(end.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs().cast_signed());
    Ok(Some(pair))
}

async fn read(path: PathBuf) -> Result<String, Failure> {
    fs::read_to_string(&path).await.map_err(|source| Failure::Unreadable { path, source })
}
