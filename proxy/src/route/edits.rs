//! Edits of headers, as the filters of a route or of a backend have them.

use http::{HeaderMap, HeaderName, HeaderValue};

/// Edits of a request and of its response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edits {
    /// Of the request, before it goes on.
    pub request: HeaderEdits,
    /// Of the response, before the caller gets it.
    pub response: HeaderEdits,
}

/// Edits of the headers of one message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderEdits {
    /// Those that go, first of all.
    pub remove: Vec<HeaderName>,
    /// Those that come, in order.
    pub put: Vec<(HeaderName, HeaderValue, Put)>,
}

/// What a header is to those of its name that are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// It takes their place.
    Over,
    /// It comes beside them.
    Beside,
}

impl HeaderEdits {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.put.is_empty()
    }

    /// Does them.
    pub fn apply(&self, headers: &mut HeaderMap) {
        for name in &self.remove {
            headers.remove(name);
        }
        for (name, value, put) in &self.put {
            match put {
                Put::Over => drop(headers.insert(name.clone(), value.clone())),
                Put::Beside => drop(headers.append(name.clone(), value.clone())),
            }
        }
    }
}

#[cfg(test)]
mod tests;
