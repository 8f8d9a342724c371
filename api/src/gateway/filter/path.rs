//! The path that takes the place of another.

use serde::Deserialize;

use crate::violation::Violation;

/// Most bytes of a path.
const PATH_BYTES_MAX: usize = 1024;

/// What takes the place of a path.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Fields")]
pub enum PathModifier {
    /// This, whatever the path was. The query stays.
    Full(String),
    /// This in place of the prefix that was matched; slashes at its end count for nothing.
    Prefix(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Fields {
    r#type: Type,
    replace_full_path: Option<String>,
    replace_prefix_match: Option<String>,
}

#[derive(Deserialize)]
enum Type {
    ReplaceFullPath,
    ReplacePrefixMatch,
}

impl TryFrom<Fields> for PathModifier {
    type Error = &'static str;

    fn try_from(fields: Fields) -> Result<Self, &'static str> {
        match (fields.r#type, fields.replace_full_path, fields.replace_prefix_match) {
            (Type::ReplaceFullPath, Some(path), None) => Ok(Self::Full(path)),
            (Type::ReplacePrefixMatch, None, Some(prefix)) => Ok(Self::Prefix(prefix)),
            (Type::ReplaceFullPath, ..) => Err("must hold `replaceFullPath`, as its type says, and no other"),
            (Type::ReplacePrefixMatch, ..) => {
                Err("must hold `replacePrefixMatch`, as its type says, and no other")
            }
        }
    }
}

impl PathModifier {
    pub(super) fn validate(&self, at: &str) -> Result<(), Violation> {
        let (field, path, may_be_empty) = match self {
            Self::Full(path) => ("replaceFullPath", path, false),
            Self::Prefix(prefix) => ("replacePrefixMatch", prefix, true),
        };
        if (path.is_empty() && may_be_empty) || is_path(path) {
            return Ok(());
        }
        let rule = format!(
            "is `{path}`; it must be a path that begins with `/`, without query, of at most {PATH_BYTES_MAX} bytes"
        );
        Err(Violation::new(format!("{at}.{field}"), rule))
    }
}

/// An absolute path (RFC 3986, 3.3): segments of unreserved and reserved characters, and of octets in hexadecimal.
fn is_path(text: &str) -> bool {
    let is_pchar = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/".contains(&byte);
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = match (first, after) {
            (b'%', [high, low, after @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => after,
            (byte, after) if is_pchar(*byte) => after,
            _ => return false,
        };
    }
    text.starts_with('/') && text.len() <= PATH_BYTES_MAX
}
