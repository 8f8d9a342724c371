//! Which of several a name that a client of TLS calls belongs to (RFC 6066, 3): the same name first, then the longest end
//! of it (Gateway API, TLSRoute).

use std::collections::HashMap;

/// What stands behind names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerNames<T> {
    /// By the whole name.
    exact: HashMap<String, T>,
    /// By the end of names, without the `*.` before it.
    ends: HashMap<String, T>,
}

impl<T> Default for ServerNames<T> {
    fn default() -> Self {
        Self { exact: HashMap::new(), ends: HashMap::new() }
    }
}

impl<T> ServerNames<T> {
    /// Puts `value` behind `name`: a whole one, or `*.` and an end. Says whether nothing stood there.
    pub fn insert(&mut self, name: &str, value: T) -> bool {
        let name = name.to_ascii_lowercase();
        let before = match name.strip_prefix("*.") {
            Some(end) => self.ends.insert(end.to_owned(), value),
            None => self.exact.insert(name, value),
        };
        before.is_none()
    }

    /// Whether there are no names.
    pub fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.ends.is_empty()
    }

    /// What stands behind the name that is called. `*.a` takes `b.a` and `c.b.a`, not `a`.
    pub fn find(&self, called: &str) -> Option<&T> {
        let called = called.to_ascii_lowercase();
        if let Some(found) = self.exact.get(&called) {
            return Some(found);
        }
        let mut rest = called.as_str();
        while let Some((_, end)) = rest.split_once('.') {
            if let Some(found) = self.ends.get(end) {
                return Some(found);
            }
            rest = end;
        }
        None
    }

    /// All that stands behind names.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.exact.values().chain(self.ends.values())
    }

    /// The same names with something else behind them.
    pub fn map<U>(&self, mut of: impl FnMut(&T) -> U) -> ServerNames<U> {
        let mut each = |names: &HashMap<String, T>| {
            names.iter().map(|(name, value)| (name.clone(), of(value))).collect()
        };
        ServerNames { exact: each(&self.exact), ends: each(&self.ends) }
    }
}

#[cfg(test)]
mod tests;
