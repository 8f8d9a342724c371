//! Which match is asked first, over all routes of a port (Gateway API, `HTTPRouteRule.matches`).

use std::cmp::Reverse;

use weft_api::gateway::{Match, PathMatchKind, Rule};

use crate::resolve::{RouteView, RuleView};

/// A match of a rule of a route.
pub(super) struct Candidate<'a> {
    pub(super) view: &'a RouteView,
    pub(super) policies: &'a RuleView,
    pub(super) rule: &'a Rule,
    pub(super) rule_index: usize,
    pub(super) one: Match,
}

/// Every match of `routes`, which come by seniority, the one to ask first at the front.
pub(super) fn sorted(routes: &[RouteView]) -> Vec<Candidate<'_>> {
    let mut candidates: Vec<_> = routes.iter().flat_map(candidates).collect();
    // Stable: what the specificity leaves open is decided by the age of the route, its name, and the order of its
    // rules, and that is the order in which they come.
    candidates.sort_by_key(|candidate| specificity(&candidate.one));
    candidates
}

fn candidates(view: &RouteView) -> impl Iterator<Item = Candidate<'_>> {
    let rules = view.route.spec.rules.iter().zip(&view.rules).enumerate();
    rules.flat_map(move |(rule_index, (rule, policies))| {
        // A rule without a match is one with a match of everything.
        let everything = rule.matches.is_empty().then(Match::default);
        let matches = rule.matches.iter().cloned().chain(everything);
        matches.map(move |one| Candidate { view, policies, rule, rule_index, one })
    })
}

/// Smaller is asked first. The standard leaves open where expressions come: between exact paths and prefixes, the
/// longer first, because whoever writes one means fewer paths than the prefix beside it.
fn specificity(one: &Match) -> impl Ord + use<> {
    let path = match one.path.kind {
        PathMatchKind::Exact => (0, Reverse(0)),
        PathMatchKind::RegularExpression => (1, Reverse(one.path.value.chars().count())),
        PathMatchKind::PathPrefix => (2, Reverse(one.path.value.trim_end_matches('/').chars().count())),
    };
    (path, one.method.is_none(), Reverse(one.headers.len()), Reverse(one.query_params.len()))
}

#[cfg(test)]
mod tests;
