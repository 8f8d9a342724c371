//! Does this pod get a sidecar? Pure: a pod as JSON in, the answer with its reason out.

use serde_json::Value;
use weft_api::names::{
    ANNOTATION_MIRROR, ANNOTATION_PREFIX, CONTAINER_INIT, CONTAINER_LOGS, CONTAINER_PROXY, LABEL_INJECT,
    PROXY_UID, SYSTEM_NAMESPACES,
};

use crate::{
    annotations::{Annotations, InvalidAnnotation, Settings, quoted},
    config::Installation,
    logs::{Sharing, Unshared, VOLUME_PREFIX},
    patch::Plan,
    sidecar::{VOLUME_IDENTITY, VOLUME_NO_TOKEN},
};

/// Containers by which other meshes are known.
const OTHER_MESHES: [&str; 2] = ["istio-proxy", "linkerd-proxy"];
/// Warnings of one pod at most: an API server shows 4 KiB of them.
const WARNINGS_MAX: usize = 12;

/// An answer, and what people should know besides.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// The answer.
    pub decision: Decision,
    /// For whoever made the pod.
    pub warnings: Vec<String>,
}

/// The answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// It gets this sidecar.
    Inject(Box<Plan>),
    /// It stays as it is.
    Skip(Skip),
    /// It must not be run as it is.
    Refuse(Refusal),
}

/// Why a pod stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Skip {
    /// It says so.
    #[error("{LABEL_INJECT} is `disabled`")]
    Disabled,
    /// It is in a namespace that is left alone.
    #[error("its namespace belongs to the cluster or to the mesh itself")]
    SystemNamespace,
    /// It has no network of its own.
    #[error("it uses the network of its node, which must not be redirected")]
    HostNetwork,
    /// A kubelet made it; it cannot be changed.
    #[error("it is a static pod, which only its node can change")]
    Static,
    /// There is no sidecar for it.
    #[error("it is for Windows")]
    Windows,
    /// It has a sidecar.
    #[error("it has a sidecar already")]
    Injected,
}

/// Why a pod must not be run as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is nothing to inject into.
    #[error("this is no pod: {0} is missing or of another type")]
    NotAPod(&'static str),
    /// Another mesh.
    #[error(
        "it carries another mesh (container {0}), and both would redirect its connections: \
         turn one of them off, this one by the label {LABEL_INJECT}: disabled"
    )]
    OtherMesh(&'static str),
    /// One of our names means something else.
    #[error("its {what} {name:?} has a name that the mesh uses: call it something else")]
    NameTaken {
        /// Kind of thing.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// The label has a value that is not one.
    #[error("label {LABEL_INJECT} is {0:?}: write `enabled` or `disabled`")]
    InvalidLabel(String),
    /// An annotation has a value that is not one.
    #[error(transparent)]
    InvalidAnnotation(#[from] InvalidAnnotation),
    /// Log files cannot be shared.
    #[error("annotation {ANNOTATION_PREFIX}log-files: {0}")]
    Unshared(#[from] Unshared),
}

impl Skip {
    /// As a label of a metric.
    pub fn name(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::SystemNamespace => "system_namespace",
            Self::HostNetwork => "host_network",
            Self::Static => "static",
            Self::Windows => "windows",
            Self::Injected => "injected_already",
        }
    }
}

impl Verdict {
    fn skip(why: Skip) -> Self {
        Self { decision: Decision::Skip(why), warnings: Vec::new() }
    }
}

/// Whether and how `pod`, which is to run in `namespace` (empty: not known), gets a sidecar.
pub fn decide(pod: &Value, namespace: &str, installation: &Installation) -> Verdict {
    // Whoever turns it off is obeyed before anything else is looked at.
    if let Some(why) = skip(pod, namespace, installation) {
        return Verdict::skip(why);
    }
    match plan(pod, installation) {
        Ok(plan) => Verdict { warnings: warnings(pod, &plan), decision: Decision::Inject(Box::new(plan)) },
        Err(refusal) => Verdict { decision: Decision::Refuse(refusal), warnings: Vec::new() },
    }
}

fn skip(pod: &Value, namespace: &str, installation: &Installation) -> Option<Skip> {
    let says = |path: &str, value: &str| pod.pointer(path).and_then(Value::as_str) == Some(value);
    let annotations = Annotations::of(pod);
    if label(pod) == Some("disabled") || annotations.get("inject") == Some("disabled") {
        Some(Skip::Disabled)
    } else if SYSTEM_NAMESPACES.contains(&namespace) || namespace == installation.namespace {
        Some(Skip::SystemNamespace)
    } else if pod.pointer("/metadata/annotations").is_some_and(|all| all.get(ANNOTATION_MIRROR).is_some()) {
        Some(Skip::Static)
    } else if pod.pointer("/spec/hostNetwork").and_then(Value::as_bool) == Some(true) {
        Some(Skip::HostNetwork)
    } else if says("/spec/os/name", "windows") || says("/spec/nodeSelector/kubernetes.io~1os", "windows") {
        Some(Skip::Windows)
    } else if all_containers(pod).any(|container| name(container) == Some(CONTAINER_PROXY)) {
        Some(Skip::Injected)
    } else {
        None
    }
}

fn plan(pod: &Value, installation: &Installation) -> Result<Plan, Refusal> {
    check_shape(pod)?;
    if let Some(other) =
        OTHER_MESHES.into_iter().find(|other| all_containers(pod).any(|own| name(own) == Some(other)))
    {
        return Err(Refusal::OtherMesh(other));
    }
    check_names(pod)?;
    if let Some(value) = label(pod).filter(|value| *value != "enabled") {
        return Err(Refusal::InvalidLabel(quoted(value)));
    }
    let settings = Settings::of(pod, installation)?;
    let sharing = Sharing::plan(&settings.log_files, list(pod, "/spec/containers"))?;
    Ok(Plan { settings, sharing })
}

/// What the patch relies on.
fn check_shape(pod: &Value) -> Result<(), Refusal> {
    let containers = pod.pointer("/spec/containers").and_then(Value::as_array);
    if containers.is_none_or(|all| all.is_empty() || !all.iter().all(Value::is_object)) {
        return Err(Refusal::NotAPod("spec.containers"));
    }
    if !pod.get("metadata").is_some_and(Value::is_object) {
        return Err(Refusal::NotAPod("metadata"));
    }
    let lists = [("/spec/initContainers", "spec.initContainers"), ("/spec/volumes", "spec.volumes")];
    for (path, field) in lists {
        if pod.pointer(path).is_some_and(|value| !value.is_null() && !value.is_array()) {
            return Err(Refusal::NotAPod(field));
        }
    }
    if pod.pointer("/metadata/annotations").is_some_and(|value| !value.is_null() && !value.is_object()) {
        return Err(Refusal::NotAPod("metadata.annotations"));
    }
    let is_list = |mounts: Option<&Value>| mounts.is_none_or(|value| value.is_null() || value.is_array());
    if !list(pod, "/spec/containers").iter().all(|container| is_list(container.get("volumeMounts"))) {
        return Err(Refusal::NotAPod("spec.containers[].volumeMounts"));
    }
    Ok(())
}

fn check_names(pod: &Value) -> Result<(), Refusal> {
    let taken = |what, name: &str| Err(Refusal::NameTaken { what, name: quoted(name) });
    for name in all_containers(pod).filter_map(name) {
        if name == CONTAINER_INIT || name == CONTAINER_LOGS {
            return taken("container", name);
        }
    }
    for name in list(pod, "/spec/volumes").iter().filter_map(name) {
        if [VOLUME_IDENTITY, VOLUME_NO_TOKEN].contains(&name) || name.starts_with(VOLUME_PREFIX) {
            return taken("volume", name);
        }
    }
    Ok(())
}

fn warnings(pod: &Value, plan: &Plan) -> Vec<String> {
    let unknown = Annotations::of(pod).unknown().map(|name| {
        format!(
            "annotation {ANNOTATION_PREFIX}{} means nothing: is it spelt as in the list of annotations?",
            quoted(name)
        )
    });
    let is_ours = |security: Option<&Value>| {
        security.and_then(|security| security.get("runAsUser")).and_then(Value::as_u64)
            == Some(PROXY_UID.into())
    };
    let collides = is_ours(pod.pointer("/spec/securityContext"))
        || all_containers(pod).any(|container| is_ours(container.get("securityContext")));
    let collision = collides.then(|| {
        format!(
            "a container runs as user {PROXY_UID}, which is the sidecar's: its connections are not redirected; use another user"
        )
    });
    let slow = plan.settings.drains_too_long(pod).then(|| {
        format!(
            "{ANNOTATION_PREFIX}drain is {}, but the pod is killed before: raise terminationGracePeriodSeconds",
            plan.settings.drain
        )
    });
    let policy = pod.pointer("/spec/dnsPolicy").and_then(Value::as_str);
    let dns = policy.filter(|policy| ["Default", "None"].contains(policy)).map(|policy| {
        format!("dnsPolicy is {policy}: the sidecar starts only if names of Services can be resolved with it")
    });
    collision.into_iter().chain(slow).chain(dns).chain(unknown).take(WARNINGS_MAX).collect()
}

fn label(pod: &Value) -> Option<&str> {
    pod.pointer("/metadata/labels")?.get(LABEL_INJECT)?.as_str()
}

fn all_containers(pod: &Value) -> impl Iterator<Item = &Value> {
    ["/spec/containers", "/spec/initContainers"].into_iter().flat_map(|path| list(pod, path))
}

fn list<'a>(pod: &'a Value, path: &str) -> &'a [Value] {
    pod.pointer(path).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn name(item: &Value) -> Option<&str> {
    item.get("name")?.as_str()
}
