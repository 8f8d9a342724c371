//! What is in force in place of an object that says something impossible and was never sound. Mostly nothing; but without
//! an AuthorizationPolicy that somebody meant to have, everybody would be let in.

use std::sync::Arc;

use weft_api::{
    Object,
    authorization::Authorization,
    object::Metadata,
    policy::{Policy, WorkloadRef},
    selector::LabelSelector,
};

use super::decode::Located;
use crate::{
    document::Node,
    store::{AnyObject, ObjectKey, ObjectKind},
};

/// What stands in for the object `key`, which `node` fails to say.
pub(super) fn of(key: &ObjectKey, node: &Node) -> Option<Located> {
    let spec = node.get("spec");
    let is_audit = spec.and_then(|spec| spec.text("mode")) == Some("Audit");
    if key.kind != ObjectKind::AuthorizationPolicy || is_audit {
        return None;
    }
    let settings = Authorization::nobody();
    let written = spec.and_then(|spec| spec.get("targetRefs")?.decode().ok());
    let written = written.map(|target_refs| Policy { target_refs, settings: settings.clone() });
    let spec = written.filter(|policy| policy.validate_targets().is_ok()).unwrap_or_else(|| {
        // For whom it was meant cannot be known either: whoever is within its reach.
        let all =
            WorkloadRef { group: String::new(), kind: "Pod".to_owned(), selector: LabelSelector::default() };
        Policy { target_refs: vec![all], settings }
    });
    let metadata = Metadata::named(&key.name.namespace, &key.name.name);
    let object = AnyObject::AuthorizationPolicy(Arc::new(Object { metadata, spec }));
    Some(Located { object, node: node.clone() })
}
