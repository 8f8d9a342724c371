//! A field that says something impossible: which, and what is wrong with it.

/// A field that says something impossible.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} {rule}")]
pub struct Violation {
    /// Path of the field below `spec`, such as `endpoint.open.base`.
    pub field: String,
    /// What is wrong with it, as the rest of a sentence that begins with the field.
    pub rule: String,
}

impl Violation {
    /// `rule` continues the sentence that `field` begins.
    pub fn new(field: impl Into<String>, rule: impl Into<String>) -> Self {
        Self { field: field.into(), rule: rule.into() }
    }
}

/// `field` must not hold more than `max` entries.
pub(crate) fn at_most(field: &str, entries: usize, max: usize) -> Result<(), Violation> {
    if entries <= max {
        return Ok(());
    }
    Err(Violation::new(field, format!("holds {entries} entries; it must hold at most {max}")))
}

/// `field` must lie within `min` and `max`, both included.
pub(crate) fn within(field: &str, value: u32, min: u32, max: u32) -> Result<(), Violation> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    let rule = if max == u32::MAX {
        format!("is {value}; it must be at least {min}")
    } else {
        format!("is {value}; it must be within {min} to {max}")
    };
    Err(Violation::new(field, rule))
}
