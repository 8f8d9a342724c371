//! Durations as the Gateway API writes them (GEP-2257).

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A duration such as `1h`, `90s` or `1m30s500ms`, per GEP-2257: one to four groups of one to five digits and
/// a unit of `h`, `m`, `s`, `ms`. Resolution is one millisecond.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Duration(std::time::Duration);

/// Why a text is not a GEP-2257 duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a duration: write one to four groups of digits and h, m, s or ms, such as `30s` or `1m500ms`"
)]
pub struct InvalidDuration(String);

impl Duration {
    /// A duration of `ms` milliseconds.
    pub const fn from_millis(ms: u64) -> Self {
        Self(std::time::Duration::from_millis(ms))
    }

    /// A duration of `secs` seconds.
    pub const fn from_secs(secs: u64) -> Self {
        Self(std::time::Duration::from_secs(secs))
    }

    /// As the standard library's type.
    pub const fn get(self) -> std::time::Duration {
        self.0
    }

    /// No time at all.
    pub const fn is_zero(self) -> bool {
        self.0.is_zero()
    }
}

impl FromStr for Duration {
    type Err = InvalidDuration;

    fn from_str(text: &str) -> Result<Self, InvalidDuration> {
        let invalid = || InvalidDuration(text.to_owned());
        let mut rest = text;
        let mut total_ms: u64 = 0;
        for group in 0.. {
            if rest.is_empty() && group > 0 {
                break;
            }
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            // GEP-2257: ([0-9]{1,5}(h|m|s|ms)){1,4}
            if group == 4 || !(1..=5).contains(&digits) {
                return Err(invalid());
            }
            let value: u64 = rest[..digits].parse().map_err(|_| invalid())?;
            let unit = &rest[digits..];
            let (ms, length) = if unit.starts_with("ms") {
                (1, 2)
            } else if unit.starts_with('h') {
                (3_600_000, 1)
            } else if unit.starts_with('m') {
                (60_000, 1)
            } else if unit.starts_with('s') {
                (1_000, 1)
            } else {
                return Err(invalid());
            };
            total_ms += value * ms;
            rest = &unit[length..];
        }
        Ok(Self::from_millis(total_ms))
    }
}

impl TryFrom<String> for Duration {
    type Error = InvalidDuration;

    fn try_from(text: String) -> Result<Self, InvalidDuration> {
        text.parse()
    }
}

impl From<Duration> for String {
    fn from(duration: Duration) -> Self {
        duration.to_string()
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        if rest == 0 {
            return f.write_str("0s");
        }
        for (unit, ms) in [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)] {
            if rest >= ms {
                write!(f, "{}{unit}", rest / ms)?;
                rest %= ms;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
