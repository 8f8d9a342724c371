//! Pods of the mesh that got their network before the plugin had its place, as happens where a node joins: nothing
//! redirects their connections, `weft-init` finds that out, and only a pod that is made anew gets another network.
//!
//! Pods that came later are never touched. So what fails for another reason is not deleted over and over.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use weft_api::names::CONTAINER_INIT;

use crate::decide;

/// Runtimes notice a changed list within this time; until then, pods may still come too early.
const NOTICED: Duration = Duration::from_secs(10);

/// The moment at which the plugin took its place, and what is known of the pods from before.
#[derive(Debug, Default)]
pub struct Early {
    /// Pods before it came too early. None: there are none left.
    before: Option<Timestamp>,
}

/// A pod that must be made anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Which of that name.
    pub uid: String,
}

impl Early {
    /// The plugin took its place at `now`.
    pub fn placed(&mut self, now: Timestamp) {
        // Times are bounded; at the end of them nothing comes later.
        self.before = Some(now.checked_add(NOTICED).unwrap_or(Timestamp::MAX));
    }

    /// Whether there may be any.
    pub fn expects_any(&self) -> bool {
        self.before.is_some()
    }

    /// Those among the pods of the node that have not come to run (a `PodList`) that failed for want of a redirect. Once
    /// no pod is left that came too early, none is expected any more.
    pub fn failed(&mut self, pending: &Value, now: Timestamp) -> Vec<Pod> {
        let Some(before) = self.before else { return Vec::new() };
        let pods = pending["items"].as_array().map_or(&[][..], Vec::as_slice);
        let early = |pod: &&Value| {
            let started: Option<Timestamp> =
                pod["status"]["startTime"].as_str().and_then(|time| time.parse().ok());
            // Without a time the kubelet has not begun with it.
            decide::redirect(pod).is_some() && started.is_some_and(|started| started < before)
        };
        let early: Vec<&Value> = pods.iter().filter(early).collect();
        if early.is_empty() && now >= before {
            self.before = None;
        }
        early.into_iter().filter(|pod| has_failed(pod)).filter_map(named).collect()
    }
}

/// Whether its `weft-init` has ended badly at least once.
fn has_failed(pod: &Value) -> bool {
    let statuses = pod["status"]["initContainerStatuses"].as_array().map_or(&[][..], Vec::as_slice);
    let init = statuses.iter().find(|status| status["name"] == CONTAINER_INIT);
    init.is_some_and(|init| {
        [&init["state"], &init["lastState"]]
            .iter()
            .any(|state| state["terminated"]["exitCode"].as_i64().is_some_and(|code| code != 0))
    })
}

fn named(pod: &Value) -> Option<Pod> {
    let field = |name: &str| Some(pod["metadata"][name].as_str()?.to_owned());
    let own = Pod { namespace: field("namespace")?, name: field("name")?, uid: field("uid")? };
    (decide::is_name(&own.namespace) && decide::is_name(&own.name)).then_some(own)
}

#[cfg(test)]
mod tests;
