//! A table that endpoints have filled in turns, each in an order of its own (Eisenbud and others, Maglev, NSDI 2016, 3.4):
//! all have the same number of places, give or take one, and one that comes or goes moves few of the others' requests.

use std::net::SocketAddr;

use twox_hash::XxHash64;

/// Places if nobody says how many: enough for some hundred endpoints to have equal shares within a percent.
pub const PLACES: u64 = 65_537;
/// A table is not larger: the larger one of the paper, and 2.6 MB.
pub const PLACES_MAX: u64 = 655_373;

/// Which endpoint has which place.
#[derive(Debug)]
pub struct Maglev {
    endpoints: Vec<u32>,
}

/// Marks a place that nobody has taken yet.
const FREE: u32 = u32::MAX;

/// An endpoint on its way through the places.
struct Taker {
    index: u32,
    weight: u64,
    /// What its turns have brought it; a place costs the highest weight.
    credit: u64,
    at: u64,
    skip: u64,
}

impl Maglev {
    /// The table of these endpoints, with their weights. `places` is a prime.
    pub fn new(endpoints: &[(SocketAddr, u32)], places: u64) -> Self {
        if endpoints.is_empty() {
            return Self { endpoints: Vec::new() };
        }
        let mut order: Vec<_> = endpoints.iter().enumerate().collect();
        // Whoever comes first takes first: that must be the same in all sidecars.
        order.sort_unstable_by_key(|(_, (address, _))| *address);
        let mut takers: Vec<_> = order
            .into_iter()
            .map(|(index, (address, weight))| {
                let name = address.to_string();
                Taker {
                    index: index as u32,
                    weight: u64::from((*weight).max(1)),
                    credit: 0,
                    at: XxHash64::oneshot(0, name.as_bytes()) % places,
                    skip: XxHash64::oneshot(1, name.as_bytes()) % (places - 1) + 1,
                }
            })
            .collect();
        let price = takers.iter().map(|taker| taker.weight).max().unwrap_or(1);
        let mut table = vec![FREE; places as usize];
        let mut free = places;
        while free > 0 {
            for taker in &mut takers {
                taker.credit += taker.weight;
                if taker.credit < price || free == 0 {
                    continue;
                }
                taker.credit -= price;
                taker.take(&mut table);
                free -= 1;
            }
        }
        Self { endpoints: table }
    }

    /// The endpoint of `hash`, and those of the places that follow, once around; many times the same.
    pub fn walk(&self, hash: u64) -> impl Iterator<Item = usize> {
        let first = hash.checked_rem(self.endpoints.len() as u64).unwrap_or(0) as usize;
        let (before, after) = self.endpoints.split_at(first);
        after.iter().chain(before).map(|endpoint| *endpoint as usize)
    }
}

impl Taker {
    /// Takes the next place of its order that is free. There is one, and since the number of places is a prime, its order
    /// comes by all of them.
    fn take(&mut self, table: &mut [u32]) {
        let places = table.len() as u64;
        while table[self.at as usize] != FREE {
            self.at = (self.at + self.skip) % places;
        }
        table[self.at as usize] = self.index;
    }
}

/// Whether `places` can be the size of a table: 2 or more, and a prime.
pub fn is_prime(places: u64) -> bool {
    let mut divisors = (2..).take_while(|divisor| divisor * divisor <= places);
    places >= 2 && !divisors.any(|divisor| places.is_multiple_of(divisor))
}

#[cfg(test)]
mod tests;
