//! What became of policies and routes goes back onto them: `status`, for whoever wrote them (GEP-713, Gateway API).
//!
//! What is wanted is computed from what is in force, and written where the object says something else. So nothing is
//! lost by a failed write, a restart or another replica: the difference stays until it is gone.

mod fate;
mod form;
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
use weft_kubernetes::{ApiServer, RequestError, api_server::Write};
use weft_runtime::Shutdown;

use crate::{metrics::Metrics, store::ObjectKey};

pub use fate::{Acceptance, Fate, Outcome, Resolution, Statement};
pub use form::{Entry, Form, Held};
pub use wanted::wanted;

/// After a write that failed, everything is compared again after this long;
const RETRY: Duration = Duration::from_secs(2);
/// and in any case after this.
const COMPARE: Duration = Duration::from_mins(5);

/// A policy or a route as the API server holds it, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Which one.
    pub object: ObjectKey,
    /// `metadata.resourceVersion`.
    pub version: String,
    /// `metadata.generation`.
    pub generation: i64,
    /// What became of it, for each target or parent.
    pub fates: Vec<Fate>,
    /// How its status is written,
    pub form: Form,
    /// and what it says.
    pub held: Held,
}

/// Reports on all policies and routes.
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
    written: BTreeMap<ObjectKey, (String, Vec<Entry>)>,
}

impl Writer {
    /// Writes what differs. Says whether all of it could be.
    async fn write_all(&mut self, reports: &[Report]) -> bool {
        let mut all = true;
        self.written.retain(|key, _| reports.iter().any(|report| report.object == *key));
        for report in reports {
            let Some(entries) = wanted(report, SystemTime::now()) else { continue };
            let is_written = self.written.get(&report.object).is_some_and(|(version, written)| {
                *version == report.version && wanted::is_same(written, &entries)
            });
            if !is_written {
                all &= self.write(report, entries).await;
            }
        }
        all
    }

    async fn write(&mut self, report: &Report, entries: Vec<Entry>) -> bool {
        // With the version, an API server refuses to write over what has not been seen here.
        let patch = json!({
            "metadata": { "resourceVersion": report.version },
            "status": { report.form.list(): report.form.write(&entries, &report.held.others) },
        });
        let result = self.api.send(Write::Merge, &path(&report.object), &patch).await;
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
        self.written.insert(report.object.clone(), (report.version.clone(), entries));
        label != "failed"
    }
}

fn log(report: &Report, error: &RequestError) {
    tracing::warn!(object = %report.object, %error, "its status cannot be written: trying again");
}

/// Path of the status of an object.
fn path(object: &ObjectKey) -> String {
    let ObjectKey { kind, name } = object;
    let plural = kind.status_resource().expect("reports are about kinds with a status of ours alone");
    format!("/apis/{}/namespaces/{}/{plural}/{}/status", kind.api_version(), name.namespace, name.name)
}
