//! What is wrong with what people wrote, and where.

use std::{fmt, path::PathBuf};

use serde::Serialize;

use crate::store::Reason;

/// Something wrong, at a place that can be opened.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// Where it stands; nothing for an object of a cluster, whose name says that.
    #[serde(flatten)]
    pub place: Option<Place>,
    /// The object, as `<kind> <namespace>/<name>`, if it says which it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// Path of the field; empty where no single field is wrong.
    pub field: String,
    /// Which rule is broken.
    pub reason: Reason,
    /// What is wrong, as the rest of a sentence that begins with the field.
    pub message: String,
    /// What would mend it; empty if the message says so.
    pub hint: String,
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Place {
    /// The file.
    pub file: PathBuf,
    /// Line, from 1.
    pub line: u32,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.place, &self.object) {
            (Some(Place { file, line }), _) => write!(f, "{}:{line}: ", file.display())?,
            (None, Some(object)) => write!(f, "{object}: ")?,
            (None, None) => {}
        }
        if !self.field.is_empty() {
            write!(f, "{} ", self.field)?;
        }
        f.write_str(&self.message)?;
        if self.hint.is_empty() { Ok(()) } else { write!(f, " ({})", self.hint) }
    }
}

/// How problems changed from one reading to the next.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct News {
    /// Those that were not there before.
    pub appeared: Vec<Problem>,
    /// Those that are there no more.
    pub mended: Vec<Problem>,
}

impl News {
    /// Compares. A problem that only moved to another line is the same.
    pub fn between(before: &[Problem], after: &[Problem]) -> Self {
        let missing_in = |others: &[Problem], one: &&Problem| !others.iter().any(|other| other.is_same(one));
        Self {
            appeared: after.iter().filter(|one| missing_in(before, one)).cloned().collect(),
            mended: before.iter().filter(|one| missing_in(after, one)).cloned().collect(),
        }
    }

    /// Says each once.
    pub fn log(&self) {
        for problem in &self.appeared {
            tracing::warn!(reason = %problem.reason, "{problem}");
        }
        for problem in &self.mended {
            tracing::info!(reason = %problem.reason, "mended: {problem}");
        }
    }
}

impl Problem {
    fn is_same(&self, other: &Self) -> bool {
        let Self { place, object, field, reason, message, hint: _ } = self;
        let file = |place: &Option<Place>| place.as_ref().map(|place| place.file.clone());
        (file(place), object, field, reason, message)
            == (file(&other.place), &other.object, &other.field, &other.reason, &other.message)
    }
}
