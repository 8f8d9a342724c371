//! Keeps the plugin in the runtime's chain, whoever rewrites it, until the mesh is uninstalled.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tokio::time::{MissedTickBehavior, interval};
use weft_runtime::{Shutdown, readiness::Hold};

use crate::{
    cluster::Cluster,
    early::Early,
    folders::{Folders, Place},
    metrics::Metrics,
};

/// How often the chain is looked at: pods that are made until then have no redirect, and must be made anew.
const LOOK: Duration = Duration::from_secs(1);
/// Looks at the chain between two looks for pods that came too early.
const LOOKS_PER_SEARCH: u32 = 5;

/// Watches over the plugin's place.
pub struct Keeper {
    /// The folders of the node.
    pub folders: Folders,
    /// The plugin's entry.
    pub entry: Value,
    /// Who knows the pods, and whether the mesh is installed.
    pub cluster: Cluster,
    /// Whether pods that came too early are deleted.
    pub repair: bool,
    /// Counts.
    pub metrics: Metrics,
    /// Released once the plugin has its place.
    pub hold: Option<Hold>,
}

impl Keeper {
    /// Runs until the process drains. Where the mesh is uninstalled by then, the chain is left as it was before.
    pub async fn run(mut self, shutdown: &Shutdown) {
        let mut ticks = interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut early, mut said, mut looks) = (Early::default(), String::new(), 0_u32);
        loop {
            tokio::select! {
                biased;
                () = shutdown.draining() => break,
                _ = ticks.tick() => {}
            }
            self.look(&mut early, &mut said);
            looks = looks.wrapping_add(1);
            if self.repair && early.expects_any() && looks.is_multiple_of(LOOKS_PER_SEARCH) {
                tokio::select! {
                    () = shutdown.draining() => break,
                    () = self.search(&mut early) => {}
                }
            }
        }
        self.leave().await;
    }

    /// Looks once. `said` is what was said last, which is not said again.
    fn look(&mut self, early: &mut Early, said: &mut String) {
        let says = match self.folders.enlist(&self.entry) {
            Ok(Place::Kept) => String::new(),
            Ok(Place::Taken(file)) => {
                tracing::info!(file, "the plugin took its place in the chain");
                self.metrics.placed();
                early.placed(Timestamp::now());
                String::new()
            }
            Ok(Place::Nowhere) => {
                let folder = self.folders.lists.display();
                format!("there is no CNI configuration in {folder} yet: waiting for the network of the node")
            }
            Err(error) => error.to_string(),
        };
        if says.is_empty() {
            drop(self.hold.take());
        } else if *said != says {
            tracing::warn!("{says}");
        }
        *said = says;
    }

    async fn search(&self, early: &mut Early) {
        let pending = match self.cluster.pending().await {
            Ok(pending) => pending,
            Err(error) => {
                tracing::warn!(%error, "cannot look for pods that came too early");
                return;
            }
        };
        for pod in early.failed(&pending, Timestamp::now()) {
            let (namespace, name) = (&pod.namespace, &pod.name);
            match self.cluster.delete(namespace, name, &pod.uid).await {
                Ok(()) => {
                    tracing::info!(namespace, name, "deleted: it was made before the plugin had its place");
                    self.metrics.repaired();
                }
                Err(error) => {
                    tracing::warn!(namespace, name, %error, "cannot delete a pod that came too early");
                }
            }
        }
    }

    async fn leave(&self) {
        match self.cluster.is_installed().await {
            Ok(true) => tracing::info!("the plugin keeps its place: another agent comes"),
            Ok(false) => match self.folders.delist() {
                Ok(files) => tracing::info!(?files, "the mesh is uninstalled: the plugin gave its place up"),
                Err(error) => tracing::error!(%error, "the plugin cannot be taken out of the chain"),
            },
            Err(error) => {
                tracing::warn!(%error, "the plugin keeps its place, since nobody says whether the mesh is uninstalled");
            }
        }
    }
}
