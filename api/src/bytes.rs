//! Amounts of memory, as Kubernetes writes them.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A number of bytes such as `64Mi`, `1G` or `1048576`: whole numbers, and of the units of Kubernetes those for memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Bytes(u64);

/// Why a text is not a number of bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not an amount of memory: write a whole number above 0 and perhaps a unit, such as `64Mi` or `1G`"
)]
pub struct InvalidBytes(String);

/// Units and what they stand for; of those with a common end the longer ones first.
const UNITS: [(&str, u64); 6] =
    [("Ki", 1 << 10), ("Mi", 1 << 20), ("Gi", 1 << 30), ("k", 1_000), ("M", 1_000_000), ("G", 1_000_000_000)];
/// Characters of a wrong text that an error repeats.
const SHOWN: usize = 64;

impl Bytes {
    /// `number` MiB.
    pub const fn mebi(number: u32) -> Self {
        Self((number as u64) << 20)
    }

    /// As a number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl FromStr for Bytes {
    type Err = InvalidBytes;

    fn from_str(text: &str) -> Result<Self, InvalidBytes> {
        let invalid = || InvalidBytes(text.chars().take(SHOWN).collect());
        let unit = UNITS.iter().find_map(|(unit, bytes)| Some((text.strip_suffix(unit)?, *bytes)));
        let (digits, unit) = unit.unwrap_or((text, 1));
        // A sign, which numbers of Rust may have, has no meaning here.
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(invalid());
        }
        let bytes = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
        bytes.filter(|bytes| *bytes > 0).map(Self).ok_or_else(invalid)
    }
}

impl TryFrom<String> for Bytes {
    type Error = InvalidBytes;

    fn try_from(text: String) -> Result<Self, InvalidBytes> {
        text.parse()
    }
}

impl From<Bytes> for String {
    fn from(bytes: Bytes) -> Self {
        bytes.to_string()
    }
}

impl fmt::Display for Bytes {
    /// By the largest binary unit that says it exactly.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact = UNITS[..3].iter().rev().find(|(_, unit)| self.0.is_multiple_of(*unit));
        match exact {
            Some((name, unit)) => write!(out, "{}{name}", self.0 / unit),
            None => write!(out, "{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests;
