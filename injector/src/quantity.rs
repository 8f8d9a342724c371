//! Amounts of CPU and memory as Kubernetes writes them (`apimachinery/pkg/api/resource`), kept as they were written.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// An amount such as `10m`, `0.5`, `16Mi` or `1e3`, not below zero.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Quantity {
    text: String,
    /// In billionths, rounded up.
    nano: u128,
}

/// Not an amount.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an amount: write a number and perhaps a unit, such as `500m`, `2`, `64Mi` or `1G`")]
pub struct InvalidQuantity(String);

/// Units and how many billionths they are.
const UNITS: [(&str, u128); 16] = [
    ("", 1_000_000_000),
    ("n", 1),
    ("u", 1_000),
    ("m", 1_000_000),
    ("k", 1_000_000_000_000),
    ("M", 1_000_000_000_000_000),
    ("G", 1_000_000_000_000_000_000),
    ("T", 1_000_000_000_000_000_000_000),
    ("P", 1_000_000_000_000_000_000_000_000),
    ("E", 1_000_000_000_000_000_000_000_000_000),
    ("Ki", 1_000_000_000 << 10),
    ("Mi", 1_000_000_000 << 20),
    ("Gi", 1_000_000_000 << 30),
    ("Ti", 1_000_000_000 << 40),
    ("Pi", 1_000_000_000 << 50),
    ("Ei", 1_000_000_000 << 60),
];

/// Digits before and behind the point, each at most: more than any amount that a node could have.
const DIGITS_MAX: usize = 18;

impl Quantity {
    /// Thousandths, such as those of a processor.
    pub fn milli(count: u32) -> Self {
        Self { text: format!("{count}m"), nano: u128::from(count) * 1_000_000 }
    }

    /// Mebibytes.
    pub fn mebi(count: u32) -> Self {
        Self { text: format!("{count}Mi"), nano: u128::from(count) * (1_000_000_000 << 20) }
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The next whole number from it upwards.
    pub fn ceil(&self) -> u64 {
        u64::try_from(self.nano.div_ceil(1_000_000_000)).unwrap_or(u64::MAX)
    }

    /// Whether it is nothing.
    pub fn is_zero(&self) -> bool {
        self.nano == 0
    }
}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.nano.cmp(&other.nano)).filter(|order| order.is_ne() || self.text == other.text)
    }
}

impl FromStr for Quantity {
    type Err = InvalidQuantity;

    fn from_str(text: &str) -> Result<Self, InvalidQuantity> {
        let invalid = || InvalidQuantity(text.chars().take(64).collect());
        let end = text.find(|char: char| !char.is_ascii_digit() && char != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let too_long = whole.len() > DIGITS_MAX || fraction.len() > DIGITS_MAX;
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') || too_long {
            return Err(invalid());
        }
        let digits: u128 = format!("{whole}{fraction}").parse().map_err(|_| invalid())?;
        let scale = scale(unit).ok_or_else(invalid)?;
        let fraction_length = u32::try_from(fraction.len()).map_err(|_| invalid())?;
        let nano = digits.checked_mul(scale).ok_or_else(invalid)?.div_ceil(10_u128.pow(fraction_length));
        Ok(Self { text: text.to_owned(), nano })
    }
}

/// How many billionths a unit, or an exponent such as `e3`, stands for.
fn scale(unit: &str) -> Option<u128> {
    if let Some((_, scale)) = UNITS.iter().find(|(name, _)| *name == unit) {
        return Some(*scale);
    }
    let exponent: i32 = unit.strip_prefix(['e', 'E'])?.parse().ok()?;
    10_u128.checked_pow(u32::try_from(exponent.checked_add(9)?).ok()?)
}

impl TryFrom<String> for Quantity {
    type Error = InvalidQuantity;

    fn try_from(text: String) -> Result<Self, InvalidQuantity> {
        text.parse()
    }
}

impl From<Quantity> for String {
    fn from(quantity: Quantity) -> Self {
        quantity.text
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests;
