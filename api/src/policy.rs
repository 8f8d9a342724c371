//! How policies attach to what they speak of (GEP-713, direct policies).

use serde::{Deserialize, Serialize};

/// `spec` of a policy kind: the targets, and beside them what `P` says about them.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Policy<P> {
    /// What it applies to, in its own namespace.
    pub target_refs: Vec<TargetRef>,
    /// What applies.
    #[serde(flatten)]
    pub settings: P,
}

/// A target of a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TargetRef {
    /// API group: empty for a `Service`.
    pub group: String,
    /// `Service`, `HTTPRoute` or `GRPCRoute`.
    pub kind: String,
    /// Name.
    pub name: String,
    /// Name or number of a service's port, or name of a route's rule. Absent: the whole target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub section_name: Option<String>,
}
