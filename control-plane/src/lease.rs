//! Which of several replicas does what only one may do: whoever holds the Lease.
//!
//! The clocks of two machines are never compared. A holder has gone when its Lease has not changed for the time that it
//! says itself, on the clock of whoever looks; and a holder that cannot renew stops before others may think so.

use std::time::{Duration, SystemTime};

use hyper::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};
use weft_kubernetes::{ApiServer, RequestError, api_server::Write};
use weft_runtime::Shutdown;

/// A holder that has not renewed for this long is thought to be gone.
const DURATION: Duration = Duration::from_secs(15);
/// A holder that could not renew for this long holds no more.
const RENEWAL_WAIT: Duration = Duration::from_secs(10);
/// How often the Lease is looked at.
const LOOK: Duration = Duration::from_secs(3);

/// The Lease, and who wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// Namespace of the Lease.
    pub namespace: String,
    /// The Lease.
    pub lease: &'static str,
    /// Who wants it: a name that no other process has.
    pub holder: String,
}

/// `spec` of a Lease (coordination.k8s.io/v1), as far as it counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    holder_identity: String,
    lease_duration_seconds: u64,
    acquire_time: String,
    renew_time: String,
    lease_transitions: u64,
}

/// A Lease as the API server holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Held {
    version: String,
    spec: Spec,
}

/// What one replica knows of the others.
#[derive(Debug)]
struct Election {
    holder: String,
    /// The Lease when it last became another, and when that was seen.
    seen: Option<(Held, Instant)>,
}

/// What a replica does next.
#[derive(Debug, PartialEq, Eq)]
enum Act {
    /// Nobody ever held it: makes it.
    Create(Spec),
    /// Takes or renews it.
    Replace(Spec),
    /// Somebody else holds it.
    Wait,
}

impl Election {
    fn new(holder: String) -> Self {
        Self { holder, seen: None }
    }

    /// What to do about a Lease that is `found` at `now`; `clock` is what is written down.
    fn act(&mut self, found: Option<&Held>, now: Instant, clock: SystemTime) -> Act {
        let Some(found) = found else { return Act::Create(self.taken(0, clock)) };
        if self.seen.as_ref().is_none_or(|(held, _)| held != found) {
            self.seen = Some((found.clone(), now));
        }
        let spec = &found.spec;
        if spec.holder_identity == self.holder {
            return Act::Replace(Spec { renew_time: micro_time(clock), ..spec.clone() });
        }
        let unchanged = self.seen.as_ref().map_or(Duration::ZERO, |(_, since)| now.duration_since(*since));
        let is_free =
            spec.holder_identity.is_empty() || unchanged >= Duration::from_secs(spec.lease_duration_seconds);
        if is_free { Act::Replace(self.taken(spec.lease_transitions + 1, clock)) } else { Act::Wait }
    }

    fn taken(&self, transitions: u64, clock: SystemTime) -> Spec {
        Spec {
            holder_identity: self.holder.clone(),
            lease_duration_seconds: DURATION.as_secs(),
            acquire_time: micro_time(clock),
            renew_time: micro_time(clock),
            lease_transitions: transitions,
        }
    }
}

/// Wants the Lease until the process drains, and says through `holds` whether this replica has it. Gives it back at the
/// end, so that another need not wait.
pub async fn keep(api: &ApiServer, names: &Names, holds: &watch::Sender<bool>, shutdown: &Shutdown) {
    let mut election = Election::new(names.holder.clone());
    let mut renewed: Option<Instant> = None;
    loop {
        match round(api, names, &mut election).await {
            Ok(true) => renewed = Some(Instant::now()),
            Ok(false) => renewed = None,
            Err(error) => tracing::debug!(%error, "the Lease cannot be renewed: trying again"),
        }
        let holding = renewed.is_some_and(|at| at.elapsed() < RENEWAL_WAIT);
        if holds.send_if_modified(|held| std::mem::replace(held, holding) != holding) {
            let words =
                if holding { "this replica writes status now" } else { "another replica writes status" };
            tracing::info!(lease = names.lease, "{words}");
        }
        tokio::select! {
            () = sleep(LOOK) => {}
            () = shutdown.draining() => break,
        }
    }
    if holds.send_replace(false)
        && let Err(error) = give_back(api, names).await
    {
        tracing::debug!(%error, "the Lease could not be given back: others take it when its time is over");
    }
}

/// One look. Says whether this replica holds the Lease after it.
async fn round(api: &ApiServer, names: &Names, election: &mut Election) -> Result<bool, RequestError> {
    let found = read(api, names).await?;
    let sent = match election.act(found.as_ref(), Instant::now(), SystemTime::now()) {
        Act::Wait => return Ok(false),
        Act::Create(spec) => api.send(Write::Create, &path(names, ""), &object(names, &spec, None)).await,
        Act::Replace(spec) => {
            let version = found.as_ref().map(|held| held.version.as_str());
            api.send(Write::Replace, &path(names, names.lease), &object(names, &spec, version)).await
        }
    };
    match sent {
        Ok(_) => Ok(true),
        // Another replica was first.
        Err(error) if error.is(StatusCode::CONFLICT) => Ok(false),
        Err(error) => Err(error),
    }
}

async fn give_back(api: &ApiServer, names: &Names) -> Result<(), RequestError> {
    let Some(Held { version, spec }) = read(api, names).await? else { return Ok(()) };
    if spec.holder_identity == names.holder {
        let spec = Spec { holder_identity: String::new(), lease_duration_seconds: 1, ..spec };
        let lease = object(names, &spec, Some(&version));
        api.send(Write::Replace, &path(names, names.lease), &lease).await?;
    }
    Ok(())
}

async fn read(api: &ApiServer, names: &Names) -> Result<Option<Held>, RequestError> {
    let Some(lease) = api.get(&path(names, names.lease)).await? else { return Ok(None) };
    let version = lease["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned();
    let spec = serde_json::from_value(lease["spec"].clone());
    let spec = spec.map_err(|error| RequestError::Answer(format!("Lease {}: {error}", names.lease)))?;
    Ok(Some(Held { version, spec }))
}

fn path(names: &Names, lease: &str) -> String {
    let all = format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases", names.namespace);
    if lease.is_empty() { all } else { format!("{all}/{lease}") }
}

/// With a version, an API server refuses to replace another one.
fn object(names: &Names, spec: &Spec, version: Option<&str>) -> Value {
    let mut spec = json!(spec);
    if spec["holderIdentity"] == "" {
        spec["holderIdentity"] = Value::Null;
    }
    let mut object = json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": { "name": names.lease, "labels": { "app.kubernetes.io/part-of": "weft" } },
        "spec": spec,
    });
    if let Some(version) = version {
        object["metadata"]["resourceVersion"] = version.into();
    }
    object
}

/// `MicroTime` of meta/v1.
fn micro_time(clock: SystemTime) -> String {
    let time = Timestamp::try_from(clock).unwrap_or(Timestamp::UNIX_EPOCH);
    format!("{time:.6}")
}

#[cfg(test)]
mod tests;
