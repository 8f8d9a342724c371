//! A RouteConfiguration -> matches and actions.

mod cors;
mod filters;

use std::{sync::Arc, time::Duration};

use aws_lc_rs::hmac;
use http::{HeaderName, Method, StatusCode};
use serde::Deserialize;
use weft_api::{
    circuit_breaker::{CircuitBreaker, StatusRange},
    fault_injection as policy,
    gateway::{SessionKind, SessionPersistence},
    retry::{Backoff, Retry},
};
use weft_xds::{
    matcher::{StringMatcher, string_matcher::MatchPattern},
    metadata,
    route::{
        HeaderMatcher, QueryParameterMatcher, RetryPolicy, Route as RouteMessage, RouteAction,
        RouteConfiguration, RouteMatch,
        header_matcher::HeaderMatchSpecifier,
        query_parameter_matcher::QueryParameterMatchSpecifier,
        route::Action as ActionMessage,
        route_action::{ClusterNotFoundResponseCode, ClusterSpecifier},
        route_match::PathSpecifier,
        weighted_cluster::ClusterWeight,
    },
};

use super::{GuardSpec, PolicyMetadata, duration};
use crate::{
    fault_injection::FaultInjection,
    route::{
        Cors, Edits, Match, Path, Redirect, Rewrite, SessionSpec, Text,
        session::{Carrier, from_hex},
        whole,
    },
};

/// The routes of a service port, in order.
#[derive(Debug)]
pub struct Routes(pub Vec<RouteSpec>);

/// One route.
#[derive(Debug)]
pub struct RouteSpec {
    /// Its name.
    pub name: Arc<str>,
    /// What it takes.
    pub matches: Match,
    /// What becomes of headers on either way.
    pub edits: Edits,
    /// Whether pages of other origins may ask.
    pub cors: Option<Cors>,
    /// What it does.
    pub action: Action,
}

/// What a route does.
#[derive(Debug)]
pub enum Action {
    /// Forwards to clusters by weight.
    Forward {
        /// Those that share the requests.
        clusters: Vec<BackendSpec>,
        /// What is answered for one of them that does not exist.
        missing: StatusCode,
        /// What requests are called from here on.
        rewrite: Rewrite,
        /// Who gets copies.
        mirrors: Vec<MirrorSpec>,
        /// For the whole request.
        timeout: Option<Duration>,
        /// What is injected into requests.
        faults: Option<Arc<FaultInjection>>,
        /// When to try again.
        retry: Option<Retry>,
        /// What stands before the route itself.
        guard: Option<Box<GuardSpec>>,
        /// Who goes again where it has been answered.
        sessions: Option<Box<SessionSpec>>,
    },
    /// Sends callers elsewhere.
    Redirect(Redirect),
    /// Answers with a status.
    Respond(StatusCode),
}

/// One of the clusters that share a route's requests.
#[derive(Debug)]
pub struct BackendSpec {
    /// Its share, in relation to the others.
    pub weight: u32,
    /// Its name.
    pub cluster: Arc<str>,
    /// What becomes of the headers of what it takes.
    pub edits: Edits,
}

/// Who gets copies of a route's requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MirrorSpec {
    /// The cluster.
    pub cluster: Arc<str>,
    /// Of how many requests in a million.
    pub parts_per_million: u32,
}

#[cfg(test)]
impl RouteSpec {
    /// A route that takes everything, and spreads it evenly.
    pub fn for_tests(name: &str, clusters: &[&str]) -> Self {
        let backend =
            |name: &&str| BackendSpec { weight: 1, cluster: Arc::from(*name), edits: Edits::default() };
        let clusters = clusters.iter().map(backend).collect();
        let (rewrite, missing) = (Rewrite::default(), StatusCode::INTERNAL_SERVER_ERROR);
        let mirrors = Vec::new();
        let action = Action::Forward {
            clusters,
            missing,
            rewrite,
            mirrors,
            timeout: None,
            faults: None,
            retry: None,
            guard: None,
            sessions: None,
        };
        Self { name: name.into(), matches: Match::default(), edits: Edits::default(), cors: None, action }
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RouteMetadata {
    retry: Option<Retry>,
    circuit_breaker: Option<CircuitBreaker>,
    fault_injection: Option<PolicyMetadata<policy::FaultInjection>>,
    session_persistence: Option<SessionMetadata>,
}

/// Sessions of a rule: how the cookie or header is called whatever its author says, and what seals tokens.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SessionMetadata {
    name: String,
    key: String,
    spec: SessionPersistence,
}

impl Routes {
    /// The clusters that any route names.
    pub fn clusters(&self) -> impl Iterator<Item = &Arc<str>> {
        let forwards = self.0.iter().filter_map(|route| match &route.action {
            Action::Forward { clusters, mirrors, .. } => Some((clusters, mirrors)),
            Action::Redirect(_) | Action::Respond(_) => None,
        });
        forwards.flat_map(|(clusters, mirrors)| {
            let copies = mirrors.iter().map(|mirror| &mirror.cluster);
            clusters.iter().map(|backend| &backend.cluster).chain(copies)
        })
    }
}

pub(super) fn routes(name: &str, message: &RouteConfiguration) -> Result<Routes, String> {
    let [host] = message.virtual_hosts.as_slice() else {
        return Err(format!("virtual_hosts: one is needed, there are {}", message.virtual_hosts.len()));
    };
    let routes = host.routes.iter().enumerate().map(|(index, message)| {
        route(message).map_err(|reason| format!("{name}: routes[{index}] `{}`: {reason}", message.name))
    });
    routes.collect::<Result<_, _>>().map(Routes)
}

fn route(message: &RouteMessage) -> Result<RouteSpec, String> {
    let metadata: RouteMetadata =
        metadata::read(message.metadata.as_ref()).map_err(|error| error.to_string())?.unwrap_or_default();
    let action = match &message.action {
        Some(ActionMessage::Route(action)) => forward(action, metadata)?,
        Some(ActionMessage::DirectResponse(response)) => {
            let status =
                u16::try_from(response.status).ok().and_then(|status| StatusCode::from_u16(status).ok());
            Action::Respond(
                status.ok_or_else(|| format!("direct_response.status {} is none", response.status))?,
            )
        }
        Some(ActionMessage::Redirect(redirect)) => {
            Action::Redirect(filters::redirect(redirect).map_err(|reason| format!("redirect.{reason}"))?)
        }
        _ => return Err("route, redirect or direct_response is needed".to_owned()),
    };
    let matches = message.r#match.as_ref().ok_or("match is needed")?;
    Ok(RouteSpec {
        name: message.name.as_str().into(),
        matches: request_match(matches)?,
        edits: filters::edits_of_route(message)?,
        cors: cors::cors(message)?,
        action,
    })
}

fn forward(action: &RouteAction, metadata: RouteMetadata) -> Result<Action, String> {
    let clusters = match &action.cluster_specifier {
        Some(ClusterSpecifier::Cluster(name)) => {
            vec![BackendSpec { weight: 1, cluster: name.as_str().into(), edits: Edits::default() }]
        }
        Some(ClusterSpecifier::WeightedClusters(weighted)) => {
            weighted.clusters.iter().map(backend).collect::<Result<_, _>>()?
        }
        None => return Err("route: cluster or weighted_clusters is needed".to_owned()),
    };
    let rewrite = filters::rewrite(action).map_err(|reason| format!("route.{reason}"))?;
    let retry = match metadata.retry {
        Some(retry) => Some(retry),
        None => action.retry_policy.as_ref().map(standard_retry).transpose()?,
    };
    if let Some(retry) = &retry {
        retry.validate().map_err(|violation| format!("retry.{violation}"))?;
    }
    let route = duration("route.timeout", action.timeout)?.filter(|timeout| !timeout.is_zero());
    let policy = retry.as_ref().and_then(|retry| retry.timeout).map(weft_api::Duration::get);
    let timeout = route.into_iter().chain(policy).min();
    let guard = metadata.circuit_breaker.map(GuardSpec::new).transpose()?.map(Box::new);
    let faults = metadata.fault_injection.map(|PolicyMetadata { policy, spec }| {
        let faults = FaultInjection::new(&policy, &spec).map(Arc::new);
        faults.map_err(|reason| format!("faultInjection `{policy}`: {reason}"))
    });
    let faults = faults.transpose()?;
    let missing = match action.cluster_not_found_response_code() {
        ClusterNotFoundResponseCode::ServiceUnavailable => StatusCode::SERVICE_UNAVAILABLE,
        ClusterNotFoundResponseCode::NotFound => StatusCode::NOT_FOUND,
        ClusterNotFoundResponseCode::InternalServerError => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let mirrors = action.request_mirror_policies.iter().map(filters::mirror).collect::<Result<_, _>>();
    let mirrors = mirrors.map_err(|reason| format!("route.request_mirror_policies: {reason}"))?;
    let sessions = metadata.session_persistence.map(|sessions| {
        let sessions = sessions_of(&sessions).map(Box::new);
        sessions.map_err(|reason| format!("sessionPersistence: {reason}"))
    });
    let sessions = sessions.transpose()?;
    Ok(Action::Forward { clusters, missing, rewrite, mirrors, timeout, faults, retry, guard, sessions })
}

fn sessions_of(SessionMetadata { name, key, spec }: &SessionMetadata) -> Result<SessionSpec, String> {
    // The names of cookies and headers are made of the same characters.
    let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("`{name}` is no name"))?;
    let key: [u8; 32] = from_hex(key.as_bytes()).ok_or("key: 64 hexadecimal digits are needed")?;
    Ok(SessionSpec {
        carrier: match spec.kind {
            SessionKind::Cookie => Carrier::Cookie(name.clone()),
            SessionKind::Header => Carrier::Header(header),
        },
        key: hmac::Key::new(hmac::HMAC_SHA256, &key),
        absolute: spec.absolute_timeout.map(weft_api::Duration::get),
        idle: spec.idle_timeout.map(weft_api::Duration::get),
        permanent: spec.is_permanent(),
    })
}

fn backend(message: &ClusterWeight) -> Result<BackendSpec, String> {
    let edits = filters::edits_of_backend(message)
        .map_err(|reason| format!("route.weighted_clusters `{}`: {reason}", message.name))?;
    Ok(BackendSpec {
        weight: message.weight.unwrap_or_default(),
        cluster: message.name.as_str().into(),
        edits,
    })
}

/// The part of a retry policy that the standard can say, from a control plane that knows no other.
fn standard_retry(message: &RetryPolicy) -> Result<Retry, String> {
    let by_status = message.retry_on.split(',').any(|on| on.trim() == "retriable-status-codes");
    let statuses = message.retriable_status_codes.iter().filter(|_| by_status);
    let http = statuses.map(|status| {
        let status =
            u16::try_from(*status).map_err(|_| format!("retriable_status_codes: {status} is no status"))?;
        Ok(StatusRange { first: status, last: status })
    });
    let mut backoff = Backoff::default();
    if let Some(message) = &message.retry_back_off {
        let base =
            duration("retry_back_off.base_interval", message.base_interval)?.unwrap_or(backoff.base.get());
        let max = duration("retry_back_off.max_interval", message.max_interval)?.unwrap_or(base * 10);
        backoff = Backoff { base: millis(base), max: millis(max) };
    }
    Ok(Retry {
        http: http.collect::<Result<_, String>>()?,
        attempts: message.num_retries.unwrap_or(1),
        per_try_timeout: duration("per_try_timeout", message.per_try_timeout)?.map(millis),
        backoff,
        ..Retry::default()
    })
}

fn millis(duration: Duration) -> weft_api::Duration {
    weft_api::Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

fn request_match(message: &RouteMatch) -> Result<Match, String> {
    if message.case_sensitive == Some(false) {
        return Err("match.case_sensitive: false is not supported".to_owned());
    }
    let mut matches = Match {
        path: match &message.path_specifier {
            Some(PathSpecifier::Prefix(prefix)) if prefix == "/" => Path::default(),
            Some(PathSpecifier::Prefix(prefix)) => Path::Prefix(prefix.clone()),
            Some(PathSpecifier::Path(path)) => Path::Exact(path.clone()),
            Some(PathSpecifier::PathSeparatedPrefix(prefix)) => {
                Path::Segments(prefix.trim_end_matches('/').to_owned())
            }
            Some(PathSpecifier::SafeRegex(regex)) => {
                Path::Regex(whole(&regex.regex).map_err(|error| format!("match.safe_regex: {error}"))?)
            }
            None => return Err("match: a path is needed".to_owned()),
        },
        ..Match::default()
    };
    for header in &message.headers {
        header_match(header, &mut matches)
            .map_err(|reason| format!("match.headers `{}`: {reason}", header.name))?;
    }
    for parameter in &message.query_parameters {
        let text = query_match(parameter)
            .map_err(|reason| format!("match.query_parameters `{}`: {reason}", parameter.name))?;
        matches.query.push((parameter.name.clone(), text));
    }
    Ok(matches)
}

fn header_match(message: &HeaderMatcher, matches: &mut Match) -> Result<(), String> {
    let Some(HeaderMatchSpecifier::StringMatch(matcher)) = &message.header_match_specifier else {
        return Err("string_match is needed".to_owned());
    };
    if message.invert_match {
        return Err("invert_match is not supported".to_owned());
    }
    if message.name == ":method" {
        let Some(MatchPattern::Exact(method)) = &matcher.match_pattern else {
            return Err("exact is needed".to_owned());
        };
        matches.method =
            Some(Method::from_bytes(method.as_bytes()).map_err(|_| format!("`{method}` is no method"))?);
        return Ok(());
    }
    let name = HeaderName::from_bytes(message.name.as_bytes()).map_err(|_| "is no header name".to_owned())?;
    matches.headers.push((name, text(matcher)?));
    Ok(())
}

fn query_match(message: &QueryParameterMatcher) -> Result<Text, String> {
    match &message.query_parameter_match_specifier {
        Some(QueryParameterMatchSpecifier::StringMatch(matcher)) => text(matcher),
        _ => Err("string_match is needed".to_owned()),
    }
}

fn text(matcher: &StringMatcher) -> Result<Text, String> {
    match &matcher.match_pattern {
        Some(MatchPattern::Exact(exact)) => Ok(Text::Exact(exact.clone())),
        Some(MatchPattern::SafeRegex(regex)) => {
            whole(&regex.regex).map(Text::Regex).map_err(|error| error.to_string())
        }
        _ => Err("exact or safe_regex is needed".to_owned()),
    }
}
