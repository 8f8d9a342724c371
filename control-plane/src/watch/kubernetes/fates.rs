//! What became of a policy or a route for each of those that it names, given all that is wrong with it. Pure.

mod policies;
mod routes;

use std::collections::BTreeSet;

use super::item::{Note, Written};
use crate::{
    resolve::Attachment,
    status::{Fate, Form},
    store::{Finding, ObjectKey},
};

/// What became of the object `key`, about which there are these `findings`.
pub(super) fn of(
    key: &ObjectKey,
    note: &Note,
    written: &Written,
    findings: &[&Finding],
    attached: &BTreeSet<Attachment>,
) -> Vec<Fate> {
    let fate = |(index, target): &(usize, _)| match written.form {
        Form::Ancestors => policies::fate(*index, target, key, note, findings),
        Form::Parents => routes::fate(*index, target, key, note, findings, attached),
    };
    written.targets.iter().map(fate).collect()
}

/// Whether `finding` is about the field `at`, or about one below it.
fn is_about(finding: &Finding, at: &str) -> bool {
    finding.field.strip_prefix(at).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// What is in force, though it says something in vain.
fn in_force(remarks: &[String]) -> String {
    if remarks.is_empty() {
        return "in force".to_owned();
    }
    format!("in force, but {}", remarks.join("; "))
}

fn say(finding: &Finding) -> String {
    sentence(&finding.field, &finding.message, &finding.hint)
}

fn sentence(field: &str, message: &str, hint: &str) -> String {
    let joint = if field.is_empty() { "" } else { " " };
    let hint = if hint.is_empty() { String::new() } else { format!(" ({hint})") };
    format!("{field}{joint}{message}{hint}")
}

#[cfg(test)]
mod tests;
