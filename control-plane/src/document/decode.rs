//! From a located value to a type: serde's errors, with the field and the line that they speak of.

use std::fmt;

use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess,
    Unexpected, Visitor, value::StrDeserializer,
};

use super::{Entry, Node, Value};

/// A field that does not fit the type that is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Line, from 1.
    pub line: u32,
    /// Path of the field, such as `rules[0].matches`; empty for the whole.
    pub field: String,
    /// In which way it does not fit.
    pub cause: Cause,
}

/// In which way a field does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The type has no such field.
    Unknown {
        /// Those that it has.
        known: Vec<&'static str>,
    },
    /// The type needs a field that is not there.
    Missing,
    /// The value has another type, or cannot be read.
    Value(String),
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, field, cause } = self;
        let field = if field.is_empty() { "the document" } else { field };
        write!(f, "line {line}: {field} ")?;
        match cause {
            Cause::Unknown { known } => write!(f, "is not a field that is known here: {}", known.join(", ")),
            Cause::Missing => f.write_str("is missing"),
            Cause::Value(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for Mistake {}

/// What becomes of fields that a type does not have, and of those that are null.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Strictness {
    /// The type decides.
    Strict,
    /// They are passed over.
    Lenient,
}

pub(super) fn decode<T: DeserializeOwned>(node: &Node, strictness: Strictness) -> Result<T, Mistake> {
    T::deserialize(Cursor(node, strictness)).map_err(|problem| Mistake {
        line: problem.line.unwrap_or(node.line),
        field: problem.path,
        cause: problem.cause,
    })
}

/// A mistake on its way up: each level that it passes adds its step to the path.
#[derive(Debug)]
struct Rising {
    line: Option<u32>,
    path: String,
    cause: Cause,
}

impl Rising {
    fn new(path: &str, cause: Cause) -> Self {
        Self { line: None, path: path.to_owned(), cause }
    }

    fn at(mut self, line: u32) -> Self {
        self.line.get_or_insert(line);
        self
    }

    fn below(mut self, step: &str) -> Self {
        let joint = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        self.path = format!("{step}{joint}{}", self.path);
        self
    }
}

impl fmt::Display for Rising {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:?}", self.path, self.cause)
    }
}

impl std::error::Error for Rising {}

impl de::Error for Rising {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new("", Cause::Value(message.to_string()))
    }

    fn invalid_type(found: Unexpected, expected: &dyn de::Expected) -> Self {
        Self::new("", Cause::Value(format!("is {}; it must be {expected}", describe(found))))
    }

    fn invalid_value(found: Unexpected, expected: &dyn de::Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn unknown_variant(found: &str, known: &'static [&'static str]) -> Self {
        Self::new("", Cause::Value(format!("is `{found}`; it must be one of {}", known.join(", "))))
    }

    fn unknown_field(field: &str, known: &'static [&'static str]) -> Self {
        Self::new(field, Cause::Unknown { known: known.to_vec() })
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(field, Cause::Missing)
    }
}

fn describe(found: Unexpected) -> String {
    match found {
        Unexpected::Unit | Unexpected::Option => "empty".to_owned(),
        Unexpected::Bool(value) => format!("the truth value `{value}`"),
        Unexpected::Unsigned(value) => format!("the number {value}"),
        Unexpected::Signed(value) => format!("the number {value}"),
        Unexpected::Float(value) => format!("the number {value}"),
        Unexpected::Str(value) => format!("the text `{value}`"),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "a mapping".to_owned(),
        other => other.to_string(),
    }
}

struct Cursor<'a>(&'a Node, Strictness);

impl<'de> Deserializer<'de> for Cursor<'_> {
    type Error = Rising;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Rising> {
        let read = match &self.0.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Unsigned(value) => visitor.visit_u64(*value),
            Value::Negative(value) => visitor.visit_i64(*value),
            Value::Float(value) => visitor.visit_f64(*value),
            Value::Text(value) => visitor.visit_str(value),
            Value::Sequence(nodes) => visitor.visit_seq(Elements { nodes, next: 0, strictness: self.1 }),
            Value::Mapping(entries) => {
                visitor.visit_map(Fields { entries, value: None, known: None, strictness: self.1 })
            }
        };
        read.map_err(|problem| problem.at(self.0.line))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Rising> {
        match self.0.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Rising> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Rising> {
        // Every closed set in these documents is a word; serde says so to whatever else stands here.
        let Value::Text(word) = &self.0.value else { return self.deserialize_any(visitor) };
        let word: StrDeserializer<'_, Rising> = word.as_str().into_deserializer();
        visitor.visit_enum(word).map_err(|problem| problem.at(self.0.line))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Rising> {
        let Cursor(Node { line, value: Value::Mapping(entries) }, Strictness::Lenient) = self else {
            return self.deserialize_any(visitor);
        };
        let fields = Fields { entries, value: None, known: Some(known), strictness: Strictness::Lenient };
        visitor.visit_map(fields).map_err(|problem| problem.at(*line))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        seq tuple tuple_struct map identifier ignored_any
    }
}

struct Elements<'a> {
    nodes: &'a [Node],
    next: usize,
    strictness: Strictness,
}

impl<'de> SeqAccess<'de> for Elements<'_> {
    type Error = Rising;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Rising> {
        let Some(node) = self.nodes.get(self.next) else { return Ok(None) };
        let index = self.next;
        self.next += 1;
        seed.deserialize(Cursor(node, self.strictness))
            .map(Some)
            .map_err(|problem| problem.at(node.line).below(&format!("[{index}]")))
    }
}

struct Fields<'a> {
    entries: &'a [Entry],
    value: Option<&'a Entry>,
    /// Fields that count; `None` if all do.
    known: Option<&'static [&'static str]>,
    strictness: Strictness,
}

impl<'de> MapAccess<'de> for Fields<'_> {
    type Error = Rising;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Rising> {
        let counts = |entry: &Entry| {
            self.known
                .is_none_or(|known| entry.node.value != Value::Null && known.contains(&entry.name.as_str()))
        };
        let Some(at) = self.entries.iter().position(counts) else { return Ok(None) };
        let entry = &self.entries[at];
        self.entries = &self.entries[at + 1..];
        self.value = Some(entry);
        let name: StrDeserializer<'_, Rising> = entry.name.as_str().into_deserializer();
        seed.deserialize(name).map(Some).map_err(|problem| problem.at(entry.line))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Rising> {
        let entry = self.value.take().ok_or_else(|| <Rising as de::Error>::custom("has no value"))?;
        seed.deserialize(Cursor(&entry.node, self.strictness))
            .map_err(|problem| problem.at(entry.node.line).below(&entry.name))
    }
}
