//! A ring of hashes (ketama): each endpoint stands on it at many points, and a request goes to the first point that is not
//! before its own hash. An endpoint that goes leaves its requests to those that follow its points, and moves no others.
//!
//! Points are `XXH64("<address>_<number>")`, as Envoy and gRPC have them, so all of them agree where they have equally many.

use std::{fmt::Write, net::SocketAddr};

use twox_hash::XxHash64;

/// Points of an endpoint, within the bounds of the ring: shares are then right within some 4 % of themselves. A constant, so
/// that one that comes or goes changes nothing about the points of the others; from two endpoints on, no fewer than the
/// standard has at least on a ring.
const POINTS_OF_ONE: u64 = 512;
/// A ring is not larger, whatever is asked for: 3 MiB, with the points of 512 endpoints.
const POINTS_MAX: u64 = 256 * 1024;

/// How many points a ring has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// At least.
    pub min: u64,
    /// At most, unless there are more endpoints.
    pub max: u64,
}

/// Endpoints on a ring.
#[derive(Debug)]
pub struct Ring {
    /// In ascending order.
    hashes: Vec<u64>,
    /// Which endpoint stands at each of them.
    endpoints: Vec<u32>,
}

impl Ring {
    /// The ring of these endpoints, with their weights.
    pub fn new(endpoints: &[(SocketAddr, u32)], size: Size) -> Self {
        let total: u64 = endpoints.iter().map(|(_, weight)| u64::from(*weight)).sum();
        let most = size.max.min(POINTS_MAX);
        let points = (POINTS_OF_ONE * endpoints.len() as u64).clamp(size.min.min(most), most);
        let mut ring = Vec::with_capacity(points as usize + endpoints.len());
        let mut text = String::new();
        for (index, (address, weight)) in endpoints.iter().enumerate() {
            let own = (points * u64::from(*weight)).div_ceil(total.max(1)).max(1);
            for number in 0..own {
                text.clear();
                // Writing into text cannot fail.
                let _ = write!(text, "{address}_{number}");
                ring.push((XxHash64::oneshot(0, text.as_bytes()), *address, index as u32));
            }
        }
        // Of two at one point, which happens once in a million rings, the same wins in all sidecars.
        ring.sort_unstable_by_key(|(hash, address, _)| (*hash, *address));
        let (hashes, endpoints) = ring.into_iter().map(|(hash, _, endpoint)| (hash, endpoint)).unzip();
        Self { hashes, endpoints }
    }

    /// The endpoint of `hash`, and those that follow it on the ring, once around; many times the same.
    pub fn walk(&self, hash: u64) -> impl Iterator<Item = usize> {
        let first = self.hashes.partition_point(|point| *point < hash);
        let (before, after) = self.endpoints.split_at(first);
        after.iter().chain(before).map(|endpoint| *endpoint as usize)
    }
}

#[cfg(test)]
mod tests;
