//! The service that fails about one request in three: `GET /goodvibes` answers a JSON message, or 500.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use rand::{Rng, SeedableRng, rngs::SmallRng};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::{net::TcpListener, sync::watch};

use crate::serve::{answer, empty, serve};

/// The path that answers good vibes.
pub const PATH: &str = "/goodvibes";

/// What it says when it does not fail.
const VIBES: [&str; 5] = [
    "You are doing great.",
    "Somebody is glad that you exist.",
    "That last commit was a good one.",
    "It compiles. Enjoy the moment.",
    "Everything you need is already on its way.",
];

/// How to start the service.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// Where to take POST /break, POST /heal and GET /stats; loopback only
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    pub control: SocketAddr,
    /// Share of the requests that fail, 0 to 1
    #[arg(long, value_name = "SHARE", default_value_t = 1.0 / 3.0, value_parser = share)]
    pub failure_rate: f64,
    /// The same seed fails the same requests
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub seed: u64,
    /// File to append log lines to, one JSON object each
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
}

/// What `GET /stats` on the control address answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Requests for good vibes so far.
    pub requests: u64,
    /// How many of them failed.
    pub failures: u64,
    /// Whether it fails every request, since `POST /break`.
    pub broken: bool,
}

/// Why the service could not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An address that cannot be listened on.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, #[source] io::Error),
    /// The control address could be reached from elsewhere.
    #[error("the control address {0} is not on loopback: anybody who reaches it can break the service")]
    Exposed(SocketAddr),
    /// The log file cannot be opened.
    #[error("cannot open the log file {}: {source}", .path.display())]
    Log {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// The service, listening and not yet serving.
#[derive(Debug)]
pub struct FeelgoodApi {
    service: TcpListener,
    control: TcpListener,
    mood: Arc<Mutex<Mood>>,
}

/// Everything that changes while the service runs.
#[derive(Debug)]
struct Mood {
    failure_rate: f64,
    random: SmallRng,
    stats: Stats,
    log: Option<File>,
}

impl FeelgoodApi {
    /// Opens the log file and both listeners.
    pub async fn bind(options: &Options) -> Result<Self, Error> {
        if !options.control.ip().is_loopback() {
            return Err(Error::Exposed(options.control));
        }
        let log = options.log.as_ref().map(|path| {
            let file = OpenOptions::new().create(true).append(true).open(path);
            file.map_err(|source| Error::Log { path: path.clone(), source })
        });
        let listen =
            async |address| TcpListener::bind(address).await.map_err(|source| Error::Listen(address, source));
        Ok(Self {
            service: listen(options.listen).await?,
            control: listen(options.control).await?,
            mood: Arc::new(Mutex::new(Mood {
                failure_rate: options.failure_rate,
                random: SmallRng::seed_from_u64(options.seed),
                stats: Stats { requests: 0, failures: 0, broken: false },
                log: log.transpose()?,
            })),
        })
    }

    /// Where `GET /goodvibes` is answered.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.service.local_addr()
    }

    /// Where it is broken, healed and counted.
    pub fn control(&self) -> io::Result<SocketAddr> {
        self.control.local_addr()
    }

    /// Serves until `stop` resolves and what was in flight has been answered.
    pub async fn serve(self, stop: impl Future<Output = ()>) {
        let (mood, control) = (Arc::clone(&self.mood), self.mood);
        let (stopping, mut stopped) = watch::channel(());
        tokio::join!(
            async {
                let handler = move |request| std::future::ready(goodvibes(&mood, &request));
                serve(self.service, handler, stop).await;
                drop(stopping);
            },
            async {
                let handler = move |request| std::future::ready(controlled(&control, &request));
                // The change that comes is that the sender is dropped.
                serve(self.control, handler, async move { drop(stopped.changed().await) }).await;
            },
        );
    }
}

fn goodvibes(mood: &Mutex<Mood>, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    if request.uri().path() != PATH {
        return empty(StatusCode::NOT_FOUND);
    }
    if request.method() != Method::GET {
        return empty(StatusCode::METHOD_NOT_ALLOWED);
    }
    // Whoever panicked with the lock held left numbers behind that are still numbers.
    let vibe = mood.lock().unwrap_or_else(PoisonError::into_inner).next();
    match vibe {
        Some(message) => json_answer(StatusCode::OK, &json!({ "message": message })),
        None => {
            json_answer(StatusCode::INTERNAL_SERVER_ERROR, &json!({ "error": "no good vibes right now" }))
        }
    }
}

fn controlled(mood: &Mutex<Mood>, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let mut mood = mood.lock().unwrap_or_else(PoisonError::into_inner);
    match (request.method(), request.uri().path()) {
        (&Method::POST, "/break") => mood.stats.broken = true,
        (&Method::POST, "/heal") => mood.stats.broken = false,
        (&Method::GET, "/stats") => return json_answer(StatusCode::OK, &json!(mood.stats)),
        (_, "/break" | "/heal" | "/stats") => return empty(StatusCode::METHOD_NOT_ALLOWED),
        _ => return empty(StatusCode::NOT_FOUND),
    }
    empty(StatusCode::NO_CONTENT)
}

fn json_answer(status: StatusCode, body: &serde_json::Value) -> Response<Full<Bytes>> {
    answer(status, "application/json", body.to_string())
}

impl Mood {
    /// The message for the next request; none means that it fails.
    fn next(&mut self) -> Option<&'static str> {
        // Both are drawn each time, so that breaking and healing does not shift which later requests fail.
        let unlucky = self.random.random_bool(self.failure_rate);
        let vibe = VIBES[self.random.random_range(0..VIBES.len())];
        let failed = unlucky || self.stats.broken;
        self.stats.requests += 1;
        self.stats.failures += u64::from(failed);
        self.log(failed);
        (!failed).then_some(vibe)
    }

    /// Writes one line, as services do that were written before anybody asked for structured logs on stdout.
    fn log(&mut self, failed: bool) {
        let Some(file) = &mut self.log else { return };
        let (level, status, message) =
            if failed { ("error", 500, "no good vibes") } else { ("info", 200, "good vibes given") };
        let line = json!({
            "time": jiff::Timestamp::now().to_string(),
            "level": level,
            "path": PATH,
            "status": status,
            "message": message,
        });
        // One write for the whole line: a reader that follows the file never sees half of it.
        if let Err(error) = file.write_all(format!("{line}\n").as_bytes()) {
            eprintln!("the log file cannot be written, going on without it: {error}");
            self.log = None;
        }
    }
}

fn share(text: &str) -> Result<f64, String> {
    let share: f64 = text.parse().map_err(|_| format!("`{text}` is not a number"))?;
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err(format!("{share} is not within 0 to 1")) }
}

#[cfg(test)]
mod tests;
