//! What the API server holds, as far as it counts here: changes in, objects and what is wrong with them out. Pure.

use std::collections::{BTreeMap, BTreeSet};

use weft_api::{names, object::Metadata};
use weft_kubernetes::watch::Change;

use super::{
    super::Problem,
    fates,
    item::{Item, Note},
};
use crate::{
    resolve::Attachment,
    status::Report,
    store::{Finding, ObjectKey, ObjectKind, Store},
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

    /// What became of each policy and each route, given what is wrong with the objects together, and what is `attached`.
    pub(super) fn reports(&self, findings: &[Finding], attached: &BTreeSet<Attachment>) -> Vec<Report> {
        let mut by_object: BTreeMap<&ObjectKey, Vec<&Finding>> = BTreeMap::new();
        for finding in findings {
            by_object.entry(&finding.object).or_default().push(finding);
        }
        let written = self.notes.iter().filter_map(|(key, note)| Some((key, note, note.written.as_ref()?)));
        let reports = written.map(|(key, note, written)| {
            let findings = by_object.get(key).map_or(&[][..], Vec::as_slice);
            Report {
                object: key.clone(),
                version: written.version.clone(),
                generation: written.generation,
                fates: fates::of(key, note, written, findings, attached),
                form: written.form,
                held: written.held.clone(),
            }
        });
        reports.collect()
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

#[cfg(test)]
mod tests;
