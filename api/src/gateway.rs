//! The routes of the Gateway API, as far as a mesh reads them (GAMMA, GEP-1324): parents are Services.

pub mod filter;
mod grpc;
mod session;
mod stream;

use serde::{Deserialize, de::IgnoredAny};

use crate::{Duration, violation::Violation};

pub use filter::Filter;
pub use grpc::{GrpcMatch, MethodMatch};
pub use session::{CookieConfig, CookieLifetime, SessionKind, SessionPersistence};
pub use stream::{StreamRouteSpec, StreamRule};

/// API group of routes.
pub const GROUP: &str = "gateway.networking.k8s.io";
/// API group and version of routes.
pub const API_VERSION: &str = "gateway.networking.k8s.io/v1";

/// `spec` of a route of any kind.
pub trait Route {
    /// What it is attached to.
    fn parents(&self) -> &[ParentRef];
}

/// `spec` of an `HTTPRoute`.
pub type HttpRouteSpec = RouteSpec<Match>;
/// `spec` of a `GRPCRoute`.
pub type GrpcRouteSpec = RouteSpec<GrpcMatch>;

/// `spec` of a route whose rules ask `M` of requests.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[serde(bound = "M: Deserialize<'de> + Default")]
pub struct RouteSpec<M> {
    /// What it is attached to.
    pub parent_refs: Vec<ParentRef>,
    /// Its rules. Absent: one that matches everything and has no backend.
    pub rules: Vec<Rule<M>>,
    /// Passed over: a mesh matches by the service's address, not by the host (GEP-1426).
    hostnames: IgnoredAny,
    use_default_gateways: IgnoredAny,
}

/// A parent of a route.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ParentRef {
    /// API group. Absent: that of `Gateway`; a Service's is empty.
    #[serde(default = "gateway_group")]
    pub group: String,
    /// Kind. Absent: `Gateway`.
    #[serde(default = "gateway_kind")]
    pub kind: String,
    /// Namespace. Absent: that of the route.
    #[serde(default)]
    pub namespace: Option<String>,
    /// Name.
    pub name: String,
    /// Name of the service's port.
    #[serde(default)]
    pub section_name: Option<String>,
    /// Number of the service's port. Absent, and no section name: all ports.
    #[serde(default)]
    pub port: Option<u16>,
}

/// Where the requests that match go.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[serde(bound = "M: Deserialize<'de> + Default")]
pub struct Rule<M> {
    /// Name, for policies that attach to it.
    pub name: Option<String>,
    /// A request matches if it fits any of these. None: every request.
    pub matches: Vec<M>,
    /// Who answers, by weight.
    pub backend_refs: Vec<BackendRef>,
    /// How long an answer may take. Of an `HTTPRoute` only.
    pub timeouts: Option<Timeouts>,
    /// What is tried again (GEP-1731). Of an `HTTPRoute` only.
    pub retry: Option<RouteRetry>,
    /// What is done with requests and answers besides.
    pub filters: Vec<Filter>,
    /// Whether callers go again where they have been answered.
    pub session_persistence: Option<SessionPersistence>,
}

/// What a request must fit: all that is said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Match {
    /// Path. Absent: any.
    pub path: PathMatch,
    /// Headers, all of them.
    pub headers: Vec<ValueMatch>,
    /// Query parameters, all of them.
    pub query_params: Vec<ValueMatch>,
    /// Method. Absent: any.
    pub method: Option<Method>,
}

/// A condition on the path.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct PathMatch {
    /// How `value` is compared.
    #[serde(rename = "type")]
    pub kind: PathMatchKind,
    /// The path, its prefix in whole segments, or an expression.
    pub value: String,
}

impl Default for PathMatch {
    fn default() -> Self {
        Self { kind: PathMatchKind::PathPrefix, value: "/".to_owned() }
    }
}

/// How paths are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum PathMatchKind {
    /// The same path.
    Exact,
    /// The same first segments.
    #[default]
    PathPrefix,
    /// The whole path fits the expression.
    RegularExpression,
}

/// A condition on a header or a query parameter.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ValueMatch {
    /// How `value` is compared.
    #[serde(rename = "type", default)]
    pub kind: ValueMatchKind,
    /// Name of the header (any case) or parameter (exact).
    pub name: String,
    /// Value or expression.
    pub value: String,
}

/// How values are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum ValueMatchKind {
    /// The same value.
    #[default]
    Exact,
    /// The whole value fits the expression.
    RegularExpression,
}

/// A method of HTTP, as the Gateway API lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// `GET`.
    Get,
    /// `HEAD`.
    Head,
    /// `POST`.
    Post,
    /// `PUT`.
    Put,
    /// `DELETE`.
    Delete,
    /// `CONNECT`.
    Connect,
    /// `OPTIONS`.
    Options,
    /// `TRACE`.
    Trace,
    /// `PATCH`.
    Patch,
}

impl Method {
    /// As it stands in a request.
    pub const fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Delete => "DELETE",
            Method::Connect => "CONNECT",
            Method::Options => "OPTIONS",
            Method::Trace => "TRACE",
            Method::Patch => "PATCH",
        }
    }
}

/// A backend of a rule.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BackendRef {
    /// API group. Absent: that of `Service`, which is empty.
    #[serde(default)]
    pub group: String,
    /// Kind. Absent: `Service`.
    #[serde(default = "service_kind")]
    pub kind: String,
    /// Name.
    pub name: String,
    /// Namespace. Absent: that of the route.
    #[serde(default)]
    pub namespace: Option<String>,
    /// Number of the service's port. A Service needs one.
    #[serde(default)]
    pub port: Option<u16>,
    /// Share of the requests, in relation to the other backends. Default 1; 0 = none. At most 1,000,000.
    #[serde(default = "one")]
    pub weight: u32,
    /// As in a rule, for what this backend takes. Only edits of headers.
    #[serde(default)]
    pub filters: Vec<Filter>,
}

/// Timeouts of a rule (GEP-1742); 0 s = none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Timeouts {
    /// For the whole request, retries included.
    pub request: Option<Duration>,
    /// For each try.
    pub backend_request: Option<Duration>,
}

/// Retries of a rule (GEP-1731).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RouteRetry {
    /// Status codes that are tried again, within 400-599.
    pub codes: Vec<u16>,
    /// Retries after the first try. Absent: the default of `RetryPolicy`.
    pub attempts: Option<u32>,
    /// Pause before the first retry, at most.
    pub backoff: Option<Duration>,
}

impl<M> Route for RouteSpec<M> {
    fn parents(&self) -> &[ParentRef] {
        &self.parent_refs
    }
}

impl HttpRouteSpec {
    /// Checks what the types cannot say. Errors name the field by its path below `spec`.
    pub fn validate(&self) -> Result<(), Violation> {
        let mut rules = self.rules.iter().enumerate();
        rules.try_for_each(|(index, rule)| rule.validate(&format!("rules[{index}]")))
    }
}

impl<M> RouteSpec<M> {
    /// What the Gateway API knows and Weft does not carry yet: the fields, by their paths below `spec`.
    pub fn unsupported(&self) -> Vec<String> {
        let rules = self.rules.iter().enumerate();
        rules.flat_map(|(index, rule)| rule.unsupported(&format!("rules[{index}]"))).collect()
    }
}

impl Rule<Match> {
    fn validate(&self, at: &str) -> Result<(), Violation> {
        for (index, one) in self.matches.iter().enumerate() {
            let (kind, value) = (one.path.kind, &one.path.value);
            if kind != PathMatchKind::RegularExpression && !value.starts_with('/') {
                let field = format!("{at}.matches[{index}].path.value");
                return Err(Violation::new(field, format!("is `{value}`; a path must begin with `/`")));
            }
        }
        self.validate_backends(at)?;
        self.validate_filters(at)?;
        if let Some(Timeouts { request: Some(request), backend_request: Some(each) }) = self.timeouts
            && !request.is_zero()
            && each > request
        {
            let rule = format!("is {each}, above timeouts.request, which is {request}");
            return Err(Violation::new(format!("{at}.timeouts.backendRequest"), rule));
        }
        let Some(retry) = &self.retry else { return Ok(()) };
        if let Some((index, code)) =
            retry.codes.iter().enumerate().find(|(_, code)| !(400..=599).contains(*code))
        {
            let field = format!("{at}.retry.codes[{index}]");
            return Err(Violation::new(field, format!("is {code}; it must be within 400 to 599")));
        }
        if let Some(attempts) = retry.attempts.filter(|attempts| *attempts > 5) {
            let field = format!("{at}.retry.attempts");
            return Err(Violation::new(field, format!("is {attempts}; it must be within 0 to 5")));
        }
        Ok(())
    }

    fn validate_filters(&self, at: &str) -> Result<(), Violation> {
        let redirects = self.filters.iter().any(|filter| matches!(filter, Filter::RequestRedirect(_)));
        if redirects && !self.backend_refs.is_empty() {
            let rule = "must be empty: the rule has a RequestRedirect, so that no backend is asked";
            return Err(Violation::new(format!("{at}.backendRefs"), rule));
        }
        let mirror = self.filters.iter().position(|filter| matches!(filter, Filter::RequestMirror(_)));
        if let Some(index) = mirror.filter(|_| redirects) {
            let rule =
                "cannot stand beside a RequestRedirect: nothing is sent of which there could be a copy";
            return Err(Violation::new(format!("{at}.filters[{index}]"), rule));
        }
        // A rule without a match is one with the prefix `/`.
        let one_prefix = match self.matches.as_slice() {
            [] => true,
            [only] => only.path.kind == PathMatchKind::PathPrefix,
            _ => false,
        };
        match filter::of_prefix(&self.filters).filter(|_| !one_prefix) {
            None => Ok(()),
            Some(field) => {
                let rule =
                    "is ReplacePrefixMatch, for which the rule must have one match, and a PathPrefix in it";
                Err(Violation::new(format!("{at}.{field}"), rule))
            }
        }
    }
}

impl<M> Rule<M> {
    /// Checks the backends, sessions, and all filters each by itself.
    fn validate_backends(&self, at: &str) -> Result<(), Violation> {
        for (index, backend) in self.backend_refs.iter().enumerate() {
            let at = format!("{at}.backendRefs[{index}]");
            if backend.weight > 1_000_000 {
                let rule = format!("is {}; it must be within 0 to 1000000", backend.weight);
                return Err(Violation::new(format!("{at}.weight"), rule));
            }
            filter::validate(&backend.filters, &format!("{at}.filters"))?;
        }
        if let Some(session) = &self.session_persistence {
            session.validate(&format!("{at}.sessionPersistence"))?;
        }
        filter::validate(&self.filters, &format!("{at}.filters"))
    }

    fn unsupported(&self, at: &str) -> Vec<String> {
        let own = self.filters.iter().enumerate().filter(|(_, filter)| **filter == Filter::Unsupported);
        let mut fields: Vec<_> = own.map(|(index, _)| format!("{at}.filters[{index}]")).collect();
        for (backend, BackendRef { filters, .. }) in self.backend_refs.iter().enumerate() {
            let others = filters.iter().enumerate().filter(|(_, filter)| !filter.is_of_backends());
            fields.extend(others.map(|(index, _)| format!("{at}.backendRefs[{backend}].filters[{index}]")));
        }
        fields
    }
}

fn gateway_group() -> String {
    GROUP.to_owned()
}

fn gateway_kind() -> String {
    "Gateway".to_owned()
}

fn service_kind() -> String {
    "Service".to_owned()
}

fn one() -> u32 {
    1
}

#[cfg(test)]
mod tests;
