//! What became of a policy for one of its targets.

use weft_api::status::AncestorRef;

use super::{super::item::Note, in_force, is_about, say, sentence};
use crate::{
    status::{Fate, Outcome},
    store::{Finding, ObjectKey, ObjectKind, Reason},
};

/// Its fate for the target at `index`.
pub(super) fn fate(
    index: usize,
    target: &AncestorRef,
    key: &ObjectKey,
    note: &Note,
    findings: &[&Finding],
) -> Fate {
    let (outcome, message) = match &note.flaw {
        Some(flaw) => {
            let message = sentence(&flaw.field, &flaw.message, &flaw.hint);
            let otherwise = match key.kind {
                ObjectKind::AuthorizationPolicy => "; if nothing was, nobody may enter",
                _ => "",
            };
            (Outcome::Invalid, format!("{message}; what was in force before stays{otherwise}"))
        }
        None => outcome(index, findings, &note.unheeded),
    };
    Fate::of_policy(target.clone(), outcome, message)
}

/// What became of a sound policy.
fn outcome(index: usize, findings: &[&Finding], unheeded: &[Finding]) -> (Outcome, String) {
    let reference = format!("spec.targetRefs[{index}]");
    let (in_vain, others): (Vec<&Finding>, Vec<&Finding>) =
        findings.iter().partition(|finding| finding.reason == Reason::Unheeded);
    if let Some(finding) = others.iter().find(|finding| is_about(finding, &reference)) {
        let outcome = match finding.reason {
            Reason::Conflicted => Outcome::Conflicted,
            Reason::DanglingReference => Outcome::TargetNotFound,
            _ => Outcome::Invalid,
        };
        return (outcome, say(finding));
    }
    let remarks: Vec<String> = unheeded.iter().chain(in_vain).map(say).collect();
    (Outcome::Accepted, in_force(&remarks))
}
