//! Which objects are meant, by their labels (`LabelSelector` of meta/v1).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::violation::{Violation, at_most};

/// A selector has so many expressions at most.
pub const EXPRESSIONS_MAX: usize = 16;
/// An expression names so many values at most.
pub const VALUES_MAX: usize = 64;

/// All that an object's labels must fulfil. An empty one selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct LabelSelector {
    /// Labels that it must have.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub match_labels: BTreeMap<String, String>,
    /// What else its labels must be, at most 16.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub match_expressions: Vec<Expression>,
}

/// A condition on one label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Expression {
    /// Name of the label.
    pub key: String,
    /// How it is looked at.
    pub operator: Operator,
    /// Values, at most 64: some for `In` and `NotIn`, none otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
}

/// How a label is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Operator {
    /// It has one of the values.
    In,
    /// It is absent, or has none of the values.
    NotIn,
    /// It is there.
    Exists,
    /// It is absent.
    DoesNotExist,
}

impl LabelSelector {
    /// Whether an object with these labels is meant.
    pub fn selects(&self, labels: &BTreeMap<String, String>) -> bool {
        self.match_labels.iter().all(|(key, value)| labels.get(key) == Some(value))
            && self.match_expressions.iter().all(|expression| expression.holds(labels))
    }

    /// Checks what the types cannot say. Errors name the field by its path below `field`.
    pub fn validate(&self, field: &str) -> Result<(), Violation> {
        let field = format!("{field}.matchExpressions");
        at_most(&field, self.match_expressions.len(), EXPRESSIONS_MAX)?;
        for (index, Expression { operator, values, .. }) in self.match_expressions.iter().enumerate() {
            let field = format!("{field}[{index}].values");
            at_most(&field, values.len(), VALUES_MAX)?;
            let needs_values = matches!(operator, Operator::In | Operator::NotIn);
            if needs_values == values.is_empty() {
                let rule = if needs_values { "must hold values for" } else { "must be absent for" };
                return Err(Violation::new(field, format!("{rule} {operator:?}")));
            }
        }
        Ok(())
    }
}

impl Expression {
    fn holds(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = labels.get(&self.key);
        let is_named = value.is_some_and(|value| self.values.contains(value));
        match self.operator {
            Operator::In => is_named,
            Operator::NotIn => !is_named,
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
        }
    }
}

#[cfg(test)]
mod tests;
