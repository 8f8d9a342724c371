//! What became of policies goes back onto them: `status`, for whoever wrote them (GEP-713).
//!
//! What is wanted is computed from what is in force, and written where the object says something else. So nothing is
//! lost by a failed write, a restart or another replica: the difference stays until it is gone.

mod wanted;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use hyper::StatusCode;
use serde_json::json;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};
use weft_api::status::Ancestor;
use weft_kubernetes::{ApiServer, RequestError, api_server::Write};
use weft_runtime::Shutdown;

use crate::{metrics::Metrics, store::ObjectKey};

pub use wanted::{Fate, Outcome, wanted};

/// After a write that failed, everything is compared again after this long;
const RETRY: Duration = Duration::from_secs(2);
/// and in any case after this.
const COMPARE: Duration = Duration::from_mins(5);

/// A policy as the API server holds it, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Which one.
    pub policy: ObjectKey,
    /// `metadata.resourceVersion`.
    pub version: String,
    /// `metadata.generation`.
    pub generation: i64,
    /// What became of it, for each target.
    pub fates: Vec<Fate>,
    /// Its status.
    pub held: Vec<Ancestor>,
}

/// Reports on all policies.
pub type Reports = Arc<Vec<Report>>;

/// Writes status for as long as this replica `leads`, until the process drains.
pub async fn keep(
    api: ApiServer,
    mut reports: watch::Receiver<Reports>,
    mut leads: watch::Receiver<bool>,
    metrics: Metrics,
    shutdown: Shutdown,
) {
    let mut writer = Writer { api, metrics, written: BTreeMap::new() };
    loop {
        let mut again = COMPARE;
        if *leads.borrow_and_update() {
            let current = reports.borrow_and_update().clone();
            let all = tokio::select! {
                all = writer.write_all(&current) => all,
                () = shutdown.draining() => return,
            };
            if !all {
                again = RETRY;
            }
        }
        let due = Instant::now() + again;
        tokio::select! {
            Ok(()) = reports.changed() => {}
            Ok(()) = leads.changed() => writer.written.clear(),
            () = sleep_until(due) => writer.written.clear(),
            () = shutdown.draining() => return,
        }
    }
}

struct Writer {
    api: ApiServer,
    metrics: Metrics,
    /// What was written over which version: until the object comes back with it, it is not written again.
    written: BTreeMap<ObjectKey, (String, Vec<Ancestor>)>,
}

impl Writer {
    /// Writes what differs. Says whether all of it could be.
    async fn write_all(&mut self, reports: &[Report]) -> bool {
        let mut all = true;
        self.written.retain(|key, _| reports.iter().any(|report| report.policy == *key));
        for report in reports {
            let Some(ancestors) = wanted(report, SystemTime::now()) else { continue };
            let is_written = self.written.get(&report.policy).is_some_and(|(version, written)| {
                *version == report.version && wanted::is_same(written, &ancestors)
            });
            if !is_written {
                all &= self.write(report, ancestors).await;
            }
        }
        all
    }

    async fn write(&mut self, report: &Report, ancestors: Vec<Ancestor>) -> bool {
        // With the version, an API server refuses to write over what has not been seen here.
        let patch = json!({
            "metadata": { "resourceVersion": report.version },
            "status": { "ancestors": ancestors },
        });
        let result = self.api.send(Write::Merge, &path(&report.policy), &patch).await;
        let label = match &result {
            Ok(_) => "written",
            // It has changed, or is gone. The watch tells.
            Err(error) if error.is(StatusCode::CONFLICT) || error.is(StatusCode::NOT_FOUND) => "stale",
            Err(error) => {
                log(report, error);
                "failed"
            }
        };
        self.metrics.status_writes.with_label_values(&[label]).inc();
        self.written.insert(report.policy.clone(), (report.version.clone(), ancestors));
        label != "failed"
    }
}

fn log(report: &Report, error: &RequestError) {
    tracing::warn!(policy = %report.policy, %error, "its status cannot be written: trying again");
}

/// Path of the status of a policy.
fn path(policy: &ObjectKey) -> String {
    let ObjectKey { kind, name } = policy;
    let plural = kind.policy_resource().expect("reports are about policies alone");
    format!("/apis/{}/namespaces/{}/{plural}/{}/status", kind.api_version(), name.namespace, name.name)
}
