//! What `validate()` demands, field by field, in the words of a schema.

use serde_json::{Value, json};

use crate::circuit_breaker::{FALLBACK_BODY_BYTES_MAX, STATUSES_MAX};

/// A demand on a field.
pub(super) enum Rule {
    /// A whole number from the first to the second, both included.
    Whole(u32, u32),
    /// A share: from 0 to 1.
    Share,
    /// A list of so many entries: from the first to the second, both included.
    Entries(usize, usize),
    /// Text of so many characters at most.
    Characters(usize),
    /// What keywords cannot say.
    Cel {
        /// What must be true of `self`, in CEL.
        rule: &'static str,
        /// What a user is told, as the rest of a sentence that begins with the field.
        message: &'static str,
        /// The field below `self` that is to blame; empty for `self`.
        blamed: &'static str,
    },
}

const MORE_THAN_NO_TIME: Rule =
    Rule::Cel { rule: "duration(self) > duration('0s')", message: "must be longer than 0s", blamed: "" };
const BASE_WITHIN_MAX: Rule = Rule::Cel {
    rule: "duration(self.base) <= duration(self.max)",
    message: "must not be above max",
    blamed: ".base",
};

impl Rule {
    /// Writes the demand into the schema of its field.
    pub(super) fn apply(self, schema: &mut Value) {
        match self {
            Rule::Whole(min, max) => {
                schema["minimum"] = min.into();
                schema["maximum"] = max.into();
            }
            Rule::Share => {
                schema["minimum"] = 0.into();
                schema["maximum"] = 1.into();
            }
            Rule::Entries(min, max) => {
                schema["maxItems"] = max.into();
                if min > 0 {
                    schema["minItems"] = min.into();
                }
            }
            Rule::Characters(max) => schema["maxLength"] = max.into(),
            Rule::Cel { rule, message, blamed } => {
                let mut one = json!({ "rule": rule, "message": message });
                if !blamed.is_empty() {
                    one["fieldPath"] = blamed.into();
                }
                match &mut schema["x-kubernetes-validations"] {
                    Value::Array(rules) => rules.push(one),
                    none => *none = json!([one]),
                }
            }
        }
    }
}

/// The demands on a `CircuitBreakerPolicy`, by paths below `spec`.
pub(super) fn circuit_breaker() -> Vec<(String, Rule)> {
    let own = [
        ("limits.maxConnections", Rule::Whole(1, u32::MAX)),
        ("limits.maxPending", Rule::Whole(0, u32::MAX)),
        ("limits.maxRequests", Rule::Whole(1, u32::MAX)),
        ("failures.http", Rule::Entries(0, STATUSES_MAX)),
        ("failures.slowerThan", MORE_THAN_NO_TIME),
        ("fallback.status", Rule::Whole(200, 599)),
        ("fallback.causes", Rule::Entries(1, 2)),
        ("fallback.body", Rule::Characters(FALLBACK_BODY_BYTES_MAX)),
        (
            "fallback.body",
            Rule::Cel { rule: "size(bytes(self)) <= 65536", message: "must be at most 64 KiB", blamed: "" },
        ),
        (
            "",
            Rule::Cel {
                rule: "!has(self.fallback) || has(self.target) \
                    || self.fallback.causes.exists(cause, cause == 'Failure')",
                message: "is [Open] but target is absent, so it could never be given",
                blamed: ".fallback.causes",
            },
        ),
    ];
    let own = own.into_iter().map(|(field, rule)| (field.to_owned(), rule));
    let scopes = ["endpoint", "target"]
        .into_iter()
        .flat_map(|scope| breaker().into_iter().map(move |(field, rule)| (format!("{scope}.{field}"), rule)));
    own.chain(scopes).collect()
}

fn breaker() -> [(&'static str, Rule); 11] {
    [
        ("consecutive", Rule::Whole(0, 1000)),
        ("failurePercent", Rule::Whole(0, 100)),
        ("minRequests", Rule::Whole(1, u32::MAX)),
        (
            "window",
            Rule::Cel {
                rule: "duration(self) >= duration('1s') && duration(self) <= duration('10m')",
                message: "must be within 1s to 10m",
                blamed: "",
            },
        ),
        ("open.base", MORE_THAN_NO_TIME),
        ("open", BASE_WITHIN_MAX),
        ("open.jitter", Rule::Share),
        ("halfOpen.probes", Rule::Whole(1, 100)),
        ("halfOpen.successes", Rule::Whole(1, 100)),
        ("halfOpen.timeout", MORE_THAN_NO_TIME),
        ("maxEjectionPercent", Rule::Whole(0, 100)),
    ]
}

/// The demands on a `RetryPolicy`, by paths below `spec`.
pub(super) fn retry() -> Vec<(String, Rule)> {
    let own = [
        ("http", Rule::Entries(0, STATUSES_MAX)),
        ("attempts", Rule::Whole(0, 5)),
        ("backoff", BASE_WITHIN_MAX),
        ("perTryTimeout", MORE_THAN_NO_TIME),
        ("timeout", MORE_THAN_NO_TIME),
        ("budget.percent", Rule::Whole(0, 100)),
        ("budget.minPerSecond", Rule::Whole(0, 1000)),
        (
            "budget.interval",
            Rule::Cel {
                rule: "duration(self) >= duration('1s') && duration(self) <= duration('1m')",
                message: "must be within 1s to 1m",
                blamed: "",
            },
        ),
        ("maxBodyBytes", Rule::Whole(0, 64 * 1024)),
    ];
    own.into_iter().map(|(field, rule)| (field.to_owned(), rule)).collect()
}
