//! What became of an object, for each of those that it names: in the words of GEP-713 and of the Gateway API.

use weft_api::status::AncestorRef;

/// What became of a policy for one of its targets, or of a route for one of its parents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fate {
    /// The target, or the parent.
    pub target: AncestorRef,
    /// Condition `Accepted`.
    pub accepted: Statement,
    /// Condition `ResolvedRefs`. None where nobody has looked.
    pub resolved: Option<Statement>,
}

/// What a condition says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// Whether it is `True`.
    pub holds: bool,
    /// Why, in one word.
    pub reason: &'static str,
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

/// What became of a route at a parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acceptance {
    /// It is in force.
    Accepted,
    /// There is no such Service, or no such port.
    NoMatchingParent,
    /// It says something that cannot be, or that is not carried.
    UnsupportedValue,
    /// It routes requests, and where it is attached nobody looks for any.
    UnsupportedProtocol,
    /// Another route has the port.
    Conflicted,
}

/// What became of the references of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// All lead somewhere.
    ResolvedRefs,
    /// One leads to no Service, or to no port of it.
    BackendNotFound,
    /// One leads to something that cannot answer.
    InvalidKind,
}

impl Fate {
    /// Of a policy.
    pub fn of_policy(target: AncestorRef, outcome: Outcome, message: String) -> Self {
        let resolved = match outcome {
            Outcome::Invalid => None,
            Outcome::TargetNotFound => Some(Statement::new(false, outcome.reason(), message.clone())),
            Outcome::Accepted | Outcome::Conflicted => {
                Some(Statement::new(true, "ResolvedRefs", "the target exists".to_owned()))
            }
        };
        let accepted = Statement::new(outcome == Outcome::Accepted, outcome.reason(), message);
        Self { target, accepted, resolved }
    }

    /// Of a route, with a message to each. Of one that cannot be read nobody knows where it leads.
    pub fn of_route(
        parent: AncestorRef,
        (acceptance, message): (Acceptance, String),
        resolution: Option<(Resolution, String)>,
    ) -> Self {
        let resolved = resolution.map(|(resolution, message)| {
            Statement::new(resolution == Resolution::ResolvedRefs, resolution.reason(), message)
        });
        let accepted = Statement::new(acceptance == Acceptance::Accepted, acceptance.reason(), message);
        Self { target: parent, accepted, resolved }
    }
}

impl Statement {
    const fn new(holds: bool, reason: &'static str, message: String) -> Self {
        Self { holds, reason, message }
    }
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

impl Acceptance {
    const fn reason(self) -> &'static str {
        match self {
            Self::Accepted => "Accepted",
            Self::NoMatchingParent => "NoMatchingParent",
            Self::UnsupportedValue => "UnsupportedValue",
            Self::UnsupportedProtocol => "UnsupportedProtocol",
            Self::Conflicted => "Conflicted",
        }
    }
}

impl Resolution {
    const fn reason(self) -> &'static str {
        match self {
            Self::ResolvedRefs => "ResolvedRefs",
            Self::BackendNotFound => "BackendNotFound",
            Self::InvalidKind => "InvalidKind",
        }
    }
}
