//! Whether first bytes are a request line of HTTP/1 (RFC 9112, 3): `GET /path HTTP/1.1`.

/// The longest method that is recognised. The longest registered one, UPDATEREDIRECTREF, has 17 letters.
const METHOD_MAX: usize = 32;
/// After so many bytes of one line that began like a request, it is one: other protocols have no such lines.
const LINE_MAX: usize = 2048;

/// Decides; `None` = more is needed. Text protocols may begin alike (`SET key value`), so the line is read to its end.
pub(super) fn is_http1(first: &[u8]) -> Option<bool> {
    let method = first.iter().take_while(|byte| is_token(**byte)).count();
    if method > METHOD_MAX {
        return Some(false);
    }
    let after = first.get(method)?;
    if method == 0 || *after != b' ' {
        return Some(false);
    }
    let Some(end) = first.iter().position(|byte| *byte == b'\n') else {
        return (first.len() >= LINE_MAX).then_some(true);
    };
    let line = first[..end].strip_suffix(b"\r").unwrap_or(&first[..end]);
    Some(line.ends_with(b" HTTP/1.1") || line.ends_with(b" HTTP/1.0"))
}

/// RFC 9110, 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests;
