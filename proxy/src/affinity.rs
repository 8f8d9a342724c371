//! What of a request says to which endpoint it goes, for backends that choose by a hash: a header, a cookie, a query
//! parameter, or the address of the caller.
//!
//! Hashes are `XXH64`, joined as Envoy and gRPC join theirs: whichever of them a caller speaks through, the same request
//! has the same one.

use std::{net::IpAddr, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, request::Parts};
use rand::Rng;
use twox_hash::XxHash64;

use crate::http::headers;

/// What requests are hashed by, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Affinity(pub Vec<Key>);

/// A part of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Which.
    pub part: Part,
    /// Whether those that follow do not count in a request that has this one.
    pub terminal: bool,
}

/// What of a request counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// The value of this header; of several lines, their list.
    Header(HeaderName),
    /// The value of a cookie.
    Cookie {
        /// Its name.
        name: String,
        /// What callers without it are given; `None` = nothing.
        new: Option<NewCookie>,
    },
    /// The first query parameter of this name.
    Query(String),
    /// The address that the caller connects from.
    Source,
}

/// A cookie for callers who have none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCookie {
    /// How long it lasts; 0 = as long as the caller's own session.
    pub ttl: Duration,
    /// Where it is shown; `None` = as the path of the request has it (RFC 6265, 5.1.4).
    pub path: Option<String>,
}

/// Where a request goes.
#[derive(Clone, Debug, Default)]
pub struct Place {
    /// Its hash; `None` = it has nothing that counts, and may go anywhere.
    pub hash: Option<u64>,
    /// `set-cookie` for the caller who has just been given a cookie.
    pub cookie: Option<HeaderValue>,
}

impl Affinity {
    /// Where `request` goes, whose caller connects from `source`.
    pub fn place(&self, request: &Parts, source: Option<IpAddr>, random: &mut impl Rng) -> Place {
        let mut place = Place::default();
        for Key { part, terminal } in &self.0 {
            let hash = match part {
                Part::Header(name) => of_header(&request.headers, name),
                Part::Cookie { name, new } => {
                    let shown = headers::cookies(&request.headers, name).next().map(of_bytes);
                    shown.or_else(|| new.as_ref().and_then(|new| place.give(name, new, random)))
                }
                Part::Query(name) => of_query(request.uri.query().unwrap_or_default(), name),
                Part::Source => source.map(of_address),
            };
            place.join(hash);
            if *terminal && hash.is_some() {
                break;
            }
        }
        place
    }

    /// Where a connection goes of which nothing else is known.
    pub fn of_connection(&self, source: Option<IpAddr>) -> Option<u64> {
        self.0.iter().any(|key| key.part == Part::Source).then(|| source.map(of_address)).flatten()
    }
}

impl Place {
    fn join(&mut self, hash: Option<u64>) {
        let Some(hash) = hash else { return };
        self.hash = Some(self.hash.map_or(hash, |before| before.rotate_left(1) ^ hash));
    }

    /// Gives the caller a cookie that nobody else has.
    fn give(&mut self, name: &str, new: &NewCookie, random: &mut impl Rng) -> Option<u64> {
        let value = format!("{:032x}", random.random::<u128>());
        let path = new.path.as_ref().map(|path| format!("; Path={path}")).unwrap_or_default();
        let lasts =
            if new.ttl.is_zero() { String::new() } else { format!("; Max-Age={}", new.ttl.as_secs().max(1)) };
        // Name and path were checked when the resource was accepted.
        let cookie = HeaderValue::try_from(format!("{name}={value}{path}; HttpOnly{lasts}")).ok()?;
        self.cookie = Some(cookie);
        Some(of_bytes(value.as_bytes()))
    }
}

fn of_header(headers: &HeaderMap, name: &HeaderName) -> Option<u64> {
    let mut lines = headers.get_all(name).iter();
    let first = lines.next()?.as_bytes();
    let Some(second) = lines.next() else { return Some(of_bytes(first)) };
    let list = [first, second.as_bytes()].into_iter().chain(lines.map(HeaderValue::as_bytes));
    Some(of_bytes(&list.collect::<Vec<_>>().join(&b","[..])))
}

fn of_query(query: &str, name: &str) -> Option<u64> {
    let mut parameters = form_urlencoded::parse(query.as_bytes());
    parameters.find(|(key, _)| key == name).map(|(_, value)| of_bytes(value.as_bytes()))
}

fn of_address(address: IpAddr) -> u64 {
    of_bytes(address.to_canonical().to_string().as_bytes())
}

fn of_bytes(bytes: &[u8]) -> u64 {
    XxHash64::oneshot(0, bytes)
}

#[cfg(test)]
mod tests;
