//! Ports as people write them: lists, `22,9000-9010`, and one behind a host, `host:4317`.

use std::{fmt, ops::RangeInclusive, str::FromStr};

/// Ports and ranges in one list. Each becomes a rule that a new connection walks past.
pub const RANGES_MAX: usize = 64;

/// TCP ports, as ranges in order that neither overlap nor touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ports(Vec<RangeInclusive<u16>>);

/// Why a text is no list of ports.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPorts {
    /// Something in it is not a port.
    #[error("`{0}` is not a port: ports are 1 to 65535, and a list of them is written `22,9000-9010`")]
    Port(String),
    /// A range from high to low.
    #[error("`{first}-{last}` goes from high to low: write `{last}-{first}`")]
    Reversed {
        /// As it was written.
        first: u16,
        /// As it was written.
        last: u16,
    },
    /// More than [`RANGES_MAX`].
    #[error("{0} ports and ranges are too many: at most {RANGES_MAX}; join neighbours to ranges")]
    TooMany(usize),
}

impl Ports {
    /// The ranges, lowest first.
    pub fn ranges(&self) -> &[RangeInclusive<u16>] {
        &self.0
    }

    /// Whether `port` is one of them.
    pub fn contains(&self, port: u16) -> bool {
        self.0.iter().any(|range| range.contains(&port))
    }

    fn of(mut ranges: Vec<RangeInclusive<u16>>) -> Self {
        ranges.sort_by_key(|range| *range.start());
        let mut merged: Vec<RangeInclusive<u16>> = Vec::with_capacity(ranges.len());
        for range in ranges {
            match merged.last_mut() {
                Some(last) if *range.start() <= last.end().saturating_add(1) => {
                    *last = *last.start()..=*last.end().max(range.end());
                }
                _ => merged.push(range),
            }
        }
        Self(merged)
    }
}

impl FromStr for Ports {
    type Err = InvalidPorts;

    fn from_str(text: &str) -> Result<Self, InvalidPorts> {
        let count = text.split(',').count();
        if count > RANGES_MAX {
            return Err(InvalidPorts::TooMany(count));
        }
        text.split(',').map(range).collect::<Result<_, _>>().map(Self::of)
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, range) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(formatter, "{comma}{}", shown(range))?;
        }
        Ok(())
    }
}

/// `22`, or `9000-9010`.
pub fn shown(range: &RangeInclusive<u16>) -> String {
    let (first, last) = (range.start(), range.end());
    if first == last { first.to_string() } else { format!("{first}-{last}") }
}

/// A port from its decimal form.
pub fn port(text: &str) -> Result<u16, InvalidPorts> {
    let invalid = || InvalidPorts::Port(text.to_owned());
    // `parse` would take `+22` as well.
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(invalid());
    }
    text.parse().ok().filter(|port| *port != 0).ok_or_else(invalid)
}

fn range(text: &str) -> Result<RangeInclusive<u16>, InvalidPorts> {
    let text = text.trim();
    let Some((first, last)) = text.split_once('-') else {
        let port = port(text)?;
        return Ok(port..=port);
    };
    let (first, last) = (port(first)?, port(last)?);
    if first > last { Err(InvalidPorts::Reversed { first, last }) } else { Ok(first..=last) }
}

/// Whether this is `host:port`, with a host that holds nothing but what names and addresses are made of.
pub fn is_host_port(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-.:[]".contains(&byte);
    text.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && host.bytes().all(fits) && port.parse::<u16>().is_ok_and(|port| port > 0)
    })
}

#[cfg(test)]
mod tests;
