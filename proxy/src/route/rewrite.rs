//! Another path or host for a request, before it goes on.

use http::{HeaderValue, Uri, header::HOST, request::Parts, uri::PathAndQuery};
use regex_lite::Regex;

use super::Path;

/// Where a request goes on under another name.
#[derive(Clone, Debug, Default)]
pub struct Rewrite {
    /// What `Host` says from here on.
    pub host: Option<HeaderValue>,
    /// What the path is from here on.
    pub path: Option<PathRewrite>,
}

/// What takes the place of a path. The query stays.
#[derive(Clone, Debug)]
pub enum PathRewrite {
    /// This.
    Full(String),
    /// This text in place of the prefix that was matched.
    Prefix(String),
    /// This in place of whatever an expression finds.
    Pattern {
        /// What is looked for.
        pattern: Regex,
        /// What takes its place; groups as `${1}`.
        substitution: String,
    },
}

impl Rewrite {
    /// Rewrites `request`, which `matched` has taken. Fails if the new path is none that HTTP can carry.
    pub fn apply(&self, request: &mut Parts, matched: &Path) -> Result<(), http::Error> {
        if let Some(path) = &self.path {
            let mut parts = std::mem::take(&mut request.uri).into_parts();
            let target = parts.path_and_query.take();
            parts.path_and_query = Some(path.target(target.as_ref(), matched)?);
            request.uri = Uri::from_parts(parts)?;
        }
        if let Some(host) = &self.host {
            // A target without authority goes to the host that `Host` names (RFC 9112, 3.2).
            let path_and_query = request.uri.path_and_query().cloned();
            request.uri = path_and_query.map_or_else(Uri::default, Uri::from);
            request.headers.insert(HOST, host.clone());
        }
        Ok(())
    }
}

impl PathRewrite {
    /// The target of a request whose path is rewritten.
    fn target(&self, target: Option<&PathAndQuery>, matched: &Path) -> Result<PathAndQuery, http::Error> {
        let path = self.path(target.map_or("/", PathAndQuery::path), matched);
        Ok(match target.and_then(PathAndQuery::query) {
            None => PathAndQuery::try_from(path)?,
            Some(query) => PathAndQuery::try_from(format!("{path}?{query}"))?,
        })
    }

    /// What becomes of `path`, which `matched` has taken.
    pub fn path(&self, path: &str, matched: &Path) -> String {
        match self {
            Self::Full(full) => full.clone(),
            Self::Prefix(prefix) => format!("{prefix}{}", matched.after(path)),
            Self::Pattern { pattern, substitution } => {
                pattern.replace_all(path, substitution.as_str()).into_owned()
            }
        }
    }
}

#[cfg(test)]
mod tests;
