//! Which pages of other origins may ask (GEP-1767; Fetch Standard, CORS protocol).

use serde::Deserialize;

use super::edits::is_token;
use crate::violation::Violation;

/// Most entries of a list.
const LIST_MAX: usize = 64;
/// An entry that stands for all; it stands alone.
const ANY: &str = "*";

/// Which pages of other origins may ask, by what and with what.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Cors {
    /// Origins, such as `https://shop.example:8443`. `*` in a host is any part of it, and alone any origin.
    pub allow_origins: Vec<String>,
    /// Whether requests may carry cookies and the like.
    pub allow_credentials: bool,
    /// Methods beside `GET`, `HEAD` and `POST`; `*` is any.
    pub allow_methods: Vec<String>,
    /// Headers of requests; `*` is any.
    pub allow_headers: Vec<String>,
    /// Headers of responses that pages may read; `*` is any.
    pub expose_headers: Vec<String>,
    /// For so many seconds the answer to a preflight counts. Default 5.
    pub max_age: u32,
}

impl Default for Cors {
    fn default() -> Self {
        Self {
            allow_origins: Vec::new(),
            allow_credentials: false,
            allow_methods: Vec::new(),
            allow_headers: Vec::new(),
            expose_headers: Vec::new(),
            max_age: 5,
        }
    }
}

impl Cors {
    pub(super) fn validate(&self, at: &str) -> Result<(), Violation> {
        list(at, "allowOrigins", &self.allow_origins, "origin", is_origin)?;
        list(at, "allowMethods", &self.allow_methods, "method", is_token)?;
        list(at, "allowHeaders", &self.allow_headers, "name of a header", is_token)?;
        list(at, "exposeHeaders", &self.expose_headers, "name of a header", is_token)?;
        if self.max_age == 0 {
            return Err(Violation::new(format!("{at}.maxAge"), "is 0; it must be at least 1"));
        }
        Ok(())
    }
}

fn list(
    at: &str,
    field: &str,
    entries: &[String],
    what: &str,
    fits: impl Fn(&str) -> bool,
) -> Result<(), Violation> {
    if entries.len() > LIST_MAX {
        return Err(Violation::new(format!("{at}.{field}"), format!("must hold at most {LIST_MAX} entries")));
    }
    if entries.len() > 1 && entries.iter().any(|entry| entry == ANY) {
        return Err(Violation::new(format!("{at}.{field}"), "holds `*`, which stands for all, and others"));
    }
    match entries.iter().position(|entry| entry != ANY && !fits(entry)) {
        None => Ok(()),
        Some(index) => {
            let rule = format!("is `{}`, which is no {what}", entries[index]);
            Err(Violation::new(format!("{at}.{field}[{index}]"), rule))
        }
    }
}

/// `http` or `https`, a host that may hold `*`, and perhaps a port.
fn is_origin(text: &str) -> bool {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    let Some(rest) = rest else { return false };
    let (host, port) = rest.split_once(':').map_or((rest, None), |(host, port)| (host, Some(port)));
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'*' | b'_');
    !host.is_empty()
        && host.bytes().all(is_host)
        && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port != 0))
}

#[cfg(test)]
mod tests;
