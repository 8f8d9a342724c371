//! Injection into manifests that people give: the pods in them, wherever their kind has them. Pure.

use serde_json::Value;

use crate::{
    annotations::quoted,
    config::Installation,
    decide::{Decision, decide},
    patch::{apply, patch},
};

/// Kinds that hold a pod, with their group and where the pod is in them.
const KINDS: [(&str, &str, &str); 8] = [
    ("", "Pod", ""),
    ("", "ReplicationController", "/spec/template"),
    ("apps", "Deployment", "/spec/template"),
    ("apps", "StatefulSet", "/spec/template"),
    ("apps", "DaemonSet", "/spec/template"),
    ("apps", "ReplicaSet", "/spec/template"),
    ("batch", "Job", "/spec/template"),
    ("batch", "CronJob", "/spec/jobTemplate/spec/template"),
];
/// Lists within lists, at most.
const DEPTH_MAX: usize = 4;

/// What became of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// `kind/name`, for people.
    pub object: String,
    /// What was done.
    pub done: Done,
    /// What people should know besides.
    pub warnings: Vec<String>,
}

/// What was done with an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// It has the sidecar now.
    Injected,
    /// It stays as it is, for this reason.
    Skipped(String),
    /// It stays as it is, and should not be used so.
    Refused(String),
    /// It holds no pod.
    Passed,
}

/// Not YAML.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct InvalidManifest {
    /// Line, from 1.
    pub line: u64,
    /// What is wrong there.
    pub message: String,
}

/// Reads every document of `text`, as `kubectl` would: YAML 1.1, in which `yes` is true and `0644` is octal. Empty ones
/// are passed over.
pub fn read(text: &str) -> Result<Vec<Value>, InvalidManifest> {
    let options = serde_saphyr::options! { legacy_octal_numbers: true, with_snippet: false };
    let documents: Vec<Value> =
        serde_saphyr::from_str_multiple_with_options(text, options).map_err(|error| InvalidManifest {
            line: error.location().map_or(1, |location| location.line()),
            message: error.render_with_formatter(&serde_saphyr::UserMessageFormatter).replace('\n', " "),
        })?;
    Ok(documents.into_iter().filter(|value| !value.is_null()).collect())
}

/// Writes documents so that readers of YAML 1.1 and 1.2 read the same.
///
/// # Errors
/// Never for what [`read`] returned.
pub fn write(documents: &[Value]) -> Result<String, String> {
    let mut text = String::new();
    for document in documents {
        if !text.is_empty() {
            text.push_str("---\n");
        }
        serde_saphyr::to_fmt_writer(&mut text, document).map_err(|error| error.to_string())?;
        if !text.ends_with('\n') {
            text.push('\n');
        }
    }
    Ok(text)
}

/// Injects into every pod of `document`. The namespace of the mesh and those of the cluster are passed over only where
/// the object says its namespace.
pub fn inject(document: &mut Value, installation: &Installation) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    inject_within(document, installation, DEPTH_MAX, &mut outcomes);
    outcomes
}

fn inject_within(object: &mut Value, installation: &Installation, depth: usize, outcomes: &mut Vec<Outcome>) {
    let is_list = text(object, "/apiVersion") == "v1" && text(object, "/kind") == "List";
    if let Some(items) =
        object.get_mut("items").and_then(Value::as_array_mut).filter(|_| is_list && depth > 0)
    {
        for item in items {
            inject_within(item, installation, depth - 1, outcomes);
        }
        return;
    }
    let name = match text(object, "/metadata/name") {
        "" => format!("{}*", text(object, "/metadata/generateName")),
        name => name.to_owned(),
    };
    let label = quoted(&format!("{}/{name}", text(object, "/kind").to_lowercase()));
    let namespace = text(object, "/metadata/namespace").to_owned();
    let (done, warnings) = match pod_path(object) {
        Some(path) => inject_pod(object, path, &namespace, installation),
        None => (Done::Passed, Vec::new()),
    };
    outcomes.push(Outcome { object: label, done, warnings });
}

fn inject_pod(
    object: &mut Value,
    path: &str,
    namespace: &str,
    installation: &Installation,
) -> (Done, Vec<String>) {
    let Some(pod) = object.pointer_mut(path).filter(|pod| pod.is_object()) else {
        return (Done::Refused(format!("it has no pod at {path}")), Vec::new());
    };
    // A template may do without metadata; what is decided and patched has it.
    let mut whole = pod.clone();
    if whole.get("metadata").is_none_or(Value::is_null) {
        whole["metadata"] = Value::Object(serde_json::Map::new());
    }
    let verdict = decide(&whole, namespace, installation);
    let done = match verdict.decision {
        Decision::Skip(why) => Done::Skipped(why.to_string()),
        Decision::Refuse(refusal) => Done::Refused(refusal.to_string()),
        Decision::Inject(plan) => {
            let adds = patch(&whole, &plan, installation);
            if apply(&mut whole, &adds) {
                *pod = whole;
                Done::Injected
            } else {
                Done::Refused("the patch does not fit: report this".to_owned())
            }
        }
    };
    (done, verdict.warnings)
}

/// Where the pod of an object is, if its kind has one. Versions of a group agree on that.
fn pod_path(object: &Value) -> Option<&'static str> {
    let (api, kind) = (text(object, "/apiVersion"), text(object, "/kind"));
    let group = api.split_once('/').map_or("", |(group, _)| group);
    let known = KINDS.into_iter().find(|(own_group, own_kind, _)| *own_group == group && *own_kind == kind);
    known.map(|(_, _, path)| path)
}

fn text<'a>(object: &'a Value, path: &str) -> &'a str {
    object.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests;
