//! YAML and JSON whose every field knows its line, so that a mistake can be pointed at.

mod decode;

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error as _, MapAccess, SeqAccess, Visitor},
};
use serde_saphyr::Spanned;

use decode::Strictness;

pub use decode::{Cause, Mistake};

/// A value, and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Line of its first character, from 1; 0 if it was not read from a text.
    pub line: u32,
    /// What stands there.
    pub value: Value,
}

/// A value of YAML's core schema.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing.
    Null,
    /// A truth value.
    Bool(bool),
    /// A number without a sign.
    Unsigned(u64),
    /// A number below 0.
    Negative(i64),
    /// A number with a fraction.
    Float(f64),
    /// Text.
    Text(String),
    /// Values in order.
    Sequence(Vec<Node>),
    /// Values by name, in the order in which they are written.
    Mapping(Vec<Entry>),
}

/// A field of a mapping.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Line of its name, from 1.
    pub line: u32,
    /// Its name.
    pub name: String,
    /// Its value.
    pub node: Node,
}

/// Why a text is not YAML.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct SyntaxError {
    /// Line, from 1.
    pub line: u32,
    /// What is wrong there.
    pub message: String,
}

/// Reads every document of `text`; empty ones are passed over. JSON is read as the YAML that it is.
pub fn parse(text: &str) -> Result<Vec<Node>, SyntaxError> {
    let options = serde_saphyr::options! {
        // YAML 1.2: `off` and `yes` are text.
        strict_booleans: true,
        with_snippet: false,
    };
    let documents: Vec<Spanned<Value>> =
        serde_saphyr::from_str_multiple_with_options::<_, Vec<_>>(text, options).map_err(|error| {
            SyntaxError {
                line: error.location().map_or(1, line).max(1),
                message: error.render_with_formatter(&serde_saphyr::UserMessageFormatter).replace('\n', " "),
            }
        })?;
    Ok(documents.into_iter().map(Node::from).collect())
}

impl Node {
    /// The value of the field `name`, if this is a mapping that has it.
    pub fn get(&self, name: &str) -> Option<&Node> {
        self.entries().iter().find(|entry| entry.name == name).map(|entry| &entry.node)
    }

    /// The text of the field `name`, if there is such a field and it is text.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.get(name)? {
            Node { value: Value::Text(text), .. } => Some(text),
            _ => None,
        }
    }

    /// Takes the field `name` out.
    pub fn take(&mut self, name: &str) -> Option<Node> {
        let Value::Mapping(entries) = &mut self.value else { return None };
        let index = entries.iter().position(|entry| entry.name == name)?;
        Some(entries.remove(index).node)
    }

    /// Reads a `T` out of this value, as people write it: a field that `T` does not have is a mistake.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, Mistake> {
        decode::decode(self, Strictness::Strict)
    }

    /// Reads a `T` out of this value, as an API server gives it: what `T` does not have is passed over, since servers
    /// become newer, and `null` is as if it were not there.
    pub fn decode_leniently<T: DeserializeOwned>(&self) -> Result<T, Mistake> {
        decode::decode(self, Strictness::Lenient)
    }

    /// Line of the field at `path`, such as `rules[0].filters`; where the path leaves what is written, the line of
    /// the last thing on it that is.
    pub fn line_of(&self, path: &str) -> u32 {
        let mut line = self.line;
        let mut node = self;
        for step in steps(path) {
            let next = match (&node.value, step.parse::<usize>()) {
                (Value::Sequence(nodes), Ok(index)) => nodes.get(index).map(|node| (node.line, node)),
                _ => node.entries().iter().find(|entry| entry.name == step).map(|e| (e.line, &e.node)),
            };
            let Some((at, found)) = next else { break };
            line = at;
            node = found;
        }
        line
    }

    fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Mapping(entries) => entries,
            _ => &[],
        }
    }
}

/// Without lines, which such a value does not have.
impl From<serde_json::Value> for Node {
    fn from(json: serde_json::Value) -> Self {
        use serde_json::Value as Json;
        let value = match json {
            Json::Null => Value::Null,
            Json::Bool(value) => Value::Bool(value),
            Json::Number(number) => match (number.as_u64(), number.as_i64()) {
                (Some(number), _) => Value::Unsigned(number),
                (None, Some(number)) => Value::Negative(number),
                (None, None) => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
            },
            Json::String(text) => Value::Text(text),
            Json::Array(values) => Value::Sequence(values.into_iter().map(Node::from).collect()),
            Json::Object(fields) => Value::Mapping(
                fields
                    .into_iter()
                    .map(|(name, value)| Entry { line: 0, name, node: Node::from(value) })
                    .collect(),
            ),
        };
        Self { line: 0, value }
    }
}

impl From<Spanned<Value>> for Node {
    fn from(spanned: Spanned<Value>) -> Self {
        Self { line: line(spanned.referenced), value: spanned.value }
    }
}

/// The steps of a path: `a.b[0]['c.d']` is `a`, `b`, `0`, `c.d`.
fn steps(path: &str) -> impl Iterator<Item = &str> {
    let mut rest = path;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches(['.', ']']);
        if let Some(quoted) = rest.strip_prefix("['") {
            let (step, after) = quoted.split_once("']").unwrap_or((quoted, ""));
            rest = after;
            return Some(step);
        }
        rest = rest.trim_start_matches('[');
        let end = rest.find(['.', '[', ']']).unwrap_or(rest.len());
        let (step, after) = rest.split_at(end);
        rest = after;
        (!step.is_empty()).then_some(step)
    })
}

fn line(location: serde_saphyr::Location) -> u32 {
    u32::try_from(location.line()).unwrap_or(u32::MAX)
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Unsigned(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(u64::try_from(value).map_or(Value::Negative(value), Value::Unsigned))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Value, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = sequence.next_element::<Spanned<Value>>()? {
            nodes.push(node.into());
        }
        Ok(Value::Sequence(nodes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<Spanned<Value>>()? {
            let Value::Text(name) = key.value else {
                return Err(A::Error::custom("the name of a field must be text: write it in quotes"));
            };
            let node = map.next_value::<Spanned<Value>>()?.into();
            entries.push(Entry { line: line(key.referenced), name, node });
        }
        Ok(Value::Mapping(entries))
    }
}

#[cfg(test)]
mod tests;
