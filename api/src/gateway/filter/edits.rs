//! Edits of headers, and which headers may be edited.

use serde::Deserialize;

use crate::{names, violation::Violation};

/// Most headers that one filter sets, adds or removes.
const HEADERS_MAX: usize = 16;
/// Most bytes of a value.
const VALUE_BYTES_MAX: usize = 4096;

/// Fields that say where a message ends or belong to one connection (RFC 9110, 7.6.1; RFC 9113, 8.2.2), and those that
/// say where it goes. Whoever could edit them could smuggle requests.
const KEPT: [&str; 11] = [
    "connection",
    "content-length",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Edits of the headers of a message. Only one of them may speak of a name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct HeaderEdits {
    /// In place of all that have the name.
    pub set: Vec<HeaderValue>,
    /// Beside those that have the name.
    pub add: Vec<HeaderValue>,
    /// Names of those that go.
    pub remove: Vec<String>,
}

/// A header.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HeaderValue {
    /// Its name, in any case.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// Whether `name` is a header that a route may edit: a field that is no business of the connection, and not one that the
/// mesh itself vouches for.
pub fn may_be_edited(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    is_token(&name)
        && !KEPT.contains(&name.as_str())
        && !name.starts_with(names::HEADER_PREFIX)
        && name != names::HEADER_CLIENT_CERT
}

impl HeaderEdits {
    pub(super) fn validate(&self, at: &str) -> Result<(), Violation> {
        let set = self.set.iter().map(|header| (&header.name, Some(&header.value)));
        let add = self.add.iter().map(|header| (&header.name, Some(&header.value)));
        let remove = self.remove.iter().map(|name| (name, None));
        let mut seen = Vec::new();
        for (list, headers) in
            [("set", set.collect::<Vec<_>>()), ("add", add.collect()), ("remove", remove.collect())]
        {
            if headers.len() > HEADERS_MAX {
                let rule = format!("must hold at most {HEADERS_MAX} headers");
                return Err(Violation::new(format!("{at}.{list}"), rule));
            }
            for (index, (name, value)) in headers.into_iter().enumerate() {
                let field = if value.is_some() { ".name" } else { "" };
                let at = format!("{at}.{list}[{index}]");
                if let Some(rule) = flaw_of_name(name) {
                    return Err(Violation::new(format!("{at}{field}"), rule));
                }
                if value.is_some_and(|value| !is_value(value)) {
                    let rule = format!("must be 1 to {VALUE_BYTES_MAX} printable characters of ASCII");
                    return Err(Violation::new(format!("{at}.value"), rule));
                }
                let name = name.to_ascii_lowercase();
                if seen.contains(&name) {
                    let rule = format!("is `{name}`, of which an earlier entry speaks; there may be one");
                    return Err(Violation::new(format!("{at}{field}"), rule));
                }
                seen.push(name);
            }
        }
        Ok(())
    }
}

fn flaw_of_name(name: &str) -> Option<String> {
    if name.eq_ignore_ascii_case("host") {
        return Some("is `host`, which is set by the hostname of a URLRewrite".to_owned());
    }
    if !is_token(name) {
        return Some(format!("is `{name}`, which is no name of a header"));
    }
    let rule = || format!("is `{name}`, which belongs to the connection or to the mesh; leave it out");
    (!may_be_edited(name)).then(rule)
}

/// A `token` (RFC 9110, 5.6.2).
pub(in crate::gateway) fn is_token(text: &str) -> bool {
    let is_tchar = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_tchar)
}

/// A `field-value` (RFC 9110, 5.5) of ASCII, without blanks at its ends.
fn is_value(text: &str) -> bool {
    (1..=VALUE_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|byte| matches!(byte, b'\t' | b' '..=b'~'))
        && text.trim_matches([' ', '\t']) == text
}
