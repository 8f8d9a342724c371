//! Which policies apply to what enters a workload. Selectors overlap, so several may, and none conflicts with another.

use std::sync::Arc;

use weft_api::{
    Object,
    authorization::Authorization,
    object::Metadata,
    policy::{Policy, WorkloadRef},
    rate_limit::RateLimit,
};

use super::{Entering, flaw::Flaw};
use crate::store::{Finding, ObjectKey, ObjectKind, ObjectName, Reason, Store, Table};

/// The policies of all such kinds, to be asked which of them are for a workload.
pub(super) struct Selected<'a> {
    authorizations: Selections<'a, Authorization>,
    rate_limits: Selections<'a, RateLimit>,
}

impl<'a> Selected<'a> {
    pub(super) fn of(store: &'a Store, findings: &mut Vec<Finding>) -> Self {
        Self {
            authorizations: Selections::of_authorizations(store, findings),
            rate_limits: Selections::of_rate_limits(store, findings),
        }
    }

    /// Those that are for a pod, or a workload that stands for one.
    pub(super) fn for_workload(&self, workload: &Metadata) -> Entering {
        Entering {
            authorizations: self.authorizations.for_workload(workload),
            rate_limits: self.rate_limits.for_workload(workload),
        }
    }
}

/// The policies of one kind.
struct Selections<'a, P> {
    policies: &'a Table<Policy<P, WorkloadRef>>,
}

impl<'a> Selections<'a, Authorization> {
    fn of_authorizations(store: &'a Store, findings: &mut Vec<Finding>) -> Self {
        Self::select(store, &store.authorizations, ObjectKind::AuthorizationPolicy, findings)
    }
}

impl<'a> Selections<'a, RateLimit> {
    fn of_rate_limits(store: &'a Store, findings: &mut Vec<Finding>) -> Self {
        Self::select(store, &store.rate_limits, ObjectKind::RateLimitPolicy, findings)
    }
}

impl<'a, P> Selections<'a, P> {
    fn select(
        store: &Store,
        policies: &'a Table<Policy<P, WorkloadRef>>,
        kind: ObjectKind,
        findings: &mut Vec<Finding>,
    ) -> Self {
        for (name, policy) in policies {
            let object = ObjectKey { kind, name: name.clone() };
            for (index, target) in policy.spec.target_refs.iter().enumerate() {
                let flaw = flaw(store, name, target);
                findings.extend(flaw.map(|flaw| flaw.at(&object, &format!("spec.targetRefs[{index}]"))));
            }
        }
        Self { policies }
    }

    /// Those that are for a workload, in the order of their names.
    fn for_workload(&self, workload: &Metadata) -> Vec<Arc<Object<Policy<P, WorkloadRef>>>> {
        let selects =
            |policy: &Policy<P, WorkloadRef>| policy.target_refs.iter().any(|target| is_of(target, workload));
        // Names sort by namespace first, so those of one stand together.
        let from = self.policies.range(ObjectName::new(&workload.namespace, "")..);
        let own = from.take_while(|(name, _)| name.namespace == workload.namespace);
        own.filter(|(_, policy)| selects(&policy.spec)).map(|(_, policy)| policy.clone()).collect()
    }
}

fn is_of(target: &WorkloadRef, workload: &Metadata) -> bool {
    target.selector.selects(&workload.labels)
}

/// What is wrong with a target: a selector that was mistyped protects nobody, and so does a pod without a sidecar.
fn flaw(store: &Store, policy: &ObjectName, target: &WorkloadRef) -> Option<Flaw> {
    let is_selected = |metadata: &Metadata| metadata.namespace == policy.namespace && is_of(target, metadata);
    let living = store.pods.values().filter(|pod| !pod.spec.has_ended());
    let mut pods = living.filter(|pod| is_selected(&pod.metadata)).peekable();
    let mut workloads =
        store.workloads.values().filter(|workload| is_selected(&workload.metadata)).peekable();
    if pods.peek().is_none() && workloads.peek().is_none() {
        return Some(Flaw {
            field: "selector",
            reason: Reason::DanglingReference,
            message: "selects no pod just now, so nothing is decided by it".to_owned(),
            hint: "compare it with the labels of the pods".to_owned(),
        });
    }
    let bare = pods.find(|pod| !pod.spec.is_meshed())?;
    Some(Flaw {
        field: "selector",
        reason: Reason::Unheeded,
        message: format!("selects Pod {}, which has no sidecar to obey it", ObjectName::of(&bare.metadata)),
        hint: "inject one, or select other pods".to_owned(),
    })
}
