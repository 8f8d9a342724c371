//! What a program tells of itself on its admin endpoint: metrics in the text format of Prometheus.

use std::net::SocketAddr;

use http::StatusCode;

use crate::client;

/// Metrics of one moment.
#[derive(Debug)]
pub struct Metrics(String);

impl Metrics {
    /// Asks for them.
    pub async fn of(admin: SocketAddr) -> anyhow::Result<Self> {
        let answer = client::try_get(admin, "/metrics").await?;
        anyhow::ensure!(answer.status == StatusCode::OK, "{admin}/metrics answered {}", answer.status);
        Ok(Self::read(answer.text()))
    }

    /// Metrics that somebody else asked for.
    pub fn read(text: String) -> Self {
        Self(text)
    }

    /// The sum of all series of `name` that have every one of `labels`; none if there is no such series.
    pub fn get(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let values = self.series(name).filter(|(series, _)| {
            labels.iter().all(|(label, value)| series.contains(&format!("{label}=\"{value}\"")))
        });
        values.map(|(_, value)| value).reduce(|sum, value| sum + value)
    }

    /// As [`Self::get`], with 0 for what was never counted.
    pub fn count(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        self.get(name, labels).unwrap_or(0.0) as u64
    }

    /// Every series of `name`, with its labels as they are written, and its value.
    pub fn series<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
        self.0.lines().filter_map(move |line| {
            let rest = line.strip_prefix(name)?;
            let (labels, value) = rest.rsplit_once(' ')?;
            let named = labels.is_empty() || (labels.starts_with('{') && labels.ends_with('}'));
            Some((labels, value.parse().ok()?)).filter(|_| named)
        })
    }
}

/// Whether the program at `admin` says that it is ready.
pub async fn is_ready(admin: SocketAddr) -> bool {
    client::try_get(admin, "/ready").await.is_ok_and(|answer| answer.status == StatusCode::OK)
}
