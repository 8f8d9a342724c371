//! What is wrong with a document, and on which line.

use super::spelling::nearest;
use crate::{
    document::{Cause, Mistake, Node},
    store::Reason,
};

/// What is wrong with a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Flaw {
    pub(super) line: u32,
    pub(super) field: String,
    pub(super) reason: Reason,
    pub(super) message: String,
    pub(super) hint: String,
}

impl Flaw {
    /// What is wrong with `field` of `node`.
    pub(super) fn new(node: &Node, field: &str, reason: Reason, message: &str) -> Self {
        let line = node.line_of(field);
        Self { line, field: field.to_owned(), reason, message: message.to_owned(), hint: String::new() }
    }

    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: hint.into(), ..self }
    }

    /// The same flaw, seen from outside of `at`, the field that holds what it speaks of.
    pub(super) fn below(self, at: &str) -> Self {
        let joint =
            if at.is_empty() || self.field.is_empty() || self.field.starts_with('[') { "" } else { "." };
        Self { field: format!("{at}{joint}{}", self.field), ..self }
    }
}

impl From<Mistake> for Flaw {
    fn from(mistake: Mistake) -> Self {
        let Mistake { line, field, cause } = mistake;
        let (reason, message, hint) = match cause {
            Cause::Missing => (Reason::MissingField, "is missing".to_owned(), String::new()),
            Cause::Value(message) => (Reason::WrongType, message, String::new()),
            Cause::Unknown { known } => {
                let name = field.rsplit('.').next().unwrap_or_default();
                let hint = match nearest(name, known.iter().copied()) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => format!("known here are {}", known.join(", ")),
                };
                (Reason::UnknownField, "is not a field that is known here".to_owned(), hint)
            }
        };
        Self { line, field, reason, message, hint }
    }
}
