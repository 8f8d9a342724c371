//! What people say about the sidecar of a pod: annotations in, settings or a reason to refuse them out.

mod files;
mod ports;

use serde_json::{Map, Value};
use weft_api::{Duration, names::ANNOTATION_PREFIX};

use crate::{
    config::{Installation, Proxy},
    quantity::Quantity,
};

pub use files::LogFile;

/// Seconds of a pod's grace period that are left for what comes after draining: the last answers and the exit.
const AFTER_DRAIN_SECS: u64 = 5;
/// Seconds that a pod has to end if it does not say (`terminationGracePeriodSeconds`).
const GRACE_SECS: u64 = 30;
/// Range of the time to drain.
const DRAIN_SECS: std::ops::RangeInclusive<u64> = 1..=3600;
/// Workers of a sidecar without a CPU limit. One for each processor of the node would cost memory for nothing.
const WORKERS: usize = 2;
/// Workers at most, whatever the limit.
const WORKERS_MAX: u64 = 64;
/// Characters of a text of the pod's that an error or a warning repeats.
const QUOTED_CHARS_MAX: usize = 80;

/// Labels that say what a pod is, the better one first: the recommended one of Kubernetes, and everybody's own.
pub(crate) const LABELS_SERVICE: [&str; 2] = ["app.kubernetes.io/name", "app"];
/// Characters of a label's value (Kubernetes, `validation.LabelValueMaxLength`).
const LABEL_VALUE_CHARS_MAX: usize = 63;

/// Everything that can be said of one sidecar.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Image of sidecar and log adapter.
    pub image: String,
    /// What it logs.
    pub log_level: String,
    /// CPU and memory.
    pub resources: Resources,
    /// Single-threaded runtimes that carry requests.
    pub workers: usize,
    /// Ports and ranges on which connections into the pod are not redirected, as `init` reads them; none if empty.
    pub skip_inbound_ports: String,
    /// The same for connections out of the pod.
    pub skip_outbound_ports: String,
    /// How long what is in flight may take after SIGTERM.
    pub drain: Duration,
    /// Whether it is an init container that runs on.
    pub native: bool,
    /// Files to print as the pod's log.
    pub log_files: Vec<LogFile>,
    /// What the pod is called in traces; `None` = as its service account.
    pub service: Option<String>,
}

/// CPU and memory of a container. A request is never above its limit.
#[derive(Clone, Debug, PartialEq)]
pub struct Resources {
    /// CPU set aside.
    pub cpu_request: Quantity,
    /// CPU at most.
    pub cpu_limit: Option<Quantity>,
    /// Memory set aside.
    pub memory_request: Quantity,
    /// Memory at most.
    pub memory_limit: Option<Quantity>,
}

/// An annotation with a value that is not one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("annotation {ANNOTATION_PREFIX}{name} is {value:?}: {reason}")]
pub struct InvalidAnnotation {
    /// Its name behind the prefix.
    pub name: String,
    /// What it says, cut if it is long.
    pub value: String,
    /// What is wrong with it, and what is allowed.
    pub reason: String,
}

/// What is known under `weft.dev/`. `opaque-ports` and `default-policy` are obeyed by the control plane, which reads
/// them from the pod; here they are only checked.
const KNOWN: [&str; 14] = [
    "inject",
    "proxy-cpu-request",
    "proxy-cpu-limit",
    "proxy-memory-request",
    "proxy-memory-limit",
    "log-level",
    "skip-inbound-ports",
    "skip-outbound-ports",
    "opaque-ports",
    "default-policy",
    "drain",
    "native-sidecar",
    "image",
    "log-files",
];

/// The annotations of a pod.
#[derive(Clone, Copy, Debug)]
pub struct Annotations<'a>(Option<&'a Map<String, Value>>);

impl<'a> Annotations<'a> {
    /// Those of `pod`.
    pub fn of(pod: &'a Value) -> Self {
        Self(pod.pointer("/metadata/annotations").and_then(Value::as_object))
    }

    /// The value of `weft.dev/<name>`, if it is given.
    pub fn get(self, name: &str) -> Option<&'a str> {
        self.0?.get(&format!("{ANNOTATION_PREFIX}{name}"))?.as_str()
    }

    /// Those under `weft.dev/` that mean nothing, without the prefix.
    pub fn unknown(self) -> impl Iterator<Item = &'a str> {
        let keys = self.0.into_iter().flat_map(Map::keys);
        keys.filter_map(|key| key.strip_prefix(ANNOTATION_PREFIX)).filter(|name| !KNOWN.contains(name))
    }

    fn read<T>(
        self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, InvalidAnnotation> {
        let Some(value) = self.get(name) else { return Ok(None) };
        parse(value).map(Some).map_err(|reason| InvalidAnnotation::new(name, value, reason))
    }
}

impl InvalidAnnotation {
    fn new(name: &str, value: &str, reason: String) -> Self {
        Self { name: name.to_owned(), value: quoted(value), reason }
    }
}

/// `text`, cut to what fits into a message.
pub fn quoted(text: &str) -> String {
    text.chars().take(QUOTED_CHARS_MAX).collect()
}

impl Settings {
    /// What the annotations of `pod` and the installation say together.
    pub fn of(pod: &Value, installation: &Installation) -> Result<Self, InvalidAnnotation> {
        let annotations = Annotations::of(pod);
        let proxy = &installation.proxy;
        annotations.read("inject", |value| one_of(value, &["enabled", "disabled"]))?;
        annotations.read("opaque-ports", ports::check)?;
        annotations.read("default-policy", |value| one_of(value, &["strict", "permissive"]))?;
        let resources = Resources::of(annotations, proxy)?;
        let native = annotations.read("native-sidecar", |value| one_of(value, &["true", "false"]))?;
        Ok(Self {
            image: annotations.read("image", image)?.unwrap_or_else(|| proxy.image.clone()),
            log_level: annotations.read("log-level", log_level)?.unwrap_or_else(|| proxy.log_level.clone()),
            workers: resources.workers(),
            resources,
            skip_inbound_ports: annotations.read("skip-inbound-ports", ports::check)?.unwrap_or_default(),
            skip_outbound_ports: annotations.read("skip-outbound-ports", ports::check)?.unwrap_or_default(),
            drain: annotations.read("drain", drain)?.unwrap_or_else(|| drain_within(grace_secs(pod))),
            native: native.map_or(proxy.native_sidecar, |value| value == "true"),
            log_files: annotations.read("log-files", files::parse)?.unwrap_or_default(),
            service: LABELS_SERVICE.iter().find_map(|label| service(pod, label)),
        })
    }

    /// Whether the kubelet will kill the sidecar of `pod` before it has drained.
    pub fn drains_too_long(&self, pod: &Value) -> bool {
        self.drain > drain_within(grace_secs(pod))
    }
}

/// What `label` says. API servers check labels only later, and nothing may stand in a bootstrap that means something there.
fn service(pod: &Value, label: &str) -> Option<String> {
    let value = pod.pointer("/metadata/labels")?.get(label)?.as_str()?;
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let is_value = (1..=LABEL_VALUE_CHARS_MAX).contains(&value.len()) && value.bytes().all(fits);
    is_value.then(|| value.to_owned())
}

impl Resources {
    fn of(annotations: Annotations<'_>, proxy: &Proxy) -> Result<Self, InvalidAnnotation> {
        let (cpu_request, cpu_limit) =
            resource(annotations, "cpu", &proxy.cpu_request, proxy.cpu_limit.as_ref())?;
        let (memory_request, memory_limit) =
            resource(annotations, "memory", &proxy.memory_request, proxy.memory_limit.as_ref())?;
        Ok(Self { cpu_request, cpu_limit, memory_request, memory_limit })
    }

    fn workers(&self) -> usize {
        let limit = self.cpu_limit.as_ref().map(|limit| limit.ceil().clamp(1, WORKERS_MAX));
        limit.map_or(WORKERS, |processors| processors as usize)
    }
}

/// Request and limit of one resource. A default gives way to what the pod says; two that the pod says must agree.
fn resource(
    annotations: Annotations<'_>,
    what: &str,
    default_request: &Quantity,
    default_limit: Option<&Quantity>,
) -> Result<(Quantity, Option<Quantity>), InvalidAnnotation> {
    let parse = |value: &str| {
        let amount: Quantity = value.parse().map_err(|error| format!("{error}"))?;
        if amount.is_zero() { Err("it must be above zero".to_owned()) } else { Ok(amount) }
    };
    let request_name = format!("proxy-{what}-request");
    let request = annotations.read(&request_name, parse)?;
    let limit = annotations.read(&format!("proxy-{what}-limit"), parse)?;
    match (request, limit) {
        (Some(request), Some(limit)) if request > limit => {
            let reason = format!("it must not be above {ANNOTATION_PREFIX}proxy-{what}-limit, {limit}");
            Err(InvalidAnnotation::new(&request_name, request.as_str(), reason))
        }
        (Some(request), Some(limit)) => Ok((request, Some(limit))),
        (Some(request), None) => {
            let limit = default_limit.filter(|limit| request <= **limit).cloned();
            Ok((request, limit))
        }
        (None, limit) => {
            let limit = limit.or_else(|| default_limit.cloned());
            let request = limit.as_ref().filter(|limit| default_request > *limit).unwrap_or(default_request);
            Ok((request.clone(), limit))
        }
    }
}

fn one_of(value: &str, allowed: &[&str]) -> Result<String, String> {
    if allowed.contains(&value) {
        Ok(value.to_owned())
    } else {
        Err(format!("write `{}`", allowed.join("` or `")))
    }
}

fn image(value: &str) -> Result<String, String> {
    // References of images are of printable ASCII and at most some hundred characters (OCI distribution).
    if !value.is_empty() && value.len() <= 512 && value.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(value.to_owned())
    } else {
        Err("write the reference of an image, such as `weft-proxy:0.1.0`".to_owned())
    }
}

fn log_level(value: &str) -> Result<String, String> {
    weft_runtime::logs::check(value).map(|()| value.to_owned()).map_err(|error| error.to_string())
}

fn drain(value: &str) -> Result<Duration, String> {
    let duration: Duration = value.parse().map_err(|error| format!("{error}"))?;
    let (least, most) = (Duration::from_secs(*DRAIN_SECS.start()), Duration::from_secs(*DRAIN_SECS.end()));
    if (least..=most).contains(&duration) { Ok(duration) } else { Err(format!("write {least} to {most}")) }
}

fn grace_secs(pod: &Value) -> u64 {
    pod.pointer("/spec/terminationGracePeriodSeconds").and_then(Value::as_u64).unwrap_or(GRACE_SECS)
}

fn drain_within(grace_secs: u64) -> Duration {
    let secs = grace_secs.saturating_sub(AFTER_DRAIN_SECS);
    Duration::from_secs(secs.clamp(*DRAIN_SECS.start(), *DRAIN_SECS.end()))
}

#[cfg(test)]
mod tests;
