//! What the status of a policy should say: pure.

use std::time::SystemTime;

use jiff::Timestamp;
use weft_api::status::{ANCESTORS_MAX, Ancestor, AncestorRef, CONTROLLER, Condition, MESSAGE_BYTES_MAX};

use super::Report;

/// What became of a policy for one of its targets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fate {
    /// The target.
    pub target: AncestorRef,
    /// What became of it.
    pub outcome: Outcome,
    /// Why, in words.
    pub message: String,
}

/// What became of a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is in force.
    Accepted,
    /// It says something that cannot be; its targets were not looked at.
    Invalid,
    /// What it names does not exist.
    TargetNotFound,
    /// An older policy says the same of the same target.
    Conflicted,
}

impl Outcome {
    const fn reason(self) -> &'static str {
        match self {
            Self::Accepted => "Accepted",
            Self::Invalid => "Invalid",
            Self::TargetNotFound => "TargetNotFound",
            Self::Conflicted => "Conflicted",
        }
    }
}

/// The entries that the policy's status should have; `None` if it has them. Those of other controllers stay.
pub fn wanted(report: &Report, now: SystemTime) -> Option<Vec<Ancestor>> {
    let is_ours = |ancestor: &&Ancestor| ancestor.controller_name == CONTROLLER;
    let mut ancestors: Vec<Ancestor> = report.held.iter().filter(|held| !is_ours(held)).cloned().collect();
    let own = report.held.iter().filter(is_ours).collect::<Vec<_>>();
    let mut seen = Vec::new();
    for fate in &report.fates {
        // One target may be named twice. What is wrong about either is said.
        if !seen.contains(&&fate.target) && ancestors.len() < ANCESTORS_MAX {
            seen.push(&fate.target);
            let same = report.fates.iter().filter(|other| other.target == fate.target);
            let worst = same.max_by_key(|other| other.outcome != Outcome::Accepted).unwrap_or(fate);
            let held = own.iter().find(|held| held.ancestor_ref == fate.target);
            let held = held.map_or(&[][..], |held| &held.conditions);
            ancestors.push(Ancestor {
                ancestor_ref: fate.target.clone(),
                controller_name: CONTROLLER.to_owned(),
                conditions: conditions(worst, report.generation, held, now),
            });
        }
    }
    (!is_same(&ancestors, &report.held)).then_some(ancestors)
}

/// Whether two statuses say the same, whenever they began to.
pub(super) fn is_same(one: &[Ancestor], other: &[Ancestor]) -> bool {
    let timeless = |ancestors: &[Ancestor]| {
        let mut ancestors = ancestors.to_vec();
        for condition in ancestors.iter_mut().flat_map(|ancestor| &mut ancestor.conditions) {
            condition.last_transition_time.clear();
        }
        ancestors
    };
    timeless(one) == timeless(other)
}

fn conditions(fate: &Fate, generation: i64, held: &[Condition], now: SystemTime) -> Vec<Condition> {
    let condition = |kind: &str, fine: bool, reason: &str, message: &str| {
        let status = if fine { "True" } else { "False" };
        let before = held.iter().find(|held| held.kind == kind && held.status == status);
        Condition {
            kind: kind.to_owned(),
            status: status.to_owned(),
            observed_generation: generation,
            last_transition_time: before
                .map_or_else(|| second(now), |held| held.last_transition_time.clone()),
            reason: reason.to_owned(),
            message: cut(message),
        }
    };
    let Fate { outcome, message, .. } = fate;
    let accepted = condition("Accepted", *outcome == Outcome::Accepted, outcome.reason(), message);
    let resolved = match outcome {
        Outcome::Invalid => None,
        Outcome::TargetNotFound => Some(condition("ResolvedRefs", false, outcome.reason(), message)),
        Outcome::Accepted | Outcome::Conflicted => {
            Some(condition("ResolvedRefs", true, "ResolvedRefs", "the target exists"))
        }
    };
    [accepted].into_iter().chain(resolved).collect()
}

fn cut(message: &str) -> String {
    message[..message.floor_char_boundary(MESSAGE_BYTES_MAX)].to_owned()
}

/// `Time` of meta/v1.
fn second(time: SystemTime) -> String {
    let time = Timestamp::try_from(time).unwrap_or(Timestamp::UNIX_EPOCH);
    format!("{time:.0}")
}

#[cfg(test)]
mod tests;
