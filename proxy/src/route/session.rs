//! Sticky sessions (GEP-1619): who has been answered by an endpoint goes there again, for as long as it takes requests.
//!
//! A caller is given a token, in a cookie or a header, and shows it with the next request. It says where and since when
//! in a form that only sidecars of the mesh can read and make: the endpoint by a keyed digest of its backend and address,
//! and a seal over all of it. So it tells nobody how the mesh is made, and nobody can choose an endpoint by it. The key
//! is one for each rule and comes from the control plane, so that the sidecars of all replicas of a caller agree.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::{constant_time::verify_slices_are_equal, hmac};
use http::{HeaderMap, HeaderName, HeaderValue, header::SET_COOKIE};

use super::Backends;
use crate::{balance::Endpoint, http::headers};

/// Bytes of the digest of an endpoint, and of a seal: nobody finds another with the same.
const DIGEST_BYTES: usize = 12;
/// Bytes of a time: seconds since 1970, which will do until 2106.
const TIME_BYTES: usize = 4;
/// Bytes of a token: an endpoint, since when, seen when, and the seal.
const TOKEN_BYTES: usize = DIGEST_BYTES + 2 * TIME_BYTES + DIGEST_BYTES;
/// A session that ends when it is idle is told anew after this part of the time: not with every response.
const REFRESH_PART: u32 = 8;

type Digest = [u8; DIGEST_BYTES];

/// How callers say which session is theirs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// By a cookie of this name.
    Cookie(String),
    /// By this header.
    Header(HeaderName),
}

/// What a rule says of sessions.
#[derive(Clone, Debug)]
pub struct SessionSpec {
    /// How callers say which is theirs.
    pub carrier: Carrier,
    /// What seals tokens.
    pub key: hmac::Key,
    /// How long a session lasts at most.
    pub absolute: Option<Duration>,
    /// How long one lasts in which nothing is asked.
    pub idle: Option<Duration>,
    /// Whether callers are told when the cookie is over, so that they keep it until then.
    pub permanent: bool,
}

/// The sessions of a rule, with the endpoints of its backends.
pub struct Sessions {
    spec: SessionSpec,
    /// Backends by index, and their endpoints.
    seats: HashMap<Digest, (usize, Arc<Endpoint>)>,
}

/// The session that a caller says it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    endpoint: Digest,
    since: u32,
    seen: u32,
}

impl Sessions {
    /// Those of a rule with these backends.
    pub fn new(spec: SessionSpec, backends: &Backends) -> Self {
        let mut seats = HashMap::new();
        for (index, backend) in backends.list.iter().enumerate() {
            let Some(cluster) = &backend.cluster else { continue };
            for endpoint in cluster.endpoints.iter() {
                let digest = digest_of(&spec.key, cluster.name(), endpoint.peer.address);
                seats.entry(digest).or_insert_with(|| (index, Arc::clone(endpoint)));
            }
        }
        Self { spec, seats }
    }

    /// The session that a request shows; `None` if it shows none, or one that is over or was never given.
    pub fn shown(&self, shown: &HeaderMap, now: SystemTime) -> Option<Session> {
        let session = match &self.spec.carrier {
            Carrier::Header(name) => self.read(shown.get(name)?.as_bytes())?,
            Carrier::Cookie(name) => headers::cookies(shown, name).find_map(|value| self.read(value))?,
        };
        let now = seconds(now);
        let lasts = |since: u32, timeout: Option<Duration>| {
            timeout.is_none_or(|timeout| u64::from(now.saturating_sub(since)) < timeout.as_secs().max(1))
        };
        (lasts(session.since, self.spec.absolute) && lasts(session.seen, self.spec.idle)).then_some(session)
    }

    /// The backend, by index, and the endpoint of a session, if it is still there.
    pub fn seat(&self, session: &Session) -> Option<(usize, &Arc<Endpoint>)> {
        self.seats.get(&session.endpoint).map(|(index, endpoint)| (*index, endpoint))
    }

    /// What a caller who showed `session` is told, since `endpoint` of `cluster` has answered; nothing if it knows.
    pub fn tell(
        &self,
        session: Option<&Session>,
        cluster: &str,
        endpoint: &Endpoint,
        now: SystemTime,
    ) -> Option<(HeaderName, HeaderValue)> {
        let (now, answered) = (seconds(now), digest_of(&self.spec.key, cluster, endpoint.peer.address));
        let kept = session.filter(|session| session.endpoint == answered);
        let is_fresh = |session: &Session| {
            let idle = self.spec.idle.map(|idle| (idle / REFRESH_PART).as_secs());
            idle.is_none_or(|part| u64::from(now.saturating_sub(session.seen)) <= part)
        };
        if kept.is_some_and(is_fresh) {
            return None;
        }
        let since = kept.map_or(now, |session| session.since);
        let token = self.write(&Session { endpoint: answered, since, seen: now });
        let (name, value) = match &self.spec.carrier {
            Carrier::Header(name) => (name.clone(), token),
            Carrier::Cookie(name) => {
                let left = self.spec.absolute.filter(|_| self.spec.permanent).map(|absolute| {
                    let left = absolute.as_secs().saturating_sub(u64::from(now.saturating_sub(since)));
                    format!("; Max-Age={left}")
                });
                let left = left.unwrap_or_default();
                (SET_COOKIE, format!("{name}={token}; Path=/; HttpOnly; SameSite=Strict{left}"))
            }
        };
        // Names are tokens, checked when the resource was accepted, and the rest is plain.
        HeaderValue::try_from(value).ok().map(|value| (name, value))
    }

    fn read(&self, text: &[u8]) -> Option<Session> {
        let bytes: [u8; TOKEN_BYTES] = from_hex(text)?;
        let (said, seal) = bytes.split_at(TOKEN_BYTES - DIGEST_BYTES);
        verify_slices_are_equal(&self.seal(said), seal).ok()?;
        let (endpoint, times) = said.split_first_chunk::<DIGEST_BYTES>()?;
        let (since, seen) = times.split_first_chunk::<TIME_BYTES>()?;
        let time = |bytes: &[u8]| bytes.try_into().map(u32::from_be_bytes).ok();
        Some(Session { endpoint: *endpoint, since: time(since)?, seen: time(seen)? })
    }

    fn write(&self, session: &Session) -> String {
        let mut said = session.endpoint.to_vec();
        said.extend(session.since.to_be_bytes());
        said.extend(session.seen.to_be_bytes());
        let seal = self.seal(&said);
        said.extend(seal);
        to_hex(&said)
    }

    fn seal(&self, said: &[u8]) -> Digest {
        cut(&hmac::sign(&self.spec.key, &[b"session\0", said].concat()))
    }
}

fn digest_of(key: &hmac::Key, cluster: &str, address: SocketAddr) -> Digest {
    cut(&hmac::sign(key, format!("endpoint\0{cluster}\0{address}").as_bytes()))
}

fn cut(tag: &hmac::Tag) -> Digest {
    *tag.as_ref().first_chunk().expect("a digest of SHA-256 has 32 bytes")
}

fn seconds(time: SystemTime) -> u32 {
    let seconds = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    u32::try_from(seconds).unwrap_or(u32::MAX)
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let digit = |value: u8| char::from(b"0123456789abcdef"[usize::from(value)]);
        text.extend([digit(byte >> 4), digit(byte & 15)]);
        text
    })
}

/// Bytes from their hexadecimal digits; `None` unless there are exactly so many.
pub fn from_hex<const BYTES: usize>(text: &[u8]) -> Option<[u8; BYTES]> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut bytes = [0; BYTES];
    if text.len() != BYTES * 2 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests;
