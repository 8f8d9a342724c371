//! Which requests a rule of a policy speaks of.

use serde::{Deserialize, Serialize};

use crate::{
    path::canonical,
    violation::{Violation, at_most},
};

/// A rule names so many methods at most.
pub const METHODS_MAX: usize = 16;
/// A rule names so many paths at most.
pub const PATHS_MAX: usize = 64;
/// A path of a rule has so many bytes at most.
pub const PATH_BYTES_MAX: usize = 1024;

/// What a request must be. Bytes that are no HTTP are no request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct HttpAttributes {
    /// Its method, one of these; upper and lower case differ. Absent: any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub methods: Option<Vec<String>>,
    /// Its path, one of these. Absent: any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paths: Option<Vec<Path>>,
}

/// A path, or all below it. Requests are compared by their canonical path ([`canonical`]), without the query.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Path {
    /// How `value` is compared.
    #[serde(rename = "type", default)]
    pub kind: PathKind,
    /// The path in its canonical form.
    pub value: String,
}

/// How paths are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum PathKind {
    /// The same path.
    Exact,
    /// The same first segments: `/a` takes `/a` and `/a/b`, not `/ab`.
    #[default]
    PathPrefix,
}

impl HttpAttributes {
    /// Checks what the types cannot say. Errors name the field by its path, which begins with `field`.
    pub fn validate(&self, field: &str) -> Result<(), Violation> {
        if self.methods.is_none() && self.paths.is_none() {
            return Err(Violation::new(field, "must name methods or paths; leave it out for any traffic"));
        }
        if let Some(methods) = &self.methods {
            let field = format!("{field}.methods");
            some(&field, methods.len(), METHODS_MAX)?;
            if let Some((index, method)) = methods.iter().enumerate().find(|(_, method)| !is_token(method)) {
                let rule = format!("is `{method}`, which is no method such as `GET`");
                return Err(Violation::new(format!("{field}[{index}]"), rule));
            }
        }
        if let Some(paths) = &self.paths {
            let field = format!("{field}.paths");
            some(&field, paths.len(), PATHS_MAX)?;
            for (index, path) in paths.iter().enumerate() {
                is_canonical(&format!("{field}[{index}].value"), &path.value)?;
            }
        }
        Ok(())
    }
}

/// A list that is there says something: an empty one might be meant for all or for none.
fn some(field: &str, entries: usize, max: usize) -> Result<(), Violation> {
    if entries == 0 {
        return Err(Violation::new(field, "must not be empty; leave it out for any"));
    }
    at_most(field, entries, max)
}

/// RFC 9110, 5.6.2.
fn is_token(method: &str) -> bool {
    let is_of_tokens = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    (1..=32).contains(&method.len()) && method.bytes().all(is_of_tokens)
}

/// Another form would never be met, since that of a request is compared.
fn is_canonical(field: &str, path: &str) -> Result<(), Violation> {
    if path.len() > PATH_BYTES_MAX {
        return Err(Violation::new(field, format!("must have at most {PATH_BYTES_MAX} bytes")));
    }
    let rule = match canonical(path) {
        Ok(form) if form == path && path.starts_with('/') => return Ok(()),
        Ok(form) => format!("is `{path}`, which is not canonical; write `{form}`"),
        Err(ambiguity) => format!("is `{path}`, which no request can have: {ambiguity}"),
    };
    Err(Violation::new(field, rule))
}
