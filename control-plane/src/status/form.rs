//! The list in which several controllers say what became of an object, each in entries of its own: of a policy and of a
//! route it is the same but for its names.

use serde_json::{Value, json};
use weft_api::status::{ANCESTORS_MAX, AncestorRef, CONTROLLER, Condition, PARENTS_MAX};

/// How the list is called, and what its entries are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `ancestors` of a policy (GEP-713, `PolicyStatus`).
    Ancestors,
    /// `parents` of a route (Gateway API, `RouteStatus`).
    Parents,
}

/// An entry of ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// The target, or the parent.
    pub about: AncestorRef,
    /// What is said of it.
    pub conditions: Vec<Condition>,
}

/// The list as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Entries of ours.
    pub own: Vec<Entry>,
    /// Those of other controllers, word for word.
    pub others: Vec<Value>,
}

impl Form {
    /// Name of the list.
    pub const fn list(self) -> &'static str {
        match self {
            Self::Ancestors => "ancestors",
            Self::Parents => "parents",
        }
    }

    /// Entries that it holds at most.
    pub const fn entries_max(self) -> usize {
        match self {
            Self::Ancestors => ANCESTORS_MAX,
            Self::Parents => PARENTS_MAX,
        }
    }

    const fn reference(self) -> &'static str {
        match self {
            Self::Ancestors => "ancestorRef",
            Self::Parents => "parentRef",
        }
    }

    /// Reads a `status`. One of another shape is written anew.
    pub fn read(self, status: &Value) -> Held {
        let entries = status[self.list()].as_array().map_or(&[][..], Vec::as_slice);
        let (own, others): (Vec<_>, Vec<_>) =
            entries.iter().partition(|entry| entry["controllerName"] == CONTROLLER);
        let read = |entry: &Value| Entry {
            about: serde_json::from_value(entry[self.reference()].clone()).unwrap_or_default(),
            conditions: serde_json::from_value(entry["conditions"].clone()).unwrap_or_default(),
        };
        Held { own: own.into_iter().map(read).collect(), others: others.into_iter().cloned().collect() }
    }

    /// The list with these entries of ours.
    pub fn write(self, own: &[Entry], others: &[Value]) -> Value {
        let entry = |Entry { about, conditions }: &Entry| {
            json!({
                self.reference(): about,
                "controllerName": CONTROLLER,
                "conditions": conditions,
            })
        };
        others.iter().cloned().chain(own.iter().map(entry)).collect()
    }
}
