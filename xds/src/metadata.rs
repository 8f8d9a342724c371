//! What the standard fields cannot say: `weft.dev` metadata as serde types, and JSON as `google.protobuf.Struct`.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value as Json;

use crate::generated::{
    envoy::config::core::v3::{Metadata, Node},
    google::protobuf::{ListValue, NullValue, Struct, Value, value::Kind},
};

/// The key under which everything of Weft stands in `filter_metadata` and in `node.metadata`.
pub const KEY: &str = "weft.dev";
/// The field of a node's metadata that holds a certificate signing request in PEM.
const CSR: &str = "csr";
/// Beyond this, 2^53, a double does not hold every whole number.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// Why metadata could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum MetadataError {
    /// A number that a double cannot hold, or that JSON cannot.
    #[error("metadata `weft.dev`: {0} cannot be carried exactly; use a number below 2^53, or text")]
    Number(String),
    /// What is to be written is no JSON object.
    #[error("metadata `weft.dev` must be an object")]
    NotAnObject,
    /// The shape is not the one of the type that was asked for.
    #[error("metadata `weft.dev`: {0}")]
    Shape(#[from] serde_json::Error),
}

/// Makes metadata that holds `value` under `weft.dev`.
pub fn write<T: Serialize>(value: &T) -> Result<Metadata, MetadataError> {
    let Some(Kind::StructValue(fields)) = from_json(&serde_json::to_value(value)?)?.kind else {
        return Err(MetadataError::NotAnObject);
    };
    Ok(Metadata { filter_metadata: [(KEY.to_owned(), fields)].into() })
}

/// Reads what stands under `weft.dev`; `None` if nothing does.
pub fn read<T: DeserializeOwned>(metadata: Option<&Metadata>) -> Result<Option<T>, MetadataError> {
    let Some(fields) = metadata.and_then(|metadata| metadata.filter_metadata.get(KEY)) else {
        return Ok(None);
    };
    let json = object(fields)?;
    Ok(Some(serde_json::from_value(json)?))
}

/// The certificate signing request (PEM) that a subscriber's node carries.
pub fn csr(node: &Node) -> Option<&str> {
    let Some(Kind::StructValue(weft)) = &node.metadata.as_ref()?.fields.get(KEY)?.kind else { return None };
    match &weft.fields.get(CSR)?.kind {
        Some(Kind::StringValue(pem)) => Some(pem),
        _ => None,
    }
}

/// Makes `node` carry a certificate signing request (PEM) beside whatever else it carries.
pub fn set_csr(node: &mut Node, pem: &str) {
    let weft = node.metadata.get_or_insert_default().fields.entry(KEY.to_owned()).or_default();
    let csr = (CSR.to_owned(), Value { kind: Some(Kind::StringValue(pem.to_owned())) });
    match &mut weft.kind {
        Some(Kind::StructValue(fields)) => {
            fields.fields.extend([csr]);
        }
        kind => *kind = Some(Kind::StructValue(Struct { fields: [csr].into() })),
    }
}

/// JSON as a protobuf value. Fails on whole numbers that a double cannot hold.
pub fn from_json(json: &Json) -> Result<Value, MetadataError> {
    let kind = match json {
        Json::Null => Kind::NullValue(NullValue::NullValue.into()),
        Json::Bool(bool) => Kind::BoolValue(*bool),
        Json::Number(number) => match number.as_f64() {
            Some(double) if number.is_f64() || double.abs() < EXACT_MAX => Kind::NumberValue(double),
            _ => return Err(MetadataError::Number(number.to_string())),
        },
        Json::String(text) => Kind::StringValue(text.clone()),
        Json::Array(items) => Kind::ListValue(ListValue {
            values: items.iter().map(from_json).collect::<Result<_, MetadataError>>()?,
        }),
        Json::Object(fields) => {
            let field = |(name, json): (&String, &Json)| Ok((name.clone(), from_json(json)?));
            Kind::StructValue(Struct {
                fields: fields.iter().map(field).collect::<Result<_, MetadataError>>()?,
            })
        }
    };
    Ok(Value { kind: Some(kind) })
}

/// A protobuf value as JSON; whole numbers come back as whole numbers. Fails on infinity and NaN.
///
/// Depth is bounded: decoding refuses messages nested deeper than 100.
pub fn to_json(value: &Value) -> Result<Json, MetadataError> {
    Ok(match &value.kind {
        None | Some(Kind::NullValue(_)) => Json::Null,
        Some(Kind::BoolValue(bool)) => Json::Bool(*bool),
        // `Struct` knows doubles only, but whoever reads a count wants a whole number.
        Some(Kind::NumberValue(double)) if double.fract() == 0.0 && double.abs() < EXACT_MAX => {
            Json::from(*double as i64)
        }
        Some(Kind::NumberValue(double)) => Json::Number(
            serde_json::Number::from_f64(*double).ok_or_else(|| MetadataError::Number(double.to_string()))?,
        ),
        Some(Kind::StringValue(text)) => Json::String(text.clone()),
        Some(Kind::StructValue(fields)) => object(fields)?,
        Some(Kind::ListValue(list)) => {
            Json::Array(list.values.iter().map(to_json).collect::<Result<_, MetadataError>>()?)
        }
    })
}

fn object(fields: &Struct) -> Result<Json, MetadataError> {
    let field = |(name, value): (&String, &Value)| Ok((name.clone(), to_json(value)?));
    fields.fields.iter().map(field).collect::<Result<_, MetadataError>>().map(Json::Object)
}

#[cfg(test)]
mod tests;
