//! Versions of resources: which of two is older, and whether two stand for the same content.

use std::fmt;

/// The hash that stands for "no content": the version of a name that has no resource.
const HASH_OF_NOTHING: u64 = 0;

/// The version of a resource, or of its absence.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// One that Weft made: `<generation>-<hash>`, decimal and 16 hexadecimal digits.
    Ordered {
        /// When the content last changed, in milliseconds since 1970, made to ascend.
        generation: u64,
        /// Hash of the content; equal hashes are equal content.
        hash: u64,
    },
    /// One of another server. It has no order, and stands for itself only.
    Opaque(String),
}

impl Version {
    /// The version of `body` since `generation`.
    pub fn of(generation: u64, body: &[u8]) -> Self {
        Self::Ordered { generation, hash: fnv1a(body).max(HASH_OF_NOTHING + 1) }
    }

    /// The version of a name that has had no resource since `generation`.
    pub fn absent(generation: u64) -> Self {
        Self::Ordered { generation, hash: HASH_OF_NOTHING }
    }

    /// Reads a version off the wire. What is not of Weft's exact form is opaque.
    pub fn parse(text: &str) -> Self {
        let ordered = || {
            let (generation, hash) = text.split_once('-')?;
            Some(Self::Ordered {
                generation: generation.parse().ok()?,
                hash: u64::from_str_radix(hash, 16).ok()?,
            })
        };
        // Leading zeros, signs and capitals would make two texts of one version.
        match ordered() {
            Some(version) if version.to_string() == text => version,
            _ => Self::Opaque(text.to_owned()),
        }
    }

    /// When the content last changed; `None` if the version is of another server.
    pub fn generation(&self) -> Option<u64> {
        match self {
            Self::Ordered { generation, .. } => Some(*generation),
            Self::Opaque(_) => None,
        }
    }

    /// Whether this stands for a name without a resource.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Ordered { hash: HASH_OF_NOTHING, .. })
    }

    /// Whether this is surely older than `other`. Versions without an order never are.
    pub fn is_older_than(&self, other: &Self) -> bool {
        matches!((self.generation(), other.generation()), (Some(this), Some(other)) if this < other)
    }

    /// Whether the two stand for the same content.
    pub fn same_content(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Ordered { hash: this, .. }, Self::Ordered { hash: other, .. }) => this == other,
            (this, other) => this == other,
        }
    }

    /// The same content, no older than `earlier`, and newer if `earlier` is of other content.
    #[must_use]
    pub fn following(self, earlier: &Self) -> Self {
        let same = self.same_content(earlier);
        match (self, earlier.generation()) {
            (Self::Ordered { generation, hash }, Some(earlier)) => {
                let least = if same { earlier } else { earlier.saturating_add(1) };
                Self::Ordered { generation: generation.max(least), hash }
            }
            (version, _) => version,
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ordered { generation, hash } => write!(f, "{generation}-{hash:016x}"),
            Self::Opaque(text) => f.write_str(text),
        }
    }
}

/// FNV-1a, 64 bits: the same on every machine and in every release, which versions must be. Whoever makes two
/// contents collide fools the readers of a resource that is their own to write.
fn fnv1a(bytes: &[u8]) -> u64 {
    const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    bytes.iter().fold(OFFSET_BASIS, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests;
