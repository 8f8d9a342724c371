//! One line of a log file as a JSON object: the line itself if it is one, or else its text.

use std::{
    io::{self, Write},
    path::Path,
};

use serde::Serialize;
use serde_json::{Map, Value};

use crate::config::Pod;

/// Longer lines are cut: the log of a container is cut into pieces of 16 KiB by most runtimes, and this is four.
pub(super) const LINE_BYTES_MAX: usize = 64 * 1024;

/// A line without its end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line<'a> {
    /// What it says, at most [`LINE_BYTES_MAX`].
    pub(super) bytes: &'a [u8],
    /// Whether there was more of it.
    pub(super) truncated: bool,
}

/// What stands in front of the line.
#[derive(Serialize)]
struct Head<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pod: Option<&'a str>,
    file: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    truncated: bool,
}

/// Writes `line` as one JSON object and a newline. An object is embedded as it is written, so that its fields keep
/// their order and numbers their digits. Bytes that are not UTF-8 become U+FFFD.
pub(super) fn print(out: &mut impl Write, pod: &Pod, file: &Path, line: Line<'_>) -> io::Result<()> {
    let bytes = line.bytes.strip_suffix(b"\r").unwrap_or(line.bytes);
    let text = String::from_utf8_lossy(bytes);
    let head = Head {
        namespace: pod.namespace.as_deref(),
        pod: pod.name.as_deref(),
        file: file.display().to_string(),
        truncated: line.truncated,
    };
    let mut object = serde_json::to_string(&head)?;
    object.pop();
    object.push_str(",\"log\":");
    if is_object(&text) {
        object.push_str(text.trim());
    } else {
        object.push_str(&serde_json::to_string(&*text)?);
    }
    object.push_str("}\n");
    out.write_all(object.as_bytes())
}

/// Whether a reader of the log will find an object there. Read in full and not just scanned: nesting without end, half
/// a surrogate pair or a number beyond all types is for nobody to stumble upon.
fn is_object(text: &str) -> bool {
    text.trim_start().starts_with('{') && serde_json::from_str::<Map<String, Value>>(text).is_ok()
}

#[cfg(test)]
mod tests;
