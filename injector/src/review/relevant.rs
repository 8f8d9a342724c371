//! Of a pod only what deciding and patching look at: some twenty fields, while the rest may be megabytes.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};
use weft_api::names::{ANNOTATION_MIRROR, ANNOTATION_PREFIX, LABEL_INJECT};

use crate::{annotations::LABELS_SERVICE, patch::DEFAULT_CONTAINER};

/// What is kept of a value. Whatever is of another type than expected keeps its type, and nothing else.
#[derive(Clone, Copy)]
enum Keep {
    /// All of it.
    Whole,
    /// Of an object, all of each field whose name is one of these: others may be a hundred thousand.
    Named(fn(&str) -> bool),
    /// Of an object, these fields.
    Fields(&'static [(&'static str, Keep)]),
    /// Of a list, the same of each item.
    Each(&'static Keep),
}

use Keep::{Each, Fields, Named, Whole};

static POD: Keep = Fields(&[
    (
        "metadata",
        Fields(&[
            ("annotations", Named(is_annotation)),
            ("generateName", Whole),
            ("labels", Named(is_label)),
            ("name", Whole),
        ]),
    ),
    (
        "spec",
        Fields(&[
            ("containers", Each(&CONTAINER)),
            ("dnsPolicy", Whole),
            ("hostNetwork", Whole),
            ("initContainers", Each(&CONTAINER)),
            ("nodeSelector", Fields(&[("kubernetes.io/os", Whole)])),
            ("os", Whole),
            ("securityContext", Whole),
            ("terminationGracePeriodSeconds", Whole),
            ("volumes", Each(&VOLUME)),
        ]),
    ),
]);

static CONTAINER: Keep = Fields(&[("name", Whole), ("securityContext", Whole), ("volumeMounts", Whole)]);

static VOLUME: Keep = Fields(&[("name", Whole)]);

fn is_annotation(name: &str) -> bool {
    name.starts_with(ANNOTATION_PREFIX) || [ANNOTATION_MIRROR, DEFAULT_CONTAINER].contains(&name)
}

fn is_label(name: &str) -> bool {
    name == LABEL_INJECT || LABELS_SERVICE.contains(&name)
}

/// Reads a pod, or whatever stands in its place.
pub(super) fn pod<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
    POD.deserialize(deserializer)
}

impl Keep {
    /// What is kept of the field `name` of an object, if anything.
    fn of(self, name: &str) -> Option<Self> {
        match self {
            Fields(known) => known.iter().find(|(known, _)| *known == name).map(|(_, keep)| *keep),
            Named(is_known) => is_known(name).then_some(Whole),
            Whole | Each(_) => None,
        }
    }
}

impl<'de> DeserializeSeed<'de> for Keep {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        match self {
            Whole => Value::deserialize(deserializer),
            Named(_) | Fields(_) | Each(_) => deserializer.deserialize_any(self),
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
        let mut fields = Map::new();
        while let Some(name) = object.next_key::<String>()? {
            match self.of(&name) {
                Some(keep) => {
                    fields.insert(name, object.next_value_seed(keep)?);
                }
                None => {
                    object.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(Value::Object(fields))
    }
}
