//! One look at all sidecars: what they tell, and who tells nothing.

use futures_util::{StreamExt, stream};
use http::StatusCode;

use super::{breaker::Breaker, sidecars::Sidecar};
use crate::{
    metrics::Metrics,
    wire::{self, Failure},
};

/// Sidecars that are asked at once: all of them, on most machines, and fewer than a process may have files open.
const AT_ONCE: usize = 256;

/// What was seen.
#[derive(Debug, Default)]
pub(crate) struct Look {
    /// Sidecars that were asked.
    pub(crate) asked: usize,
    /// All breakers: open ones first, then half-open ones, then by name.
    pub(crate) breakers: Vec<Breaker>,
    /// The sidecars that did not answer.
    pub(crate) unanswered: Vec<Unanswered>,
}

/// A sidecar that did not answer.
#[derive(Debug)]
pub(crate) struct Unanswered {
    /// Which one.
    pub(crate) sidecar: Sidecar,
    /// Why not.
    pub(crate) reason: Reason,
}

/// Why nothing is known of a sidecar.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Reason {
    /// Nobody is there, or silent.
    #[error(transparent)]
    Silent(#[from] Failure),
    /// Somebody else is there.
    #[error("what answers (with {0}) is no sidecar; is this its `admin` address?")]
    Stranger(StatusCode),
}

impl Look {
    /// Asks every sidecar; waits 2 s at most for each.
    pub(crate) async fn at(sidecars: &[Sidecar]) -> Self {
        let answers = stream::iter(sidecars.iter().cloned()).map(async |sidecar| {
            let answer = ask(&sidecar).await;
            (sidecar, answer)
        });
        let answers: Vec<_> = answers.buffered(AT_ONCE).collect().await;
        let mut look = Self { asked: answers.len(), ..Self::default() };
        for (sidecar, answer) in answers {
            match answer {
                Ok(metrics) => look.breakers.extend(Breaker::read(&sidecar.workload, &metrics)),
                Err(reason) => look.unanswered.push(Unanswered { sidecar, reason }),
            }
        }
        look.sort();
        look
    }

    fn sort(&mut self) {
        self.breakers.sort_by(|a, b| (a.state, &a.key).cmp(&(b.state, &b.key)));
    }

    /// What is seen if the sidecars of these workloads answer with these metrics, for tests.
    #[cfg(test)]
    pub(crate) fn of(answers: &[(&str, &str)]) -> Self {
        let read = |(workload, text): &(&str, &str)| Breaker::read(workload, &Metrics::parse(text));
        let breakers = answers.iter().flat_map(read).collect();
        let mut look = Self { asked: answers.len(), breakers, unanswered: Vec::new() };
        look.sort();
        look
    }
}

async fn ask(sidecar: &Sidecar) -> Result<Metrics, Reason> {
    let (status, body) = wire::get(sidecar.admin, "/metrics").await?;
    let metrics = Metrics::parse(&String::from_utf8_lossy(&body));
    // Every sidecar has this one, and nothing else has.
    if status != StatusCode::OK || metrics.get("weft_xds_connected", &[]).is_none() {
        return Err(Reason::Stranger(status));
    }
    Ok(metrics)
}

#[cfg(test)]
mod tests;
