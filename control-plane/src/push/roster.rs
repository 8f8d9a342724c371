//! Who is connected, and how far each has come: what `/proxies` shows.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Instant, SystemTime},
};

use serde::Serialize;
use weft_xds::{Kind, Publish, publish::SyncState};

use super::view::Subscriber;
use crate::snapshot::milliseconds;

/// Every connected proxy. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Roster(Arc<Mutex<Entries>>);

#[derive(Debug, Default)]
struct Entries {
    next: u64,
    proxies: BTreeMap<u64, Entry>,
}

#[derive(Debug)]
struct Entry {
    subscriber: Subscriber,
    peer: SocketAddr,
    since: Instant,
    /// By kind, in the order of `Kind::ALL`; absent before anything was sent.
    kinds: Vec<Progress>,
}

/// How far one kind has come with one proxy.
#[derive(Debug)]
struct Progress {
    kind: Kind,
    subscribed: usize,
    sync: SyncState,
    refused_at: Option<SystemTime>,
}

/// A place in the roster: left when dropped.
#[derive(Debug)]
pub(super) struct Place {
    id: u64,
    roster: Roster,
}

/// A proxy, as `/proxies` shows it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row<'a> {
    namespace: &'a str,
    /// Empty if only the service account was proved.
    workload: &'a str,
    service_account: &'a str,
    peer: String,
    connected_seconds: u64,
    kinds: Vec<Cell<'a>>,
}

/// A kind of a proxy, as `/proxies` shows it. Versions are generations: milliseconds since 1970.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Cell<'a> {
    kind: &'static str,
    subscribed: usize,
    sent: Option<u64>,
    acked: Option<u64>,
    awaiting_seconds: Option<f64>,
    nack: Option<Nack<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Nack<'a> {
    /// Milliseconds since 1970.
    at: Option<u64>,
    message: &'a str,
    resources: BTreeMap<&'a str, &'a str>,
}

impl Roster {
    /// Takes a place for a proxy that was authenticated.
    pub(super) fn enter(&self, subscriber: &Subscriber, peer: SocketAddr, now: Instant) -> Place {
        let mut entries = self.entries();
        let id = entries.next;
        entries.next += 1;
        let entry = Entry { subscriber: subscriber.clone(), peer, since: now, kinds: Vec::new() };
        entries.proxies.insert(id, entry);
        Place { id, roster: self.clone() }
    }

    /// Everyone, as JSON.
    pub fn to_json(&self, now: Instant) -> String {
        let entries = self.entries();
        let rows: Vec<_> = entries.proxies.values().map(|entry| row(entry, now)).collect();
        serde_json::to_string_pretty(&rows).expect("rows are texts and numbers, which JSON holds")
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        // Nothing that can panic runs under the lock, so a poisoned roster is whole all the same.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Shows how far the publisher has come.
    pub(super) fn update(&self, publisher: &impl Publish, clock: SystemTime) {
        let mut entries = self.roster.entries();
        let Some(entry) = entries.proxies.get_mut(&self.id) else { return };
        let before = std::mem::take(&mut entry.kinds);
        entry.kinds = Kind::ALL.into_iter().map(|kind| progress(kind, publisher, &before, clock)).collect();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.roster.entries().proxies.remove(&self.id);
    }
}

fn progress(kind: Kind, publisher: &impl Publish, before: &[Progress], clock: SystemTime) -> Progress {
    let sync = publisher.sync(kind).clone();
    let before = before.iter().find(|progress| progress.kind == kind);
    let known = before.filter(|progress| progress.sync.refusal == sync.refusal).and_then(|p| p.refused_at);
    let refused_at = sync.refusal.as_ref().map(|_| known.unwrap_or(clock));
    Progress { kind, subscribed: publisher.subscribed(kind).count(), sync, refused_at }
}

fn row(entry: &Entry, now: Instant) -> Row<'_> {
    let subscribed = entry.kinds.iter().filter(|progress| progress.subscribed > 0);
    Row {
        namespace: entry.subscriber.namespace(),
        workload: entry.subscriber.name(),
        service_account: entry.subscriber.service_account(),
        peer: entry.peer.to_string(),
        connected_seconds: now.saturating_duration_since(entry.since).as_secs(),
        kinds: subscribed.map(|progress| cell(progress, now)).collect(),
    }
}

fn cell(progress: &Progress, now: Instant) -> Cell<'_> {
    let Progress { kind, subscribed, sync, refused_at } = progress;
    let awaiting = sync.awaiting.map(|since| now.saturating_duration_since(since).as_secs_f64());
    let nack = sync.refusal.as_ref().map(|refusal| Nack {
        at: refused_at.map(milliseconds),
        message: &refusal.message,
        resources: refusal.resources.iter().map(|(name, why)| (name.as_str(), why.as_str())).collect(),
    });
    Cell {
        kind: label(*kind),
        subscribed: *subscribed,
        sent: sync.sent,
        acked: sync.acked,
        awaiting_seconds: awaiting,
        nack,
    }
}

/// The kind's message, as operators of Envoy know it.
pub(super) const fn label(kind: Kind) -> &'static str {
    match kind {
        Kind::Secret => "Secret",
        Kind::Cluster => "Cluster",
        Kind::Endpoints => "ClusterLoadAssignment",
        Kind::Listener => "Listener",
        Kind::Routes => "RouteConfiguration",
    }
}
