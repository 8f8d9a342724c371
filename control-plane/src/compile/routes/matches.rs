//! What a match asks of requests, in the words of xDS.

use std::collections::BTreeSet;

use weft_api::gateway::{Match, PathMatchKind, ValueMatch, ValueMatchKind};
use weft_xds::{
    matcher::{RegexMatcher, StringMatcher, string_matcher::MatchPattern},
    route::{
        HeaderMatcher, QueryParameterMatcher, RouteMatch, header_matcher::HeaderMatchSpecifier,
        query_parameter_matcher::QueryParameterMatchSpecifier, route_match::PathSpecifier,
    },
};

pub(super) fn matcher(one: &Match) -> RouteMatch {
    let value = one.path.value.clone();
    let path = match one.path.kind {
        PathMatchKind::Exact => PathSpecifier::Path(value),
        PathMatchKind::RegularExpression => PathSpecifier::SafeRegex(RegexMatcher { regex: value }),
        // A trailing slash of a prefix is passed over; the prefix `/` is every path.
        PathMatchKind::PathPrefix => match value.trim_end_matches('/') {
            "" => PathSpecifier::Prefix("/".to_owned()),
            prefix => PathSpecifier::PathSeparatedPrefix(prefix.to_owned()),
        },
    };
    let method = one.method.map(|method| header(":method", MatchPattern::Exact(method.as_str().to_owned())));
    let mut seen = BTreeSet::new();
    let parameters = one.query_params.iter().filter(|parameter| seen.insert(&parameter.name));
    let parameters = parameters.map(|parameter| QueryParameterMatcher {
        name: parameter.name.clone(),
        query_parameter_match_specifier: Some(QueryParameterMatchSpecifier::StringMatch(text(pattern(
            parameter,
        )))),
    });
    RouteMatch {
        path_specifier: Some(path),
        headers: method.into_iter().chain(headers(&one.headers)).collect(),
        query_parameters: parameters.collect(),
        ..RouteMatch::default()
    }
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
