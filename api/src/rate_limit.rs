//! `RateLimitPolicy`: how many requests may enter a workload.

use serde::{Deserialize, Serialize};

use crate::{
    Duration,
    http_attributes::HttpAttributes,
    network_attributes::NetworkAttributes,
    policy::Mode,
    violation::{Violation, at_most, within},
};

/// A policy has so many limits at most.
pub const LIMITS_MAX: usize = 16;
/// A limit is so many requests at most.
pub const REQUESTS_MAX: u32 = 1_000_000;

/// `spec` of a `RateLimitPolicy`, less the workloads that it applies to. Also what a proxy receives, under
/// [`crate::names::METADATA_KEY`] of a filter chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RateLimit {
    /// Whether to act, or to compute and report only.
    #[serde(default)]
    pub mode: Mode,
    /// All of them apply, 1 to 16.
    pub limits: Vec<Limit>,
}

/// A bound on the requests that match it: a bucket of tokens, one for each request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Limit {
    /// So many requests come into the bucket for each `per`. Range 1-1000000.
    pub requests: u32,
    /// Time in which the bucket gets them, evenly. Default 1 s. Range 1 s to 1 h.
    #[serde(default = "second")]
    pub per: Duration,
    /// So many fit into the bucket: what may come at once. Default: `requests`. Range 1-1000000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<u32>,
    /// Who shares a bucket.
    #[serde(default)]
    pub key: Key,
    /// Where requests go. Absent: any port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_attributes: Option<NetworkAttributes>,
    /// What they ask. Absent: anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_attributes: Option<HttpAttributes>,
}

/// Who shares a bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Key {
    /// All callers of the workload.
    #[default]
    Workload,
    /// Callers of one identity; of those without one, those of one address.
    Client,
}

fn second() -> Duration {
    Duration::from_secs(1)
}

impl RateLimit {
    /// Checks what the types cannot say. Errors name the field by its path below `spec`.
    pub fn validate(&self) -> Result<(), Violation> {
        if self.limits.is_empty() {
            return Err(Violation::new("limits", "must hold a limit"));
        }
        at_most("limits", self.limits.len(), LIMITS_MAX)?;
        for (index, limit) in self.limits.iter().enumerate() {
            limit.validate(&format!("limits[{index}]"))?;
        }
        Ok(())
    }
}

impl Limit {
    /// So many fit into the bucket.
    pub fn burst(&self) -> u32 {
        self.burst.unwrap_or(self.requests)
    }

    fn validate(&self, field: &str) -> Result<(), Violation> {
        within(&format!("{field}.requests"), self.requests, 1, REQUESTS_MAX)?;
        within(&format!("{field}.burst"), self.burst(), 1, REQUESTS_MAX)?;
        if !(Duration::from_secs(1)..=Duration::from_secs(3600)).contains(&self.per) {
            let rule = format!("is {}; it must be within 1s to 1h", self.per);
            return Err(Violation::new(format!("{field}.per"), rule));
        }
        if let Some(network) = &self.network_attributes {
            network.validate(&format!("{field}.networkAttributes"))?;
        }
        let http = self.http_attributes.as_ref();
        http.map_or(Ok(()), |http| http.validate(&format!("{field}.httpAttributes")))
    }
}
