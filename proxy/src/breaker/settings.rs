//! Thresholds and times of one machine, from the policy.

use std::time::Duration;

use weft_api::circuit_breaker::Breaker;

/// After this time closed without a trip, the next pause is the first again.
pub const DECAY: Duration = Duration::from_mins(1);

/// Probes without an outcome for this long have failed, unless the policy says otherwise.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// What a breaker stands before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One endpoint: one probe settles it.
    Endpoint,
    /// All of a Service or route: three probes, because one answer says little about many endpoints.
    Target,
}

/// Thresholds and times of one machine. The policy's validation keeps them within their ranges; outside of them the
/// machine does not panic, it only serves no purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Failures in a row that trip; 0 = off.
    pub consecutive: u32,
    /// How far the share of failures looks back.
    pub window: Duration,
    /// Percent of failures in the window that trips; 0 = off.
    pub failure_percent: u32,
    /// Requests in the window below which the share is not judged.
    pub min_requests: u32,
    /// First pause.
    pub open_base: Duration,
    /// Longest pause, before jitter.
    pub open_max: Duration,
    /// Most of the pause that is added to it at random, in parts per million.
    pub jitter_ppm: u32,
    /// Probes under way at once.
    pub probes: u32,
    /// Successful probes that close.
    pub successes: u32,
    /// A probe without an outcome for this long has failed.
    pub probe_timeout: Duration,
    /// How long the share grows after closing; zero = at once.
    pub slow_start: Duration,
    /// Whether a connection, handshake included, has to succeed before a request may probe, so that finding out costs
    /// no user's request. Only for who runs those connections ([`super::Shared::acquire_connect`]): nothing else
    /// brings such a breaker from open to closed.
    pub connect_first: bool,
}

impl Settings {
    /// What the policy says, and the scope's default where it says nothing. `connect_first` is off.
    pub fn new(policy: &Breaker, scope: Scope) -> Self {
        let probes = match scope {
            Scope::Endpoint => 1,
            Scope::Target => 3,
        };
        Self {
            consecutive: policy.consecutive,
            window: policy.window.get(),
            failure_percent: policy.failure_percent,
            min_requests: policy.min_requests,
            open_base: policy.open.base.get(),
            open_max: policy.open.max.get(),
            jitter_ppm: (policy.open.jitter * 1e6).round() as u32,
            probes: policy.half_open.probes.unwrap_or(probes),
            successes: policy.half_open.successes.unwrap_or(probes),
            probe_timeout: policy.half_open.timeout.map_or(PROBE_TIMEOUT, weft_api::Duration::get),
            slow_start: policy.slow_start.get(),
            connect_first: false,
        }
    }

    /// Pause after the `trips`th trip, before jitter: `min(base * 2^(trips - 1), max)`.
    pub fn pause(&self, trips: u32) -> Duration {
        let doublings = trips.saturating_sub(1);
        let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
        self.open_base.saturating_mul(factor).min(self.open_max)
    }
}

#[cfg(test)]
mod tests;
