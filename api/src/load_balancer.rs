//! `LoadBalancerPolicy`: which endpoint of a service a request goes to.

use serde::{Deserialize, Serialize};

use crate::{
    Duration,
    violation::{Violation, at_most, within},
};

/// A request is looked at for so many keys at most.
pub const KEYS_MAX: usize = 8;
/// A ring has so many points at most: each takes 12 bytes in every sidecar that calls the service.
pub const RING_POINTS_MAX: u32 = 256 * 1024;
/// The name of a header, a cookie or a query parameter has so many bytes at most.
pub const NAME_BYTES_MAX: usize = 256;
/// The path of a cookie has so many bytes at most.
pub const COOKIE_PATH_BYTES_MAX: usize = 256;
/// An endpoint is new for so long at most.
pub const SLOW_START_MAX: Duration = Duration::from_secs(3600);

/// `spec` of a `LoadBalancerPolicy`, less the Services that it applies to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct LoadBalancer {
    /// How an endpoint is chosen.
    pub algorithm: Algorithm,
    /// What of a request says where it goes, for RingHash and Maglev: the first of these that the request has. One that
    /// has none goes to any endpoint. 1 to 8 entries.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hash_on: Vec<HashKey>,
    /// The ring, for RingHash.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ring_hash: Option<RingHash>,
    /// How an endpoint that is new comes to its share, for LatencyAware, LeastRequest and RoundRobin. Absent: as the
    /// sidecar has it, over 10 s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slow_start: Option<SlowStart>,
    /// Whether endpoints of the caller's own zone come first. Absent: as `trafficDistribution` of the Service says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locality: Option<Locality>,
}

/// How an endpoint is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Algorithm {
    /// Of two at random, the one that is expected to answer sooner, by its latency and by what it has to do already.
    #[default]
    LatencyAware,
    /// Of two at random, the one with fewer requests in flight.
    LeastRequest,
    /// One after the other.
    RoundRobin,
    /// Any.
    Random,
    /// The one that stands next to the hash of the request on a ring: one that comes or goes moves few others.
    RingHash,
    /// The one that a table has for the hash of the request: more even than a ring, and moves some more.
    Maglev,
}

/// A part of a request. Exactly one of these must be there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct HashKey {
    /// The value of the header of this name, whatever its case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    /// The value of a cookie.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cookie: Option<Cookie>,
    /// The value of the query parameter of this name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query_param: Option<String>,
    /// What is known of the caller itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
}

/// A cookie that says where requests go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Cookie {
    /// Name.
    pub name: String,
    /// A request without the cookie is answered with a new one, which lasts for so long; 0s: as long as the caller's own
    /// session. Absent: only cookies that are there already count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<Duration>,
    /// Path of the new one. Absent: that of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

/// What is known of a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Source {
    /// The address that it connects from.
    IP,
}

/// The ring of endpoints. It has 512 points for each, within these bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RingHash {
    /// Points at least: the more, the more even. Default 1024. Range 1-262144.
    pub minimum_size: u32,
    /// Points at most. Default 65536. Range 1-262144, and not below `minimumSize`.
    pub maximum_size: u32,
}

impl Default for RingHash {
    fn default() -> Self {
        Self { minimum_size: 1024, maximum_size: 64 * 1024 }
    }
}

/// How an endpoint that is new comes to its share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SlowStart {
    /// Its share grows from 10 % to all over this time; 0s: it has all at once. Range 0s to 1 h.
    pub window: Duration,
}

/// Whether endpoints of the caller's own zone come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Locality {
    /// Whether they do.
    pub mode: LocalityMode,
    /// They take all requests while this share of them takes traffic; of less, as much less. Range 1-100.
    #[serde(default = "most")]
    pub min_healthy_percent: u32,
}

impl Locality {
    /// What a Service wants that says nothing but that it prefers its callers' zone.
    pub fn preferred() -> Self {
        Self { mode: LocalityMode::PreferSameZone, min_healthy_percent: most() }
    }
}

/// Whether the zone of an endpoint plays a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum LocalityMode {
    /// It does not.
    None,
    /// Requests go to endpoints of the caller's zone, and to others in so far as these fail.
    PreferSameZone,
}

/// As Envoy's levels of priority have it, which are overprovisioned by 1.4.
fn most() -> u32 {
    70
}

impl Algorithm {
    /// Whether the request itself says where it goes.
    pub fn is_hashing(self) -> bool {
        matches!(self, Self::RingHash | Self::Maglev)
    }

    /// Whether an endpoint can have less than its share for a while. By a hash, callers would be moved twice.
    fn has_slow_start(self) -> bool {
        matches!(self, Self::LatencyAware | Self::LeastRequest | Self::RoundRobin)
    }
}

impl LoadBalancer {
    /// Checks what the types cannot say. Errors name the field by its path below `spec`.
    pub fn validate(&self) -> Result<(), Violation> {
        let algorithm = self.algorithm;
        if algorithm.is_hashing() == self.hash_on.is_empty() {
            let rule = format!(
                "must hold keys for RingHash and Maglev and for no other; algorithm is {algorithm:?}"
            );
            return Err(Violation::new("hashOn", rule));
        }
        at_most("hashOn", self.hash_on.len(), KEYS_MAX)?;
        for (index, key) in self.hash_on.iter().enumerate() {
            key.validate(&format!("hashOn[{index}]"))?;
        }
        if let Some(ring) = self.ring_hash {
            if algorithm != Algorithm::RingHash {
                return Err(Violation::new(
                    "ringHash",
                    format!("is for RingHash; algorithm is {algorithm:?}"),
                ));
            }
            ring.validate()?;
        }
        if let Some(SlowStart { window }) = self.slow_start {
            if !algorithm.has_slow_start() {
                let rule =
                    format!("is for LatencyAware, LeastRequest and RoundRobin; algorithm is {algorithm:?}");
                return Err(Violation::new("slowStart", rule));
            }
            if window > SLOW_START_MAX {
                let rule = format!("is {window}; it must be at most {SLOW_START_MAX}");
                return Err(Violation::new("slowStart.window", rule));
            }
        }
        self.locality.map_or(Ok(()), |locality| {
            within("locality.minHealthyPercent", locality.min_healthy_percent, 1, 100)
        })
    }
}

impl HashKey {
    fn validate(&self, field: &str) -> Result<(), Violation> {
        let Self { header, cookie, query_param, source } = self;
        let kinds = [header.is_some(), cookie.is_some(), query_param.is_some(), source.is_some()];
        if kinds.iter().filter(|is_there| **is_there).count() != 1 {
            return Err(Violation::new(field, "must hold one of header, cookie, queryParam and source"));
        }
        let names = [("header", header.as_deref()), ("queryParam", query_param.as_deref())];
        for (part, name) in names {
            name.map_or(Ok(()), |name| is_name(&format!("{field}.{part}"), name))?;
        }
        cookie.as_ref().map_or(Ok(()), |cookie| cookie.validate(&format!("{field}.cookie")))
    }
}

impl Cookie {
    fn validate(&self, field: &str) -> Result<(), Violation> {
        is_name(&format!("{field}.name"), &self.name)?;
        let Some(path) = &self.path else { return Ok(()) };
        let field = format!("{field}.path");
        if self.ttl.is_none() {
            return Err(Violation::new(field, "is of new cookies, of which there are none without ttl"));
        }
        // RFC 6265, 4.1.1, less blanks.
        let fits = path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b';');
        if !path.starts_with('/') || !fits || path.len() > COOKIE_PATH_BYTES_MAX {
            return Err(Violation::new(field, format!("is `{path}`, which is no path such as `/shop`")));
        }
        Ok(())
    }
}

impl RingHash {
    fn validate(self) -> Result<(), Violation> {
        within("ringHash.minimumSize", self.minimum_size, 1, RING_POINTS_MAX)?;
        within("ringHash.maximumSize", self.maximum_size, 1, RING_POINTS_MAX)?;
        if self.minimum_size > self.maximum_size {
            let rule = format!("is {}, below minimumSize, which is {}", self.maximum_size, self.minimum_size);
            return Err(Violation::new("ringHash.maximumSize", rule));
        }
        Ok(())
    }
}

/// RFC 9110, 5.6.2. The Gateway API has it so for query parameters too, and RFC 6265 for cookies.
fn is_name(field: &str, name: &str) -> Result<(), Violation> {
    let is_of_tokens = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(is_of_tokens) {
        return Ok(());
    }
    Err(Violation::new(field, format!("is `{name}`, which is no name such as `x-user`")))
}
