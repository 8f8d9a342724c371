//! One object as an API server gives it: what is kept of it, or why it is none.

use serde_json::Value;
use weft_api::{
    gateway::ParentRef,
    policy::{TargetRef, WorkloadRef},
    status::AncestorRef,
};

use super::super::{
    decode::{Located, Rejected, decode_served},
    flaw::Flaw,
    unheeded,
};
use crate::{
    status::{Form, Held},
    store::{AnyObject, Finding, ObjectKey, ObjectKind, ObjectName},
};

/// An object, or the lack of one.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) key: ObjectKey,
    /// The object. Where it is broken, what stands in for it if it was never sound.
    pub(super) object: Result<AnyObject, Option<AnyObject>>,
    pub(super) note: Note,
}

/// What is kept of an object beside that which is in force.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Note {
    /// Why what it says now is not in force.
    pub(super) flaw: Option<Flaw>,
    /// What it says in vain.
    pub(super) unheeded: Vec<Finding>,
    /// Of a policy or a route: what its status is written by.
    pub(super) written: Option<Written>,
}

/// A policy or a route as it is written, be it sound or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) version: String,
    pub(super) generation: i64,
    /// Targets, or those parents that are Services, each with its place in the list.
    pub(super) targets: Vec<(usize, AncestorRef)>,
    pub(super) form: Form,
    pub(super) held: Held,
}

impl Note {
    /// Whether there is nothing to be kept.
    pub(super) fn is_empty(&self) -> bool {
        self.flaw.is_none() && self.unheeded.is_empty() && self.written.is_none()
    }
}

impl Item {
    /// Reads an object of `kind`.
    pub(super) fn read(kind: ObjectKind, mut object: Value) -> Self {
        let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
        let key = ObjectKey { kind, name: ObjectName::new(text("namespace"), text("name")) };
        let written = kind.status_resource().map(|_| Written::read(&key, &object));
        // Those in lists do not say so themselves.
        object["apiVersion"] = kind.api_version().into();
        object["kind"] = kind.name().into();
        // Longer than the rest of most objects.
        if let Some(Value::Object(metadata)) = object.get_mut("metadata") {
            metadata.remove("managedFields");
        }
        match decode_served(object) {
            Ok(located) => {
                let unheeded = unheeded::check(&located).collect();
                let Located { object, .. } = located;
                Self { key, object: Ok(object), note: Note { flaw: None, unheeded, written } }
            }
            Err(Rejected { flaw, stand_in, .. }) => {
                let note = Note { flaw: Some(*flaw), unheeded: Vec::new(), written };
                Self { key, object: Err(stand_in.map(|located| located.object)), note }
            }
        }
    }
}

impl Written {
    fn read(key: &ObjectKey, object: &Value) -> Self {
        let metadata = &object["metadata"];
        let (list, form) = match key.kind {
            ObjectKind::HttpRoute | ObjectKind::GrpcRoute | ObjectKind::TlsRoute | ObjectKind::TcpRoute => {
                ("parentRefs", Form::Parents)
            }
            _ => ("targetRefs", Form::Ancestors),
        };
        let targets = object["spec"][list].as_array().map_or(&[][..], Vec::as_slice);
        let target = |target: &Value| match (form, key.kind) {
            (Form::Parents, _) => parent(target),
            (_, ObjectKind::AuthorizationPolicy | ObjectKind::RateLimitPolicy) => selected(&key.name, target),
            _ => named(&key.name, target),
        };
        let targets = targets.iter().map(target).enumerate();
        Self {
            version: metadata["resourceVersion"].as_str().unwrap_or_default().to_owned(),
            generation: metadata["generation"].as_i64().unwrap_or_default(),
            targets: targets.filter_map(|(index, target)| Some((index, target?))).collect(),
            form,
            held: form.read(&object["status"]),
        }
    }
}

/// A parent, word for word, if it is a Service: what is attached to others is for others to say.
fn parent(parent: &Value) -> Option<AncestorRef> {
    let ParentRef { group, kind, namespace, name, section_name, port } =
        serde_json::from_value(parent.clone()).ok()?;
    let is_ours = group.is_empty() && kind == ObjectKind::Service.name();
    let port = port.map(i32::from);
    is_ours.then_some(AncestorRef { group, kind, namespace, name, section_name, port })
}

/// The object that a target names.
fn named(policy: &ObjectName, target: &Value) -> Option<AncestorRef> {
    let TargetRef { group, kind, name, section_name } = serde_json::from_value(target.clone()).ok()?;
    let namespace = Some(policy.namespace.clone());
    Some(AncestorRef { group, kind, namespace, name, section_name, port: None })
}

/// Where the workloads are that a target selects: an ancestor has a name, and they have many.
fn selected(policy: &ObjectName, target: &Value) -> Option<AncestorRef> {
    let _: WorkloadRef = serde_json::from_value(target.clone()).ok()?;
    Some(AncestorRef {
        group: String::new(),
        kind: ObjectKind::Namespace.name().to_owned(),
        namespace: None,
        name: policy.namespace.clone(),
        section_name: None,
        port: None,
    })
}
