//! What a match asks of requests, in the words of xDS.

use std::{cmp::Reverse, collections::BTreeSet};

use weft_api::gateway::{GrpcMatch, Match, MethodMatch, PathMatchKind, ValueMatch, ValueMatchKind};
use weft_xds::{
    matcher::{RegexMatcher, StringMatcher, string_matcher::MatchPattern},
    route::{
        HeaderMatcher, QueryParameterMatcher, RouteMatch, header_matcher::HeaderMatchSpecifier,
        query_parameter_matcher::QueryParameterMatchSpecifier, route_action::ClusterNotFoundResponseCode,
        route_match::PathSpecifier,
    },
};

/// What the rules of a kind of route ask of requests.
pub(super) trait Condition: Clone + Default {
    /// Step in the names of its routes that tells its kind from others.
    const STEP: &'static str;
    /// What is answered where no backend is.
    const NOBODY: ClusterNotFoundResponseCode;

    /// Smaller is asked first.
    fn specificity(&self) -> impl Ord + use<Self>;

    /// The same in the words of xDS.
    fn matcher(&self) -> RouteMatch;

    /// The prefix that a filter may replace, without slashes at its end. `None` = no filter of the kind speaks of one.
    fn prefix(&self) -> Option<&str>;
}

impl Condition for Match {
    const STEP: &'static str = "rule";
    const NOBODY: ClusterNotFoundResponseCode = ClusterNotFoundResponseCode::InternalServerError;

    /// By the Gateway API, `HTTPRouteRule.matches`. It leaves open where expressions come: between exact paths and
    /// prefixes, the longer first, because whoever writes one means fewer paths than the prefix beside it.
    fn specificity(&self) -> impl Ord + use<> {
        let path = match self.path.kind {
            PathMatchKind::Exact => (0, Reverse(0)),
            PathMatchKind::RegularExpression => (1, Reverse(self.path.value.chars().count())),
            PathMatchKind::PathPrefix => (2, Reverse(trimmed(&self.path.value).chars().count())),
        };
        (path, self.method.is_none(), Reverse(self.headers.len()), Reverse(self.query_params.len()))
    }

    fn matcher(&self) -> RouteMatch {
        let value = &self.path.value;
        let path = match self.path.kind {
            PathMatchKind::Exact => PathSpecifier::Path(value.clone()),
            PathMatchKind::RegularExpression => expression(value.clone()),
            // The prefix `/` is every path.
            PathMatchKind::PathPrefix => match trimmed(value) {
                "" => everything(),
                prefix => PathSpecifier::PathSeparatedPrefix(prefix.to_owned()),
            },
        };
        let method =
            self.method.map(|method| header(":method", MatchPattern::Exact(method.as_str().to_owned())));
        let mut seen = BTreeSet::new();
        let parameters = self.query_params.iter().filter(|parameter| seen.insert(&parameter.name));
        let parameters = parameters.map(|parameter| QueryParameterMatcher {
            name: parameter.name.clone(),
            query_parameter_match_specifier: Some(QueryParameterMatchSpecifier::StringMatch(text(pattern(
                parameter,
            )))),
        });
        RouteMatch {
            path_specifier: Some(path),
            headers: method.into_iter().chain(headers(&self.headers)).collect(),
            query_parameters: parameters.collect(),
            ..RouteMatch::default()
        }
    }

    fn prefix(&self) -> Option<&str> {
        Some(trimmed(&self.path.value))
    }
}

impl Condition for GrpcMatch {
    const STEP: &'static str = "grpc";
    // Clients of gRPC take it for UNAVAILABLE, which the Gateway API demands.
    const NOBODY: ClusterNotFoundResponseCode = ClusterNotFoundResponseCode::ServiceUnavailable;

    /// By the Gateway API, `GRPCRouteRule.matches`.
    fn specificity(&self) -> impl Ord + use<> {
        let length = |text: Option<&str>| Reverse(text.map_or(0, |text| text.chars().count()));
        let method = self.method.as_ref();
        let service = length(method.and_then(MethodMatch::service));
        (service, length(method.and_then(MethodMatch::method)), Reverse(self.headers.len()))
    }

    /// The path of a call is `/<service>/<method>` (gRPC over HTTP2, "Requests").
    fn matcher(&self) -> RouteMatch {
        let path = self.method.as_ref().map_or_else(everything, |method| {
            let is_exact = method.kind == ValueMatchKind::Exact;
            match (is_exact, method.service(), method.method()) {
                (_, None, None) => everything(),
                (true, Some(service), Some(method)) => PathSpecifier::Path(format!("/{service}/{method}")),
                (true, Some(service), None) => PathSpecifier::PathSeparatedPrefix(format!("/{service}")),
                // Names of methods hold nothing that an expression would read otherwise.
                (_, service, method) => {
                    let part = |part: Option<&str>| part.unwrap_or("[^/]+").to_owned();
                    expression(format!("/(?:{})/(?:{})", part(service), part(method)))
                }
            }
        });
        RouteMatch {
            path_specifier: Some(path),
            headers: headers(&self.headers).collect(),
            ..RouteMatch::default()
        }
    }

    fn prefix(&self) -> Option<&str> {
        None
    }
}

/// A slash at the end of a prefix counts for nothing.
fn trimmed(prefix: &str) -> &str {
    prefix.trim_end_matches('/')
}

fn everything() -> PathSpecifier {
    PathSpecifier::Prefix("/".to_owned())
}

fn expression(regex: String) -> PathSpecifier {
    PathSpecifier::SafeRegex(RegexMatcher { regex })
}

/// Of several entries for one name only the first counts.
fn headers(matches: &[ValueMatch]) -> impl Iterator<Item = HeaderMatcher> + '_ {
    let mut seen = BTreeSet::new();
    let first = matches.iter().filter(move |header| seen.insert(header.name.to_ascii_lowercase()));
    first.map(|one| header(&one.name.to_ascii_lowercase(), pattern(one)))
}

fn header(name: &str, pattern: MatchPattern) -> HeaderMatcher {
    HeaderMatcher {
        name: name.to_owned(),
        header_match_specifier: Some(HeaderMatchSpecifier::StringMatch(text(pattern))),
        ..HeaderMatcher::default()
    }
}

fn pattern(one: &ValueMatch) -> MatchPattern {
    match one.kind {
        ValueMatchKind::Exact => MatchPattern::Exact(one.value.clone()),
        ValueMatchKind::RegularExpression => {
            MatchPattern::SafeRegex(RegexMatcher { regex: one.value.clone() })
        }
    }
}

fn text(pattern: MatchPattern) -> StringMatcher {
    StringMatcher { match_pattern: Some(pattern), ..StringMatcher::default() }
}
