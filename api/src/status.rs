//! `status` of a policy kind: what became of it, for each target (GEP-713, `PolicyStatus`). That of routes is made of the
//! same parts (Gateway API, `RouteStatus`).

use serde::{Deserialize, Serialize};

/// Name under which the control plane writes status.
pub const CONTROLLER: &str = "weft.dev/control-plane";
/// Ancestors that a status holds at most (GEP-713).
pub const ANCESTORS_MAX: usize = 16;
/// Parents that the status of a route holds at most (`RouteStatus` of the Gateway API).
pub const PARENTS_MAX: usize = 32;
/// Bytes of a condition's message at most (`Condition` of meta/v1).
pub const MESSAGE_BYTES_MAX: usize = 32 * 1024;

/// What became of a policy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct PolicyStatus {
    /// What became of it for each target. Several controllers may say so, each in entries of its own.
    pub ancestors: Vec<Ancestor>,
}

/// What became of a policy for one target, as one controller sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Ancestor {
    /// The target.
    pub ancestor_ref: AncestorRef,
    /// Who says so.
    pub controller_name: String,
    /// What it says.
    #[serde(default)]
    pub conditions: Vec<Condition>,
}

/// The object that a policy, or a route, is attached to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct AncestorRef {
    /// API group: empty for a `Service`.
    #[serde(default)]
    pub group: String,
    /// Kind.
    pub kind: String,
    /// Namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Name.
    pub name: String,
    /// Port of a service, or rule of a route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub section_name: Option<String>,
    /// Number of a port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<i32>,
}

/// One statement about an object (`Condition` of meta/v1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// What it is about, such as `Accepted`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// `metadata.generation` of the object that it was said about.
    #[serde(default)]
    pub observed_generation: i64,
    /// When the status became another, in UTC to the second.
    pub last_transition_time: String,
    /// Why, in one word.
    pub reason: String,
    /// Why, in a sentence.
    pub message: String,
}
