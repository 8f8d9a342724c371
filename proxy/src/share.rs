//! A share of requests, drawn anew for each of them.

use rand::Rng;

/// All requests.
const WHOLE: u32 = 1_000_000;

/// Whether one request is among the `parts_per_million`.
pub fn draws(parts_per_million: u32, random: &mut impl Rng) -> bool {
    parts_per_million >= WHOLE || random.random_range(0..WHOLE) < parts_per_million
}

#[cfg(test)]
mod tests;
