//! What the API server holds, as far as it counts here: changes in, objects and what is wrong with them out. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
};

use weft_api::{names, object::Metadata};
use weft_kubernetes::watch::Change;

use super::{
    super::Problem,
    item::{Item, Note, Written},
};
use crate::{
    status::{Fate, Outcome, Report},
    store::{Finding, ObjectKey, ObjectKind, Reason, Store},
};

/// All objects, and what is known about them beside.
#[derive(Debug, Default)]
pub(super) struct Mirror {
    /// What is in force. Of an object that is broken now, its last good form.
    store: Store,
    /// Of objects about which there is something to say.
    notes: BTreeMap<ObjectKey, Note>,
}

impl Mirror {
    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    /// Takes a change in. Says whether it made a difference.
    pub(super) fn apply(&mut self, kind: ObjectKind, change: Change<Item>) -> bool {
        match change {
            Change::Listed(items) => {
                let listed: BTreeSet<ObjectKey> = items.iter().map(|item| item.key.clone()).collect();
                let mut changed = self.remove_all_but(kind, &listed);
                for item in items {
                    changed |= self.put(item);
                }
                changed
            }
            Change::Applied(item) => self.put(item),
            Change::Removed(item) => self.remove(&item.key),
            Change::Absent => self.remove_all_but(kind, &BTreeSet::new()),
        }
    }

    fn put(&mut self, Item { key, object, note }: Item) -> bool {
        let applied = match object {
            Ok(object) => self.store.apply(&object),
            Err(Some(stand_in)) => self.store.apply_if_absent(&stand_in),
            Err(None) => false,
        };
        let before = if note.is_empty() {
            self.notes.remove(&key)
        } else {
            self.notes.insert(key.clone(), note.clone())
        };
        applied | (before.unwrap_or_default() != note)
    }

    fn remove(&mut self, key: &ObjectKey) -> bool {
        let noted = self.notes.remove(key).is_some();
        self.store.remove(key) | noted
    }

    fn remove_all_but(&mut self, kind: ObjectKind, kept: &BTreeSet<ObjectKey>) -> bool {
        let noted = self.notes.keys().filter(|key| key.kind == kind).map(|key| key.name.clone());
        let known: BTreeSet<_> = noted.chain(self.store.names(kind)).collect();
        let gone = known.into_iter().map(|name| ObjectKey { kind, name }).filter(|key| !kept.contains(key));
        gone.fold(false, |changed, key| self.remove(&key) | changed)
    }

    /// Everything that is wrong, given what is wrong with the objects together.
    pub(super) fn problems(&self, findings: &[Finding]) -> Vec<Problem> {
        let flawed = self.notes.iter().filter_map(|(key, note)| {
            let flaw = note.flaw.as_ref()?;
            Some(Problem {
                place: None,
                object: Some(key.to_string()),
                field: flaw.field.clone(),
                reason: flaw.reason,
                message: flaw.message.clone(),
                hint: flaw.hint.clone(),
            })
        });
        let unheeded = self.notes.values().flat_map(|note| &note.unheeded);
        let found = findings.iter().chain(unheeded).map(|finding| Problem {
            place: None,
            object: Some(finding.object.to_string()),
            field: finding.field.clone(),
            reason: finding.reason,
            message: finding.message.clone(),
            hint: finding.hint.clone(),
        });
        let mut problems: Vec<_> = flawed.chain(found).collect();
        problems.sort();
        problems
    }

    /// What became of each policy, given what is wrong with the objects together.
    pub(super) fn reports(&self, findings: &[Finding]) -> Vec<Report> {
        let policies = self.notes.iter().filter_map(|(key, note)| Some((key, note, note.policy.as_ref()?)));
        let mut reports: Vec<Report> = policies
            .map(|(key, note, written)| Report {
                policy: key.clone(),
                version: written.version.clone(),
                generation: written.generation,
                fates: fates(key, note, written, findings),
                held: written.status.ancestors.clone(),
            })
            .collect();
        reports.sort_by(|one, other| one.policy.cmp(&other.policy));
        reports
    }

    /// Namespaces that ask for sidecars, or have pods that do.
    pub(super) fn meshed_namespaces(&self) -> BTreeSet<String> {
        let asks = |metadata: &Metadata| {
            metadata.labels.get(names::LABEL_INJECT).is_some_and(|value| value == "enabled")
        };
        let namespaces = self.store.namespaces.values().filter(|namespace| asks(&namespace.metadata));
        let pods = self.store.pods.values().filter(|pod| asks(&pod.metadata) || pod.spec.is_meshed());
        let of_pods = pods.map(|pod| pod.metadata.namespace.clone());
        namespaces.map(|namespace| namespace.metadata.name.clone()).chain(of_pods).collect()
    }
}

fn fates(key: &ObjectKey, note: &Note, written: &Written, findings: &[Finding]) -> Vec<Fate> {
    let own: Vec<&Finding> = findings.iter().filter(|finding| finding.object == *key).collect();
    let fate = |(index, target): (usize, &_)| {
        let (outcome, message) = match &note.flaw {
            Some(flaw) => {
                let message = sentence(&flaw.field, &flaw.message, &flaw.hint);
                let otherwise = match key.kind {
                    ObjectKind::AuthorizationPolicy => "; if nothing was, nobody may enter",
                    _ => "",
                };
                (Outcome::Invalid, format!("{message}; what was in force before stays{otherwise}"))
            }
            None => outcome(index, &own, &note.unheeded),
        };
        Fate { target: Clone::clone(target), outcome, message }
    };
    written.targets.iter().enumerate().map(fate).collect()
}

/// What became of a sound policy for the target at `index`.
fn outcome(index: usize, findings: &[&Finding], unheeded: &[Finding]) -> (Outcome, String) {
    let reference = format!("spec.targetRefs[{index}]");
    let is_about_it = |finding: &&&Finding| {
        finding.field.strip_prefix(&reference).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let say = |finding: &Finding| sentence(&finding.field, &finding.message, &finding.hint);
    let (in_vain, others): (Vec<&Finding>, Vec<&Finding>) =
        findings.iter().partition(|finding| finding.reason == Reason::Unheeded);
    if let Some(finding) = others.iter().find(is_about_it) {
        let outcome = match finding.reason {
            Reason::Conflicted => Outcome::Conflicted,
            Reason::DanglingReference => Outcome::TargetNotFound,
            _ => Outcome::Invalid,
        };
        return (outcome, say(finding));
    }
    let remarks: Vec<String> = unheeded.iter().chain(in_vain).map(say).collect();
    let message = if remarks.is_empty() {
        "in force".to_owned()
    } else {
        format!("in force, but {}", remarks.join("; "))
    };
    (Outcome::Accepted, message)
}

fn sentence(field: &str, message: &str, hint: &str) -> String {
    let joint = if field.is_empty() { "" } else { " " };
    let mut sentence = format!("{field}{joint}{message}");
    if !hint.is_empty() {
        sentence = mem::take(&mut sentence) + &format!(" ({hint})");
    }
    sentence
}

#[cfg(test)]
mod tests;
