//! From a pod and what to add to it to a JSON Patch (RFC 6902) of `add` operations. Pure.

use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    annotations::Settings,
    config::Installation,
    logs::{self, Sharing},
    sidecar,
};

/// Which container `kubectl logs` and `kubectl exec` take if none is named.
pub(crate) const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";

/// What to add to a pod.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// What the sidecar is like.
    pub settings: Settings,
    /// How log files are reached; nothing if none are named.
    pub sharing: Sharing,
}

/// One `add` operation (RFC 6902, section 4.1).
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "op", rename = "add")]
pub struct Add {
    /// Where: a JSON Pointer (RFC 6901).
    pub path: String,
    /// What.
    pub value: Value,
}

/// What to do to `pod`, for which `plan` was made.
pub fn patch(pod: &Value, plan: &Plan, installation: &Installation) -> Vec<Add> {
    let mut adds = volumes(pod, plan);
    // While the containers still stand at the places at which they came.
    adds.extend(log_mounts(pod, plan));
    let native = plan.settings.native;
    let init = sidecar::init(&plan.settings, installation);
    let proxy = sidecar::proxy(&plan.settings, installation);
    let adapter = (!plan.settings.log_files.is_empty())
        .then(|| sidecar::logs(&plan.settings, installation, &plan.sharing.mounts));
    if native {
        let first = [init, proxy].into_iter().chain(adapter).collect();
        adds.extend(insert(pod, "/spec/initContainers", Place::First, first));
    } else {
        adds.extend(insert(pod, "/spec/initContainers", Place::Last, vec![init]));
        adds.extend(default_container(pod));
        adds.extend(insert(pod, "/spec/containers", Place::First, vec![proxy]));
        adds.extend(insert(pod, "/spec/containers", Place::Last, adapter.into_iter().collect()));
    }
    adds
}

/// Applies `adds` to `target`. False, and then `target` may be changed in part, if a path leads nowhere; what
/// [`patch`] made for the same pod always leads somewhere.
#[must_use]
pub fn apply(target: &mut Value, adds: &[Add]) -> bool {
    adds.iter().all(|add| apply_one(target, add).is_some())
}

fn apply_one(target: &mut Value, add: &Add) -> Option<()> {
    let (parent, key) = add.path.rsplit_once('/')?;
    match target.pointer_mut(parent)? {
        Value::Object(fields) => {
            fields.insert(unescaped(key), add.value.clone());
        }
        Value::Array(items) if key == "-" => items.push(add.value.clone()),
        Value::Array(items) => {
            let index: usize = key.parse().ok()?;
            if index > items.len() {
                return None;
            }
            items.insert(index, add.value.clone());
        }
        _ => return None,
    }
    Some(())
}

fn volumes(pod: &Value, plan: &Plan) -> Vec<Add> {
    let logs =
        (0..plan.sharing.new.len()).map(|index| json!({"name": logs::volume_name(index), "emptyDir": {}}));
    let volumes = sidecar::volumes().into_iter().chain(logs).collect();
    insert(pod, "/spec/volumes", Place::Last, volumes)
}

/// Mounts the new directories for logs into each container of the pod.
fn log_mounts(pod: &Value, plan: &Plan) -> Vec<Add> {
    let containers = pod.pointer("/spec/containers").and_then(Value::as_array).map_or(0, Vec::len);
    let new = || plan.sharing.new.iter().enumerate();
    let mounts: Vec<Value> = new()
        .map(|(index, directory)| json!({"name": logs::volume_name(index), "mountPath": directory}))
        .collect();
    (0..containers)
        .flat_map(|index| {
            insert(pod, &format!("/spec/containers/{index}/volumeMounts"), Place::Last, mounts.clone())
        })
        .collect()
}

/// Keeps `kubectl logs` at the application when the sidecar is the first container.
fn default_container(pod: &Value) -> Vec<Add> {
    let Some(name) = pod.pointer("/spec/containers/0/name") else { return Vec::new() };
    let path = "/metadata/annotations";
    match pod.pointer(path) {
        Some(Value::Object(annotations)) if annotations.contains_key(DEFAULT_CONTAINER) => Vec::new(),
        Some(Value::Object(_)) => {
            vec![Add { path: format!("{path}/{}", escaped(DEFAULT_CONTAINER)), value: name.clone() }]
        }
        _ => vec![Add { path: path.to_owned(), value: json!({DEFAULT_CONTAINER: name}) }],
    }
}

/// Where in a list.
#[derive(Clone, Copy)]
enum Place {
    First,
    Last,
}

/// Adds `items`, in their order, to the list at `path`, or makes it of them if it is not there.
fn insert(pod: &Value, path: &str, place: Place, items: Vec<Value>) -> Vec<Add> {
    if items.is_empty() {
        return Vec::new();
    }
    if !pod.pointer(path).is_some_and(Value::is_array) {
        return vec![Add { path: path.to_owned(), value: Value::Array(items) }];
    }
    let at = |index: usize| match place {
        Place::First => index.to_string(),
        Place::Last => "-".to_owned(),
    };
    let item = |(index, value)| Add { path: format!("{path}/{}", at(index)), value };
    items.into_iter().enumerate().map(item).collect()
}

/// A name as it stands in a JSON Pointer (RFC 6901, section 3).
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// A name as it stood before [`escaped`]; the order matters (RFC 6901, section 4).
fn unescaped(name: &str) -> String {
    name.replace("~1", "/").replace("~0", "~")
}
