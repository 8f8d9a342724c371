//! Who may enter: what comes in is asked of the rules of its port, which answer with a reason. Pure.
//!
//! What cannot be known of something, such as the path of bytes that are no HTTP, fulfils no allowance and escapes no
//! denial (Kleene's logic of three values).

use std::{net::IpAddr, sync::Arc};

use http::Method;
use weft_api::cidr::Cidr;

/// What a port asks of everything that comes in. All filters must let it pass.
#[derive(Debug, PartialEq, Eq)]
pub struct Authorization {
    filters: Box<[Filter]>,
    /// Whether the path of a request decides about it.
    decides_by_path: bool,
}

/// Rules that act, and rules that are only reported on.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// They act.
    pub enforced: Option<List>,
    /// They say what would be, if they acted.
    pub audited: Option<List>,
}

/// Rules of one meaning.
#[derive(Debug, PartialEq, Eq)]
pub enum List {
    /// Something must match one of the conditions, or else is refused.
    Allow(Box<[Condition]>, Arc<Refusal>),
    /// What matches any of them is refused.
    Deny(Box<[(Condition, Arc<Refusal>)]>),
}

/// Why something may not enter.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The policy, or policies, as a metric label.
    pub policy: Arc<str>,
    /// In words.
    pub words: Arc<str>,
}

/// What must be true of something that comes in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Nothing.
    Always,
    /// All of these.
    All(Box<[Condition]>),
    /// One of these.
    AnyOf(Box<[Condition]>),
    /// Not this.
    Not(Box<Condition>),
    /// It has proved to be somebody of the mesh.
    Authenticated,
    /// It has proved to be this.
    Identity(Text),
    /// It comes from there.
    Network(Cidr),
    /// It goes to this port.
    Port(u16),
    /// It is a request of this method.
    Method(Method),
    /// It is a request for this path, in canonical form.
    Path(Text),
}

/// What a text must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Text {
    /// Equal.
    Exact(Box<str>),
    /// It begins so.
    Prefix(Box<str>),
}

/// Who comes in, and where.
#[derive(Clone, Debug)]
pub struct Entrant {
    /// SPIFFE id that was proved; `None` = plaintext.
    pub identity: Option<Arc<str>>,
    /// Where it connects from, if that is known.
    pub address: Option<IpAddr>,
    /// By the rules of which port.
    pub port: u16,
}

/// What a request asks.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Its method.
    pub method: &'a Method,
    /// Its canonical path; `None` if it has none.
    pub path: Option<&'a str>,
}

/// What becomes of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// It may enter.
    Allowed,
    /// It may enter, and could not if what is audited were enforced.
    Audited(&'a Arc<Refusal>),
    /// It may not.
    Denied(&'a Arc<Refusal>),
}

impl Authorization {
    /// All of `filters`.
    pub fn new(filters: Vec<Filter>) -> Self {
        let mut enforced = filters.iter().filter_map(|filter| filter.enforced.as_ref());
        let decides_by_path = enforced.any(|list| list.conditions().any(Condition::asks_for_path));
        Self { filters: filters.into(), decides_by_path }
    }

    /// Whether a path without a canonical form, of which nobody knows what it means to the application, must be refused.
    pub fn decides_by_path(&self) -> bool {
        self.decides_by_path
    }

    /// What becomes of a request, or, without `asked`, of bytes that nobody looks at.
    pub fn decide(&self, entrant: &Entrant, asked: Option<Asked<'_>>) -> Verdict<'_> {
        let mut enforced = self.filters.iter().filter_map(|filter| filter.enforced.as_ref());
        if let Some(denied) = enforced.find_map(|list| list.refusal(entrant, asked)) {
            return Verdict::Denied(denied);
        }
        let mut audited = self.filters.iter().filter_map(|filter| filter.audited.as_ref());
        let audited = audited.find_map(|list| list.refusal(entrant, asked));
        audited.map_or(Verdict::Allowed, Verdict::Audited)
    }
}

impl List {
    fn refusal(&self, entrant: &Entrant, asked: Option<Asked<'_>>) -> Option<&Arc<Refusal>> {
        match self {
            Self::Allow(conditions, refusal) => {
                let is_allowed =
                    conditions.iter().any(|condition| condition.holds(entrant, asked) == Some(true));
                (!is_allowed).then_some(refusal)
            }
            Self::Deny(rules) => {
                let matches =
                    |(condition, _): &&(Condition, _)| condition.holds(entrant, asked) != Some(false);
                rules.iter().find(matches).map(|(_, refusal)| refusal)
            }
        }
    }

    fn conditions(&self) -> impl Iterator<Item = &Condition> {
        let (allow, deny) = match self {
            Self::Allow(conditions, _) => (&conditions[..], &[][..]),
            Self::Deny(rules) => (&[][..], &rules[..]),
        };
        allow.iter().chain(deny.iter().map(|(condition, _)| condition))
    }
}

impl Condition {
    /// Whether it holds; `None` if that cannot be known.
    pub fn holds(&self, entrant: &Entrant, asked: Option<Asked<'_>>) -> Option<bool> {
        match self {
            Self::Always => Some(true),
            // One that does not hold decides, whatever is not known of the others; and the other way round.
            Self::All(all) => decided(all, entrant, asked, false),
            Self::AnyOf(any) => decided(any, entrant, asked, true),
            Self::Not(condition) => condition.holds(entrant, asked).map(|holds| !holds),
            Self::Authenticated => Some(entrant.identity.is_some()),
            Self::Identity(text) => Some(entrant.identity.as_deref().is_some_and(|id| text.takes(id))),
            Self::Network(network) => entrant.address.map(|address| network.contains(address)),
            Self::Port(port) => Some(*port == entrant.port),
            Self::Method(method) => asked.map(|asked| asked.method == method),
            Self::Path(text) => asked?.path.map(|path| text.takes(path)),
        }
    }

    fn asks_for_path(&self) -> bool {
        match self {
            Self::All(parts) | Self::AnyOf(parts) => parts.iter().any(Self::asks_for_path),
            Self::Not(part) => part.asks_for_path(),
            Self::Path(_) => true,
            _ => false,
        }
    }
}

/// The value `by`, if one of the `conditions` has it; not known, if one of them might; and else the other value.
fn decided(conditions: &[Condition], entrant: &Entrant, asked: Option<Asked<'_>>, by: bool) -> Option<bool> {
    let mut all_known = true;
    for condition in conditions {
        match condition.holds(entrant, asked) {
            Some(value) if value == by => return Some(by),
            Some(_) => {}
            None => all_known = false,
        }
    }
    all_known.then_some(!by)
}

impl Text {
    fn takes(&self, text: &str) -> bool {
        match self {
            Self::Exact(exact) => text == &**exact,
            Self::Prefix(prefix) => text.starts_with(&**prefix),
        }
    }
}

#[cfg(test)]
mod tests;
