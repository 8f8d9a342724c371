//! What people wrote where it has no effect. Defaults hide that from the types, so the text is asked.

use weft_api::gateway;

use super::decode::Located;
use crate::store::{AnyObject, Finding, Reason};

/// Parts of a CircuitBreakerPolicy that speak of a service's endpoints and connections, of which a route has none.
const PARTS_OF_SERVICES: [&str; 3] = ["endpoint", "limits.maxConnections", "limits.maxPending"];

/// What `located` says in vain.
pub(super) fn check(located: &Located) -> impl Iterator<Item = Finding> {
    let object = located.object.key();
    let parts = if is_of_routes_only(&located.object) { &PARTS_OF_SERVICES[..] } else { &[] };
    let spec = located.node.get("spec");
    let written = move |part: &&&str| {
        part.split('.').try_fold(spec, |node, field| Some(node?.get(field))).flatten().is_some()
    };
    parts.iter().filter(written).map(move |part| Finding {
        object: object.clone(),
        field: format!("spec.{part}"),
        reason: Reason::Unheeded,
        message: "has no effect: it is a matter of Services, and all targets are routes".to_owned(),
        hint: "write it into the CircuitBreakerPolicy of the Service that the route leads to".to_owned(),
    })
}

/// Whether no Service is among the targets, which would heed every field.
fn is_of_routes_only(object: &AnyObject) -> bool {
    let AnyObject::CircuitBreakerPolicy(policy) = object else { return false };
    let is_route = |kind: &str| matches!(kind, "HTTPRoute" | "GRPCRoute");
    policy.spec.target_refs.iter().all(|target| target.group == gateway::GROUP && is_route(&target.kind))
}
