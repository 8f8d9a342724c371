//! The one form of a request's path by which access is decided: two spellings that a server may take for the same path
//! have the same form, and what servers disagree about has none.

use std::{borrow::Cow, fmt};

/// Bytes that stand for themselves in a path wherever they are (RFC 3986, 3.3), but for `;`: some servers cut segments
/// there, and others do not. The dot is told apart by its place.
const PLAIN: &[u8] = b"-_~!$&'()*+,=:@";

/// Why a path has no canonical form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ambiguity {
    /// It does not begin with a slash.
    #[error("a path begins with `/`")]
    Relative,
    /// A `%` without two hexadecimal digits after it.
    #[error("a `%` is followed by two hexadecimal digits")]
    Escape,
    /// A byte that servers read differently, raw or percent-encoded: a hidden slash, `\`, `;`, a control character, or
    /// one beyond ASCII that is not encoded.
    #[error("the byte {0} means different things to different servers")]
    Byte(Byte),
}

/// A byte, shown as it would be percent-encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Byte(pub u8);

impl fmt::Display for Byte {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "%{:02X}", self.0)
    }
}

/// The canonical form of `path`, which has no query: dot segments and empty ones are resolved (RFC 3986, 5.2.4), what
/// need not be percent-encoded is decoded, and what must be is, in capitals (6.2.2). Idempotent. The path of `OPTIONS *`
/// is its own form.
pub fn canonical(path: &str) -> Result<Cow<'_, str>, Ambiguity> {
    if is_evidently_canonical(path.as_bytes()) || path == "*" {
        return Ok(Cow::Borrowed(path));
    }
    let relative = path.strip_prefix('/').ok_or(Ambiguity::Relative)?;
    let mut segments: Vec<String> = Vec::new();
    // Whether a slash stands at the end: what names a directory goes on doing so.
    let mut ends_open = false;
    for segment in relative.split('/') {
        let segment = normalized(segment)?;
        ends_open = matches!(segment.as_str(), "" | "." | "..");
        match segment.as_str() {
            "" | "." => {}
            ".." => drop(segments.pop()),
            _ => segments.push(segment),
        }
    }
    let slash = if ends_open && !segments.is_empty() { "/" } else { "" };
    Ok(Cow::Owned(format!("/{}{slash}", segments.join("/"))))
}

/// Whether nothing is to be done: true of nearly all paths that are sent. False says nothing.
fn is_evidently_canonical(path: &[u8]) -> bool {
    let mut before = 0;
    let plain = path.iter().all(|byte| {
        let after_slash = std::mem::replace(&mut before, *byte) == b'/';
        match byte {
            b'/' | b'.' => !after_slash,
            _ => stands_for_itself(*byte),
        }
    });
    plain && path.first() == Some(&b'/')
}

fn stands_for_itself(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || PLAIN.contains(&byte)
}

/// A segment with every byte in the one way in which it is written.
fn normalized(segment: &str) -> Result<String, Ambiguity> {
    let mut normalized = String::with_capacity(segment.len());
    let mut bytes = segment.bytes();
    while let Some(raw) = bytes.next() {
        let (byte, encoded) = if raw == b'%' {
            let mut digit = || {
                let digit = char::from(bytes.next()?).to_digit(16)?;
                u8::try_from(digit).ok()
            };
            let (Some(high), Some(low)) = (digit(), digit()) else { return Err(Ambiguity::Escape) };
            (high << 4 | low, true)
        } else {
            (raw, false)
        };
        let unreserved = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        match byte {
            b'/' | b'\\' | 0..0x20 | 0x7f => return Err(Ambiguity::Byte(Byte(byte))),
            b';' | b' ' | 0x80.. if !encoded => return Err(Ambiguity::Byte(Byte(byte))),
            _ if unreserved || (!encoded && stands_for_itself(byte)) => normalized.push(char::from(byte)),
            _ => normalized.push_str(&Byte(byte).to_string()),
        }
    }
    Ok(normalized)
}

#[cfg(test)]
mod tests;
