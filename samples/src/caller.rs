//! Somebody who calls a service at a constant rate, and tells as JSON how it went: second by second, and in all.

use std::{
    collections::BTreeMap,
    error::Error as _,
    io,
    num::NonZeroU32,
    str::FromStr,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use http::{StatusCode, Uri, uri::PathAndQuery};
use serde::{Deserialize, Serialize};
use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval},
};

use crate::upstream::{Failure, InvalidAddress, Upstream};

/// Requests that wait for their answers at once: more than a service that works lets pile up.
const UNANSWERED_MAX: usize = 1024;
/// Kinds of failures that are told apart. All others are counted together.
const KINDS_MAX: usize = 16;

/// Whom to call, and how often.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// What to ask for, such as http://frontend-service/
    #[arg(value_name = "URL")]
    pub target: Target,
    /// Requests in a second, each at its time, whether the ones before are answered or not
    #[arg(long, value_name = "NUMBER", default_value = "100")]
    pub rate: NonZeroU32,
    /// Requests in all
    #[arg(long, value_name = "NUMBER", default_value_t = 100)]
    pub requests: u64,
    /// Count the answers whose body has this text
    #[arg(long, value_name = "TEXT")]
    pub marked: Option<String>,
}

/// A service and what to ask it for.
#[derive(Clone, Debug)]
pub struct Target {
    server: String,
    path: PathAndQuery,
}

/// How it went.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Account {
    /// When the first request began, in milliseconds since 1970.
    pub began_ms: u64,
    /// All requests.
    pub total: Counts,
    /// Requests by the second in which they began, counted from the first.
    pub seconds: Vec<Counts>,
    /// Why there was no answer, and how often.
    pub failures: BTreeMap<String, u64>,
    /// Time to the end of the answer that half of the answers took at most.
    pub p50_ms: f64,
    /// The same for 99 of 100.
    pub p99_ms: f64,
}

/// Requests by how they ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Requests.
    pub requests: u64,
    /// Answers by status.
    pub answers: BTreeMap<u16, u64>,
    /// Requests without an answer.
    pub unanswered: u64,
    /// Answers that have the text that was asked for.
    pub marked: u64,
}

/// Why nobody was called.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The service's address cannot be understood.
    #[error(transparent)]
    Target(#[from] InvalidAddress),
    /// The account could not be told.
    #[error("the account cannot be written: {0}")]
    Told(#[from] io::Error),
}

/// A request that has ended.
struct Ended {
    began: Duration,
    took: Duration,
    answer: Result<(StatusCode, Bytes), Failure>,
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let uri: Uri = text.parse().map_err(|error| format!("`{text}` is no URL: {error}"))?;
        let authority = uri.authority().ok_or_else(|| format!("`{text}` names no host"))?;
        let scheme = uri.scheme_str().unwrap_or_default();
        let path = uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        Ok(Self { server: format!("{scheme}://{authority}"), path })
    }
}

/// Calls until all requests have ended.
pub async fn call(options: &Options) -> Result<Account, Error> {
    let server: Arc<Upstream> = Arc::new(options.target.server.parse()?);
    let began_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
    let mut tally = Tally::new(began_ms, options.marked.as_deref());
    let start = Instant::now();
    let mut due = interval(Duration::from_secs(1) / options.rate.get());
    // A busy machine makes them fewer in a second, and no burst of them.
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut requests = JoinSet::new();
    for _ in 0..options.requests {
        due.tick().await;
        while let Some(ended) = requests.try_join_next() {
            tally.take(ended);
        }
        if requests.len() >= UNANSWERED_MAX
            && let Some(ended) = requests.join_next().await
        {
            tally.take(ended);
        }
        let (server, path) = (Arc::clone(&server), options.target.path.clone());
        requests.spawn(async move {
            let began = Instant::now();
            let answer = server.get_path(&path).await;
            Ended { began: began.duration_since(start), took: began.elapsed(), answer }
        });
    }
    while let Some(ended) = requests.join_next().await {
        tally.take(ended);
    }
    Ok(tally.finish())
}

struct Tally<'a> {
    account: Account,
    marked: Option<&'a str>,
    took: Vec<Duration>,
}

impl<'a> Tally<'a> {
    fn new(began_ms: u64, marked: Option<&'a str>) -> Self {
        Self { account: Account { began_ms, ..Account::default() }, marked, took: Vec::new() }
    }

    fn take(&mut self, ended: Result<Ended, tokio::task::JoinError>) {
        let Ended { began, took, answer } = match ended {
            Ok(ended) => ended,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        };
        let account = &mut self.account;
        let second = began.as_secs() as usize;
        if account.seconds.len() <= second {
            account.seconds.resize_with(second + 1, Counts::default);
        }
        for counts in [&mut account.total, &mut account.seconds[second]] {
            counts.take(&answer, self.marked);
        }
        match answer {
            Ok(_) => self.took.push(took),
            Err(failure) => {
                let why = in_words(&failure);
                let is_told = account.failures.len() < KINDS_MAX || account.failures.contains_key(&why);
                *account.failures.entry(if is_told { why } else { "other".to_owned() }).or_default() += 1;
            }
        }
    }

    fn finish(mut self) -> Account {
        self.took.sort_unstable();
        let quantile = |percent: usize| {
            let rank = (self.took.len() * percent).div_ceil(100).saturating_sub(1);
            self.took.get(rank).map_or(0.0, |took| took.as_secs_f64() * 1e3)
        };
        (self.account.p50_ms, self.account.p99_ms) = (quantile(50), quantile(99));
        self.account
    }
}

/// A failure with its causes.
fn in_words(failure: &Failure) -> String {
    let mut words = failure.to_string();
    let mut cause = failure.source();
    while let Some(deeper) = cause {
        words = format!("{words}: {deeper}");
        cause = deeper.source();
    }
    words
}

impl Counts {
    fn take(&mut self, answer: &Result<(StatusCode, Bytes), Failure>, marked: Option<&str>) {
        self.requests += 1;
        match answer {
            Ok((status, body)) => {
                *self.answers.entry(status.as_u16()).or_default() += 1;
                let has = |text: &str| body.windows(text.len().max(1)).any(|part| part == text.as_bytes());
                self.marked += u64::from(marked.is_some_and(has));
            }
            Err(_) => self.unanswered += 1,
        }
    }

    /// Requests that were answered with `status`.
    pub fn answered(&self, status: u16) -> u64 {
        self.answers.get(&status).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests;
