//! How policies attach to what they speak of (GEP-713, direct policies).

use serde::{Deserialize, Serialize};

use crate::{selector::LabelSelector, violation::Violation};

/// `spec` of a policy kind: the targets, and beside them what `P` says about them.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Policy<P, T = TargetRef> {
    /// What it applies to, in its own namespace.
    pub target_refs: Vec<T>,
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

/// The workloads that a policy about what enters them applies to (GEP-3779).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WorkloadRef {
    /// API group: empty, that of pods.
    #[serde(default)]
    pub group: String,
    /// `Pod`. In local mode a `Workload` stands for a pod, and is selected like one.
    pub kind: String,
    /// Which of them, by their labels; all that are in the namespace, if it is empty.
    pub selector: LabelSelector,
}

impl<P> Policy<P, WorkloadRef> {
    /// Checks what the types cannot say of the targets. Errors name the field by its path below `spec`.
    pub fn validate_targets(&self) -> Result<(), Violation> {
        let [target] = self.target_refs.as_slice() else {
            return Err(Violation::new("targetRefs", "must hold one target; its selector may be a wide one"));
        };
        if !target.group.is_empty() || target.kind != "Pod" {
            let rule =
                format!("is {} of group `{}`; it must be Pod of group \"\"", target.kind, target.group);
            return Err(Violation::new("targetRefs[0].kind", rule));
        }
        target.selector.validate("targetRefs[0].selector")
    }
}

/// Whether a policy acts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Mode {
    /// It acts.
    #[default]
    Enforce,
    /// It computes and reports, and never acts.
    Audit,
}
