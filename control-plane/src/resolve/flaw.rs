//! What is wrong with a reference, before it is known whose reference it is.

use crate::store::{Finding, ObjectKey, Reason};

/// A finding below a field that its finder does not know.
pub(super) struct Flaw {
    /// Path of the field below the reference; empty for the whole reference.
    pub(super) field: &'static str,
    pub(super) reason: Reason,
    pub(super) message: String,
    pub(super) hint: String,
}

impl Flaw {
    /// A reference to what is not there.
    pub(super) fn dangling(field: &'static str, message: String) -> Self {
        let hint = "correct the name, or add what it names".to_owned();
        Self { field, reason: Reason::DanglingReference, message, hint }
    }

    /// A reference that the standard allows, and that is not carried yet.
    pub(super) fn unsupported(field: &'static str, message: String, hint: &str) -> Self {
        Self { field, reason: Reason::NotSupported, message, hint: hint.to_owned() }
    }

    /// The finding that it is, at the field `reference` of `object`.
    pub(super) fn at(self, object: &ObjectKey, reference: &str) -> Finding {
        let joint = if self.field.is_empty() { "" } else { "." };
        let field = format!("{reference}{joint}{}", self.field);
        Finding { object: object.clone(), field, reason: self.reason, message: self.message, hint: self.hint }
    }
}
