//! Who refers to what, the other way round than it is written.

use std::collections::{BTreeMap, BTreeSet};

use weft_api::{Object, kubernetes::EndpointSlice};

use super::references;
use crate::store::{ObjectKey, ObjectKind, ObjectName};

/// The EndpointSlices that refer to each Service, pod and workload, be it there or not.
#[derive(Debug, Default)]
pub(super) struct Referrers {
    slices: BTreeMap<ObjectKey, BTreeSet<ObjectName>>,
}

impl Referrers {
    /// Takes a slice in.
    pub(super) fn insert(&mut self, slice: &Object<EndpointSlice>) {
        for target in targets(slice) {
            self.slices.entry(target).or_default().insert(ObjectName::of(&slice.metadata));
        }
    }

    /// Takes a slice out, which was taken in as this.
    pub(super) fn remove(&mut self, slice: &Object<EndpointSlice>) {
        let name = ObjectName::of(&slice.metadata);
        for target in targets(slice) {
            if let Some(slices) = self.slices.get_mut(&target) {
                slices.remove(&name);
                if slices.is_empty() {
                    self.slices.remove(&target);
                }
            }
        }
    }

    /// The slices that refer to an object, by name.
    pub(super) fn of(&self, kind: ObjectKind, name: &ObjectName) -> impl Iterator<Item = &ObjectName> {
        self.slices.get(&ObjectKey { kind, name: name.clone() }).into_iter().flatten()
    }
}

fn targets(slice: &Object<EndpointSlice>) -> impl Iterator<Item = ObjectKey> {
    let service = references::owner(slice).map(|name| ObjectKey { kind: ObjectKind::Service, name });
    service.into_iter().chain(references::named(slice))
}
