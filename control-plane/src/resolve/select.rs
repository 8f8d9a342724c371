//! Which policies apply to what enters a workload. Selectors overlap, so several may, and none conflicts with another.

use std::sync::Arc;

use weft_api::{
    Object,
    object::Metadata,
    policy::{Policy, WorkloadRef},
};

use super::{Entering, flaw::Flaw};
use crate::store::{Finding, ObjectKey, ObjectKind, ObjectName, Reason, Store, Table, within};

/// The policies that are for a pod, or a workload that stands for one.
pub(super) fn for_workload(store: &Store, workload: &Metadata) -> Entering {
    Entering {
        authorizations: selecting(&store.authorizations, workload),
        rate_limits: selecting(&store.rate_limits, workload),
    }
}

/// What is wrong with the targets of the policies of a namespace.
pub(super) fn check(store: &Store, namespace: &str) -> Vec<Finding> {
    let of_authorizations = flaws(store, &store.authorizations, ObjectKind::AuthorizationPolicy, namespace);
    let of_rate_limits = flaws(store, &store.rate_limits, ObjectKind::RateLimitPolicy, namespace);
    of_authorizations.chain(of_rate_limits).collect()
}

/// Those policies of one kind that are for a workload, in the order of their names.
fn selecting<P>(
    policies: &Table<Policy<P, WorkloadRef>>,
    workload: &Metadata,
) -> Vec<Arc<Object<Policy<P, WorkloadRef>>>> {
    let selects =
        |policy: &Policy<P, WorkloadRef>| policy.target_refs.iter().any(|target| is_of(target, workload));
    let own = within(policies, &workload.namespace).filter(|policy| selects(&policy.spec));
    own.cloned().collect()
}

fn flaws<'a, P>(
    store: &'a Store,
    policies: &'a Table<Policy<P, WorkloadRef>>,
    kind: ObjectKind,
    namespace: &'a str,
) -> impl Iterator<Item = Finding> + use<'a, P> {
    within(policies, namespace).flat_map(move |policy| {
        let object = ObjectKey { kind, name: ObjectName::of(&policy.metadata) };
        let targets = policy.spec.target_refs.iter().enumerate();
        targets.filter_map(move |(index, target)| {
            let flaw = flaw(store, namespace, target)?;
            Some(flaw.at(&object, &format!("spec.targetRefs[{index}]")))
        })
    })
}

fn is_of(target: &WorkloadRef, workload: &Metadata) -> bool {
    target.selector.selects(&workload.labels)
}

/// What is wrong with a target: a selector that was mistyped protects nobody, and so does a pod without a sidecar.
fn flaw(store: &Store, namespace: &str, target: &WorkloadRef) -> Option<Flaw> {
    let living = within(&store.pods, namespace).filter(|pod| !pod.spec.has_ended());
    let mut pods = living.filter(|pod| is_of(target, &pod.metadata)).peekable();
    let mut workloads =
        within(&store.workloads, namespace).filter(|workload| is_of(target, &workload.metadata)).peekable();
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
