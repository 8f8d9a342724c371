//! Which rule of the service takes a request, and which backend. Rules stand in the order of precedence that the
//! control plane gave them (Gateway API, HTTPRouteRule), so the first that matches wins.

// What a route does with requests and responses besides.
mod cors;
mod edits;
mod mirror;
mod redirect;
mod rewrite;
pub(crate) mod session;

use std::{borrow::Cow, sync::Arc, time::Duration};

use http::{HeaderName, Method, StatusCode, request::Parts};
use rand::Rng;
use regex_lite::{Regex, RegexBuilder};
use weft_api::names;

use crate::{
    cluster::Cluster,
    fault_injection::FaultInjection,
    guard::Guard,
    retry::{self, budget::Budget},
    telemetry::requests::Series,
};

pub use cors::{Cors, Grant};
pub use edits::{Edits, HeaderEdits, Put};
pub use mirror::Mirror;
pub use redirect::Redirect;
pub use rewrite::{PathRewrite, Rewrite};
pub use session::{SessionSpec, Sessions};

/// A copy must have response headers within this time: what Envoy gives requests of which nobody says anything.
const COPY_TIMEOUT: Duration = Duration::from_secs(15);

/// The rules of one service port.
pub struct Table {
    /// `<namespace>/<service>:<port>`.
    pub name: Arc<str>,
    /// In order of precedence.
    pub routes: Vec<Arc<Route>>,
    /// The retry budgets of the routes, each once.
    pub budgets: Vec<Arc<Budget>>,
}

/// One rule.
pub struct Route {
    /// `<namespace>/<HTTPRoute>/rule/<index>`, or `default`.
    pub name: Arc<str>,
    /// What it takes.
    pub matches: Match,
    /// What becomes of headers on either way.
    pub edits: Edits,
    /// Whether pages of other origins may ask, if it says anything about that.
    pub cors: Option<Cors>,
    /// What it does.
    pub action: Action,
    /// Where its requests are counted.
    pub requests: Arc<Series>,
}

/// What a rule does with a request.
pub enum Action {
    /// Sends it on.
    Forward(Forward),
    /// Sends the caller elsewhere.
    Redirect(Redirect),
    /// Answers it with a status: a rule without a valid backend.
    Respond(StatusCode),
}

/// Where to, and how persistently.
pub struct Forward {
    /// What stands before the route itself, if a policy is attached to it.
    pub guard: Option<Arc<Guard>>,
    /// What requests are called from here on.
    pub rewrite: Rewrite,
    /// Who gets copies.
    pub mirrors: Vec<Arc<Mirror>>,
    /// Backends and their weights.
    pub backends: Backends,
    /// What is answered for one that does not exist.
    pub missing: StatusCode,
    /// For response headers, retries included. `None` = no limit.
    pub timeout: Option<Duration>,
    /// What is injected before all that. `None` = nothing.
    pub faults: Option<Arc<FaultInjection>>,
    /// When and how to try again. `None` = once only.
    pub retry: Option<retry::Rule>,
    /// Who goes again where it has been answered. `None` = nobody.
    pub sessions: Option<Box<Sessions>>,
}

/// Weighted backends.
pub struct Backends {
    list: Vec<Backend>,
    total: u64,
}

/// One of them.
pub struct Backend {
    /// Its share of the requests, in relation to the others.
    pub weight: u32,
    /// `None` = it does not exist: its share of the requests fails.
    pub cluster: Option<Arc<Cluster>>,
    /// What becomes of the headers of what it takes.
    pub edits: Edits,
}

/// All that a rule asks of a request; what is empty asks nothing.
#[derive(Clone, Debug, Default)]
pub struct Match {
    /// The path.
    pub path: Path,
    /// The method.
    pub method: Option<Method>,
    /// Headers, all of them.
    pub headers: Vec<(HeaderName, Text)>,
    /// Query parameters, all of them, by decoded name.
    pub query: Vec<(String, Text)>,
}

/// How a path is matched.
#[derive(Clone, Debug)]
pub enum Path {
    /// The whole path.
    Exact(String),
    /// Whole segments from the start: `/a` takes `/a` and `/a/b`, not `/ab`. Without a trailing slash; empty = all.
    Segments(String),
    /// Characters from the start.
    Prefix(String),
    /// The whole path by a regular expression.
    Regex(Regex),
}

/// How a value is matched.
#[derive(Clone, Debug)]
pub enum Text {
    /// Equal.
    Exact(String),
    /// The whole value by a regular expression.
    Regex(Regex),
}

/// A regular expression, with a bound on the memory that compiling it may need.
///
/// The engine takes time linear in the text, as `regex` does, in a fraction of its size; it knows no Unicode classes.
pub fn expression(pattern: &str) -> Result<Regex, regex_lite::Error> {
    RegexBuilder::new(pattern).size_limit(names::EXPRESSION_BYTES_MAX).build()
}

/// A regular expression that must take the whole text.
pub fn whole(pattern: &str) -> Result<Regex, regex_lite::Error> {
    expression(&format!("^(?:{pattern})$"))
}

impl Table {
    /// The first rule that takes the request.
    pub fn find(&self, request: &Parts) -> Option<&Arc<Route>> {
        self.routes.iter().find(|route| route.matches.takes(request))
    }

    /// Every backend that exists.
    pub fn clusters(&self) -> impl Iterator<Item = &Arc<Cluster>> {
        self.forwards().flat_map(Forward::clusters)
    }

    /// What stands before single routes.
    pub fn guards(&self) -> impl Iterator<Item = &Arc<Guard>> {
        self.forwards().filter_map(|forward| forward.guard.as_ref())
    }

    fn forwards(&self) -> impl Iterator<Item = &Forward> {
        self.routes.iter().filter_map(|route| match &route.action {
            Action::Forward(forward) => Some(forward),
            Action::Redirect(_) | Action::Respond(_) => None,
        })
    }
}

impl Forward {
    /// Every backend that exists, those that get copies included.
    fn clusters(&self) -> impl Iterator<Item = &Arc<Cluster>> {
        let copies = self.mirrors.iter().map(|mirror| &mirror.forward.backends);
        [&self.backends].into_iter().chain(copies).flat_map(Backends::clusters)
    }

    /// How copies are sent: once, to one backend.
    pub fn of_copies(cluster: Arc<Cluster>) -> Self {
        let backend = Backend { weight: 1, cluster: Some(cluster), edits: Edits::default() };
        Self {
            guard: None,
            rewrite: Rewrite::default(),
            mirrors: Vec::new(),
            backends: Backends::new(vec![backend]),
            missing: StatusCode::INTERNAL_SERVER_ERROR,
            timeout: Some(COPY_TIMEOUT),
            faults: None,
            retry: None,
            sessions: None,
        }
    }
}

impl Match {
    /// Whether the request is one of these.
    pub fn takes(&self, request: &Parts) -> bool {
        // Of what has none, as a tunnel, a rule that asks for no path in particular takes it.
        let path = match request.uri.path() {
            "" => "/",
            path => path,
        };
        self.path.takes(path)
            && self.method.as_ref().is_none_or(|method| *method == request.method)
            && self
                .headers
                .iter()
                .all(|(name, text)| header(request, name).is_some_and(|value| text.takes(&value)))
            && self.takes_query(request.uri.query().unwrap_or_default())
    }

    fn takes_query(&self, query: &str) -> bool {
        // The first of several parameters of one name counts (Gateway API, HTTPQueryParamMatch).
        self.query.iter().all(|(name, text)| {
            let mut parameters = form_urlencoded::parse(query.as_bytes());
            parameters.find(|(key, _)| key == name).is_some_and(|(_, value)| text.takes(&value))
        })
    }
}

/// A header's value; of several lines of one name, their list (RFC 9110, 5.2).
fn header<'a>(request: &'a Parts, name: &HeaderName) -> Option<Cow<'a, str>> {
    let mut values =
        request.headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
    let first = values.next()?;
    Some(values.fold(first, |list, value| Cow::Owned(format!("{list},{value}"))))
}

impl Default for Path {
    fn default() -> Self {
        Self::Segments(String::new())
    }
}

impl Path {
    fn takes(&self, path: &str) -> bool {
        match self {
            Self::Exact(exact) => path == exact,
            Self::Segments(prefix) => path
                .strip_prefix(prefix.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
            Self::Prefix(prefix) => path.starts_with(prefix.as_str()),
            Self::Regex(regex) => regex.is_match(path),
        }
    }

    /// What of `path`, which this has taken, comes after what was asked for. An expression asks for the whole.
    fn after<'a>(&self, path: &'a str) -> &'a str {
        let prefix = match self {
            Self::Segments(prefix) if prefix.is_empty() => "/",
            Self::Segments(prefix) | Self::Prefix(prefix) => prefix,
            Self::Exact(_) | Self::Regex(_) => return "",
        };
        path.strip_prefix(prefix).unwrap_or_default()
    }
}

impl Text {
    fn takes(&self, value: &str) -> bool {
        match self {
            Self::Exact(exact) => value == exact,
            Self::Regex(regex) => regex.is_match(value),
        }
    }
}

impl Backends {
    /// Of these.
    pub fn new(list: Vec<Backend>) -> Self {
        let total = list.iter().map(|backend| u64::from(backend.weight)).sum();
        Self { list, total }
    }

    /// Those that exist.
    pub fn clusters(&self) -> impl Iterator<Item = &Arc<Cluster>> {
        self.list.iter().filter_map(|backend| backend.cluster.as_ref())
    }

    /// The one at `index`.
    pub fn get(&self, index: usize) -> Option<&Backend> {
        self.list.get(index)
    }

    /// One of them by weight; `None` if all weights are 0.
    pub fn pick(&self, random: &mut impl Rng) -> Option<&Backend> {
        if let [only] = self.list.as_slice() {
            return Some(only).filter(|only| only.weight > 0);
        }
        if self.total == 0 {
            return None;
        }
        let mut at = random.random_range(0..self.total);
        for backend in &self.list {
            match at.checked_sub(u64::from(backend.weight)) {
                Some(rest) => at = rest,
                None => return Some(backend),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests;
