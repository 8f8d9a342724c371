//! What became of the objects of one kind from one store to the next.

use std::{cmp::Ordering, sync::Arc};

use weft_api::Object;

use crate::store::{ObjectName, Table};

/// An object that came, went, or may say something else.
pub(super) struct Change<S> {
    pub(super) name: ObjectName,
    before: Option<Arc<Object<S>>>,
    after: Option<Arc<Object<S>>>,
}

impl<S> Change<S> {
    /// The object as it was and as it is.
    pub(super) fn forms(&self) -> impl Iterator<Item = &Object<S>> {
        self.before.iter().chain(&self.after).map(AsRef::as_ref)
    }

    /// As it was.
    pub(super) fn before(&self) -> Option<&Object<S>> {
        self.before.as_deref()
    }

    /// As it is.
    pub(super) fn after(&self) -> Option<&Object<S>> {
        self.after.as_deref()
    }
}

/// Makes `held` the same as `now`, and says what differed. It goes by which objects these are, as stores share those that
/// did not change, so what is large and the same costs a walk over pointers.
pub(super) fn follow<S>(held: &mut Table<S>, now: &Table<S>) -> Vec<Change<S>> {
    let mut changes: Vec<Change<S>> = Vec::new();
    let (mut old, mut new) = (held.iter().peekable(), now.iter().peekable());
    loop {
        let order = match (old.peek(), new.peek()) {
            (None, None) => break,
            (Some((_, before)), Some((_, after))) if Arc::ptr_eq(before, after) => {
                old.next();
                new.next();
                continue;
            }
            (Some((before, _)), Some((after, _))) => before.cmp(after),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
        };
        let before = if order.is_le() { old.next() } else { None };
        let after = if order.is_ge() { new.next() } else { None };
        let Some((name, _)) = before.or(after) else { break };
        let object = |entry: Option<(&ObjectName, &Arc<Object<S>>)>| entry.map(|(_, object)| object.clone());
        changes.push(Change { name: name.clone(), before: object(before), after: object(after) });
    }
    for Change { name, after, .. } in &changes {
        match after {
            Some(object) => drop(held.insert(name.clone(), object.clone())),
            None => drop(held.remove(name)),
        }
    }
    changes
}
