//! What became of a route at one of its parents: whether it has a port there, and whether all that it names is there.

use std::collections::BTreeSet;

use weft_api::status::AncestorRef;

use super::{super::item::Note, in_force, is_about, say, sentence};
use crate::{
    resolve::Attachment,
    status::{Acceptance, Fate, Resolution},
    store::{Finding, ObjectKey, Reason},
};

/// Its fate at the parent at `index`.
pub(super) fn fate(
    index: usize,
    parent: &AncestorRef,
    key: &ObjectKey,
    note: &Note,
    findings: &[&Finding],
    attached: &BTreeSet<Attachment>,
) -> Fate {
    if let Some(flaw) = &note.flaw {
        let message = sentence(&flaw.field, &flaw.message, &flaw.hint);
        let message = format!("{message}; what was in force before stays");
        return Fate::of_route(parent.clone(), (Acceptance::UnsupportedValue, message), None);
    }
    let acceptance = acceptance(index, findings, attached.contains(&(key.clone(), index)));
    Fate::of_route(parent.clone(), acceptance, Some(resolution(findings)))
}

fn acceptance(index: usize, findings: &[&Finding], is_attached: bool) -> (Acceptance, String) {
    let reference = format!("spec.parentRefs[{index}]");
    // Where a TLSRoute has no port, others have all of its names.
    let keeps =
        |finding: &&&Finding| is_about(finding, &reference) || finding.field.starts_with("spec.hostnames[");
    let keepers: Vec<&&Finding> = findings.iter().filter(keeps).collect();
    let remarks: Vec<String> = keepers.iter().map(|finding| say(finding)).collect();
    let acceptance = match keepers.first().map(|finding| finding.reason) {
        _ if is_attached => return (Acceptance::Accepted, in_force(&remarks)),
        Some(Reason::DanglingReference) => Acceptance::NoMatchingParent,
        Some(Reason::NotSupported) => Acceptance::UnsupportedValue,
        Some(Reason::Unheeded) => Acceptance::UnsupportedProtocol,
        _ => Acceptance::Conflicted,
    };
    (acceptance, remarks.join("; "))
}

/// Backends and mirrors, of all rules: which of them are for which parent nobody says.
fn resolution(findings: &[&Finding]) -> (Resolution, String) {
    let lost: Vec<&&Finding> =
        findings.iter().filter(|finding| finding.field.starts_with("spec.rules[")).collect();
    let resolution = match lost.first().map(|finding| finding.reason) {
        None => return (Resolution::ResolvedRefs, "all backends exist".to_owned()),
        Some(Reason::NotSupported) => Resolution::InvalidKind,
        Some(_) => Resolution::BackendNotFound,
    };
    let message: Vec<String> = lost.into_iter().map(|finding| say(finding)).collect();
    (resolution, message.join("; "))
}
