//! Messages inside `Any`: packing them and taking them out again.

use prost::Name;

use crate::generated::google::protobuf::Any;

/// Why a message could not be taken out of an `Any`.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// It holds another message.
    #[error("holds `{found}` where `{expected}` is needed")]
    Type {
        /// The type URL that it carries.
        found: String,
        /// The type URL that was asked for.
        expected: String,
    },
    /// The bytes are no message of the type that they claim to be.
    #[error("`{expected}` cannot be decoded: {source}")]
    Decode {
        /// The type URL that was asked for.
        expected: String,
        /// Where the bytes are broken.
        source: prost::DecodeError,
    },
}

/// Encodes `message` under its own type URL.
pub fn pack<M: Name>(message: &M) -> Any {
    Any { type_url: M::type_url(), value: message.encode_to_vec().into() }
}

/// Decodes the message that `any` must hold.
pub fn unpack<M: Name + Default>(any: &Any) -> Result<M, UnpackError> {
    let expected = M::type_url();
    if any.type_url != expected {
        return Err(UnpackError::Type { found: any.type_url.clone(), expected });
    }
    M::decode(any.value.clone()).map_err(|source| UnpackError::Decode { expected, source })
}

#[cfg(test)]
mod tests;
