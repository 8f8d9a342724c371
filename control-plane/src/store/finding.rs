//! What is wrong with an object, wherever the object came from.

use std::fmt;

use serde::Serialize;

use super::ObjectKey;

/// Something wrong with an object that is otherwise in force.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The object that says it.
    pub object: ObjectKey,
    /// Path of the field, such as `spec.targetRefs[0].name`.
    pub field: String,
    /// Which rule it breaks.
    pub reason: Reason,
    /// What is wrong, as the rest of a sentence that begins with the field.
    pub message: String,
    /// What would mend it.
    pub hint: String,
}

/// Which rule something breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Reason {
    /// The file cannot be read.
    Unreadable,
    /// The text is not YAML.
    Syntax,
    /// No such kind, or not in that version.
    UnknownKind,
    /// No such field.
    UnknownField,
    /// A field is missing.
    MissingField,
    /// A value of another type, or that cannot be read.
    WrongType,
    /// A value that says something impossible.
    OutOfRange,
    /// Known to the standard, and not carried yet.
    NotSupported,
    /// Has no effect where it stands.
    Unheeded,
    /// An object that is there already.
    Duplicate,
    /// A reference to what is not there.
    DanglingReference,
    /// An older object says the same of the same target.
    Conflicted,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
