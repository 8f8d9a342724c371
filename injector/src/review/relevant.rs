//! Of a pod only what deciding and patching look at: some twenty fields, while the rest may be megabytes.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};

/// What is kept of a value. Whatever is of another type than expected keeps its type, and nothing else.
#[derive(Clone, Copy)]
enum Keep {
    /// All of it.
    Whole,
    /// Of an object, these fields.
    Fields(&'static [(&'static str, Keep)]),
    /// Of a list, the same of each item.
    Each(&'static Keep),
}

use Keep::{Each, Fields, Whole};

static POD: Keep = Fields(&[
    (
        "metadata",
        Fields(&[("annotations", Whole), ("generateName", Whole), ("labels", Whole), ("name", Whole)]),
    ),
    (
        "spec",
        Fields(&[
            ("containers", Each(&CONTAINER)),
            ("dnsPolicy", Whole),
            ("hostNetwork", Whole),
            ("initContainers", Each(&CONTAINER)),
            ("nodeSelector", Whole),
            ("os", Whole),
            ("securityContext", Whole),
            ("terminationGracePeriodSeconds", Whole),
            ("volumes", Each(&VOLUME)),
        ]),
    ),
]);

static CONTAINER: Keep = Fields(&[("name", Whole), ("securityContext", Whole), ("volumeMounts", Whole)]);

static VOLUME: Keep = Fields(&[("name", Whole)]);

/// Reads a pod, or whatever stands in its place.
pub(super) fn pod<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
    POD.deserialize(deserializer)
}

impl<'de> DeserializeSeed<'de> for Keep {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        match self {
            Whole => Value::deserialize(deserializer),
            Fields(_) | Each(_) => deserializer.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for Keep {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        if let Each(keep) = self {
            while let Some(item) = list.next_element_seed(*keep)? {
                items.push(item);
            }
        } else {
            while list.next_element::<IgnoredAny>()?.is_some() {}
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let known: &[(&str, Keep)] = if let Fields(known) = self { known } else { &[] };
        let mut fields = Map::new();
        while let Some(name) = object.next_key::<String>()? {
            match known.iter().find(|(known, _)| *known == name) {
                Some((_, keep)) => {
                    fields.insert(name, object.next_value_seed(*keep)?);
                }
                None => {
                    object.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(Value::Object(fields))
    }
}
