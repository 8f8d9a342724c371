//! Which match is asked first, over all routes of a port.

use weft_api::gateway::Rule;

use super::matches::Condition;
use crate::resolve::{Policies, RouteView};

/// A match of a rule of a route.
pub(super) struct Candidate<'a, M> {
    pub(super) view: &'a RouteView<M>,
    pub(super) policies: &'a Policies,
    pub(super) rule: &'a Rule<M>,
    pub(super) rule_index: usize,
    pub(super) one: M,
}

/// Every match of `routes`, which come by seniority, the one to ask first at the front.
pub(super) fn sorted<M: Condition>(routes: &[RouteView<M>]) -> Vec<Candidate<'_, M>> {
    let mut candidates: Vec<_> = routes.iter().flat_map(candidates).collect();
    // Stable: what the specificity leaves open is decided by the age of the route, its name, and the order of its
    // rules, and that is the order in which they come.
    candidates.sort_by_key(|candidate| candidate.one.specificity());
    candidates
}

fn candidates<M: Condition>(view: &RouteView<M>) -> impl Iterator<Item = Candidate<'_, M>> {
    let rules = view.route.spec.rules.iter().zip(&view.rules).enumerate();
    rules.flat_map(move |(rule_index, (rule, policies))| {
        // A rule without a match is one with a match of everything.
        let everything = rule.matches.is_empty().then(M::default);
        let matches = rule.matches.iter().cloned().chain(everything);
        matches.map(move |one| Candidate { view, policies, rule, rule_index, one })
    })
}

#[cfg(test)]
mod tests;
