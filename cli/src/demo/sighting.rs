//! One look at everything that tells how the mesh is doing: the API's own count and the sidecars' metrics.

use std::{
    net::SocketAddr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use weft_samples::feelgood_api::Stats;

use crate::{
    metrics::{Labels, Metrics},
    wire,
};

/// The service port that everything here is about.
pub(crate) const API: &str = "default/feelgood-api:80";
const TO_API: (&str, &str) = ("destination", API);
/// Requests of the frontend's application to the API, retries included, to response headers.
const CLIENT: &str = "http_client_request_duration_seconds";

/// Where to look.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scene {
    /// The API's control address.
    pub(crate) api: SocketAddr,
    /// Metrics of the frontend's sidecar.
    pub(crate) frontend_sidecar: SocketAddr,
    /// Metrics of the API's sidecar.
    pub(crate) api_sidecar: SocketAddr,
}

/// What was seen. What could not be reached is empty.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sighting {
    /// The API's own count.
    pub(crate) api: Option<Stats>,
    frontend_sidecar: Metrics,
    api_sidecar: Metrics,
}

/// State of the target breaker at the frontend's sidecar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Breaker {
    /// There is none.
    #[default]
    Absent,
    /// Requests pass.
    Closed,
    /// A probe may pass.
    HalfOpen,
    /// Nothing passes.
    Open,
}

impl Scene {
    /// Looks.
    pub(crate) async fn look(&self) -> Sighting {
        let (api, frontend_sidecar, api_sidecar) = tokio::join!(
            wire::get(self.api, "/stats"),
            metrics(self.frontend_sidecar),
            metrics(self.api_sidecar),
        );
        let api = api.ok().and_then(|(_, body)| serde_json::from_slice(&body).ok());
        Sighting { api, frontend_sidecar, api_sidecar }
    }
}

async fn metrics(admin: SocketAddr) -> Metrics {
    match wire::get(admin, "/metrics").await {
        Ok((_, body)) => Metrics::parse(&String::from_utf8_lossy(&body)),
        Err(_) => Metrics::default(),
    }
}

impl Sighting {
    /// Requests that reached the API so far, by its own count.
    pub(crate) fn api_requests(&self) -> u64 {
        self.api.map_or(0, |stats| stats.requests)
    }

    /// The target breaker.
    pub(crate) fn breaker(&self) -> Breaker {
        match self.frontend_sidecar.get("weft_breaker_state", &[("scope", "target"), TO_API]) {
            None => Breaker::Absent,
            Some(state) if state < 0.5 => Breaker::Closed,
            Some(state) if state < 1.5 => Breaker::HalfOpen,
            Some(_) => Breaker::Open,
        }
    }

    /// How often the target breaker tripped.
    pub(crate) fn trips(&self) -> u64 {
        self.breaker_count("weft_breaker_trips_total", &[])
    }

    /// Probes of the target breaker that ended.
    pub(crate) fn probes(&self) -> u64 {
        self.breaker_count("weft_breaker_probes_total", &[])
    }

    /// Those of them that failed.
    pub(crate) fn failed_probes(&self) -> u64 {
        self.probes() - self.good_probes()
    }

    /// Those of them that succeeded.
    pub(crate) fn good_probes(&self) -> u64 {
        self.breaker_count("weft_breaker_probes_total", &[("result", "success")])
    }

    /// Retries that were made.
    pub(crate) fn retries(&self) -> u64 {
        self.frontend_sidecar.count("weft_retries_total", &[TO_API, ("result", "sent")])
    }

    /// Requests that came to the ambassador, and how many of them were answered with 500 and above.
    pub(crate) fn ambassador(&self) -> (u64, u64) {
        let count = format!("{CLIENT}_count");
        let all = self.frontend_sidecar.count(&count, &[TO_API]);
        let failed = self.frontend_sidecar.by(&count, "status").filter(|(status, _)| status.starts_with('5'));
        (all, failed.map(|(_, requests)| requests as u64).sum())
    }

    /// Half of the ambassador's answers since `earlier` took at most this long.
    pub(crate) fn ambassador_p50_since(&self, earlier: &Self) -> Option<Duration> {
        let (now, then) = (&self.frontend_sidecar, &earlier.frontend_sidecar);
        let bound = now.quantile_since(then, CLIENT, &[TO_API], 0.5)?;
        Duration::try_from_secs_f64(bound).ok()
    }

    /// The certificates of both sidecars, each with the time that it has left at `now`.
    pub(crate) fn certificates(&self, now: SystemTime) -> Vec<(String, Duration)> {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        [&self.frontend_sidecar, &self.api_sidecar]
            .into_iter()
            .flat_map(|metrics| metrics.by("weft_certificate_not_after_seconds", "identity"))
            .map(|(identity, ends)| {
                let ends = Duration::try_from_secs_f64(ends).unwrap_or_default();
                (identity.to_owned(), ends.saturating_sub(now))
            })
            .collect()
    }

    /// Generation of a resource that the frontend's sidecar has in force; none before it has any.
    pub(crate) fn generation(&self, kind: &str, name: &str) -> Option<f64> {
        self.frontend_sidecar.get("weft_xds_resource_generation", &[("kind", kind), ("name", name)])
    }

    fn breaker_count(&self, name: &str, labels: Labels<'_>) -> u64 {
        let mut all = vec![("scope", "target"), TO_API];
        all.extend_from_slice(labels);
        self.frontend_sidecar.count(name, &all)
    }

    /// A sighting of these metrics, for tests.
    #[cfg(test)]
    pub(crate) fn of(api: Option<Stats>, frontend_sidecar: &str, api_sidecar: &str) -> Self {
        Self {
            api,
            frontend_sidecar: Metrics::parse(frontend_sidecar),
            api_sidecar: Metrics::parse(api_sidecar),
        }
    }
}

#[cfg(test)]
mod tests;
